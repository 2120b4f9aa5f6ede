//! The gossip key ring: which group keys open, which one seals, and whether it must change.

use mesh_proto::message::{
    Secret,
    ring::{Ring, RingKey},
};
use serde::{Deserialize, Serialize};

use crate::state::Timestamp;

/// How long a key that no longer seals still opens: packets on their way, and members that hear of the change last.
pub const OLD_KEY_OPENS: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// One group key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupKey {
    /// Counts up with every rotation.
    pub epoch: u32,
    /// 64 hex digits.
    pub key: Secret,
    /// When it was made.
    pub made: Timestamp,
    /// When another one began to seal; dropped [`OLD_KEY_OPENS`] later.
    #[serde(default)]
    pub retired: Option<Timestamp>,
}

/// The site's ring. A rotation is three transactions: a key is added, then it seals, then the old one is dropped. After a
/// crash the ring itself says which step comes next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRing {
    /// The epoch that seals.
    pub current: u32,
    /// The keys that open, oldest first.
    pub keys: Vec<GroupKey>,
    /// Why a new key is wanted, when it is: a key was revoked whose machine knows this ring.
    #[serde(default)]
    pub wanted: Option<String>,
}

/// What has to be done to the ring next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingStep {
    /// Make a key and add it ([`RotateRing`](crate::state::ops::RotateRing)).
    Add {
        /// Why.
        reason: String,
    },
    /// Tell all links of this epoch, then let it seal ([`UseRing`](crate::state::ops::UseRing)).
    Use(u32),
    /// At this time, drop what is retired ([`DropRetired`](crate::state::ops::DropRetired)).
    DropAt(Timestamp),
}

impl KeyRing {
    /// What comes next, most urgent first; `None`: all is well.
    #[must_use]
    pub fn next_step(&self) -> Option<RingStep> {
        if let Some(newer) = self.keys.last().filter(|k| k.epoch > self.current) {
            return Some(RingStep::Use(newer.epoch));
        }
        if self.keys.is_empty() || self.wanted.is_some() {
            let first = || "the site has no group key yet".to_owned();
            let reason = self.wanted.clone().unwrap_or_else(first);
            return Some(RingStep::Add { reason });
        }
        let retired = self.keys.iter().filter_map(|k| k.retired).min();
        retired.map(|at| RingStep::DropAt(at + OLD_KEY_OPENS))
    }

    /// As links carry it.
    #[must_use]
    pub fn on_the_wire(&self) -> Ring {
        let keys = self.keys.iter().map(|k| RingKey {
            epoch: k.epoch,
            key: k.key.clone(),
        });
        Ring {
            current: self.current,
            keys: keys.collect(),
        }
    }
}
