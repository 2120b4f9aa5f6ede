//! Setups: an ordered set of images that make one machine, each on a disk of its own. Deployed, they are one row of jobs
//! in the machine's queue: nothing comes between them, and when one fails the rest is not done.

use std::{fmt, str::FromStr};

use mesh_proto::message::job::DiskRule;
use serde::{Deserialize, Serialize};

use super::{Timestamp, config::is_plain_name, image::ImageSpec, machine::BadName};

/// Images in one setup: more disks than one machine usually has.
pub const MAX_ITEMS: usize = 32;

/// A setup's name: 1 to 63 letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SetupName(String);

impl SetupName {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SetupName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_plain_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for SetupName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<SetupName> for String {
    fn from(name: SetupName) -> Self {
        name.0
    }
}

impl fmt::Display for SetupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One image of a setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupItem {
    /// Which; without a number the newest at the time of the deployment.
    pub image: ImageSpec,
    /// Onto which disk.
    #[serde(default)]
    pub disk: DiskRule,
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
    pub owner: Option<String>,
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
