//! The secret of one boot of the management OS: it shows that whoever enrols read the script that this machine was sent.

use std::net::IpAddr;

use ipxe::MacAddr;
use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};

use crate::state::Timestamp;

/// How long a boot secret is good: a slow machine takes minutes from its script to its agent.
pub const BOOT_SECRET_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// A boot's secret; its `Debug` does not show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootSecret {
    /// 32 hex digits.
    pub secret: Secret,
    /// The NIC that booted.
    pub mac: MacAddr,
    /// The address it was sent to; `None`: through a helper, which vouches for it.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// When it was made.
    pub made_at: Timestamp,
    /// A key was enrolled by it.
    #[serde(default)]
    pub used: bool,
}

impl BootSecret {
    /// A secret from random bits, 32 hex digits.
    #[must_use]
    pub fn fresh(bits: u128) -> Secret {
        Secret::new(format!("{bits:032x}"))
    }

    /// Whether it is too old.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.duration_since(self.made_at) >= BOOT_SECRET_LIVES
    }
}
