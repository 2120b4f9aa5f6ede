//! Setups: an ordered set of images that make one machine, each on a disk or a partition of its own. Deployed, they are one row of jobs
//! in the machine's queue: nothing comes between them, and when one fails the rest is not done.

use mesh_proto::message::job::{DiskRule, PartitionRule};
use serde::{Deserialize, Serialize};

pub use super::name::SetupName;
use super::{Timestamp, image::ImageSpec, user::UserName};

/// Images in one setup: more disks than one machine usually has.
pub const MAX_ITEMS: usize = 32;

/// One image of a setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupItem {
    /// Which; without a number the newest at the time of the deployment.
    pub image: ImageSpec,
    /// Onto which disk.
    #[serde(default)]
    pub disk: DiskRule,
    /// Only this partition of it, which an earlier item made or which was there.
    #[serde(default)]
    pub partition: Option<PartitionRule>,
    /// Grow its last partition to the disk's end.
    #[serde(default)]
    pub grow: bool,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Its name.
    pub name: SetupName,
    /// Whose it is; `None`: the site's.
    #[serde(default)]
    pub owner: Option<UserName>,
    /// Its images, in the order they are written; files for the new system go with the first.
    pub items: Vec<SetupItem>,
    /// A person's words about it.
    #[serde(default)]
    pub note: Option<String>,
    /// Grows with each change.
    pub revision: u64,
    /// When it was changed last.
    pub updated: Timestamp,
}
