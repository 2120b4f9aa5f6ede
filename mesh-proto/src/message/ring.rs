//! The gossip key ring as the link carries it.

use serde::{Deserialize, Serialize};

use super::Secret;

/// One group key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingKey {
    /// Counts up with every rotation of the site.
    pub epoch: u32,
    /// 32 bytes as 64 hex digits.
    pub key: Secret,
}

/// The keys that open gossip now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// The epoch to seal with.
    pub current: u32,
    /// All keys that still open, the current one among them; at most a handful.
    pub keys: Vec<RingKey>,
}
