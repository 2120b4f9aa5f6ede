//! What is to be done to a machine's disk, and when it is good.

use std::net::IpAddr;

use mesh_proto::message::job::{Ability, After, DiskRule, Erase, PartitionRule, ProvisionFile};
use serde::{Deserialize, Serialize};

use crate::state::image::{ImageName, Pinned};

/// What a person looks at to see that a deployment is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "until")]
pub enum Until {
    /// The disk was started: nothing in the image is known to speak. Should it speak all the same, it is online.
    HandedOver,
    /// The new system speaks within a time: its agent, its phone-home, or an answer to the probe.
    Online {
        /// Seconds from the writing's end, and again from the disk's start.
        within_s: u32,
        /// Asked until it answers.
        #[serde(default)]
        probe: Option<Probe>,
    },
}

/// How the controller asks a new system whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "probe")]
pub enum Probe {
    /// A TCP connection can be made.
    Tcp {
        /// Where; `None`: the machine's newest known address.
        #[serde(default)]
        host: Option<IpAddr>,
        /// Which port.
        port: u16,
    },
    /// An HTTP GET is answered with a status below 400.
    Http {
        /// Where; `None`: the machine's newest known address.
        #[serde(default)]
        host: Option<IpAddr>,
        /// Which port.
        port: u16,
        /// Which path.
        path: String,
    },
}

/// The disk is saved before it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    /// As a version of which image.
    pub name: ImageName,
    /// Only blocks that the file systems use.
    pub used_blocks_only: bool,
}

/// Whether somebody is asked to start the machine for its job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// It is started again as soon as it is its turn.
    #[default]
    Now,
    /// The job waits until it starts by itself.
    NextBoot,
}

/// What is to be done: its parts in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which disk. Once the machine's facts are known, this very disk.
    #[serde(default)]
    pub disk: DiskRule,
    /// Only this partition of it.
    #[serde(default)]
    pub partition: Option<PartitionRule>,
    /// Save it first.
    #[serde(default)]
    pub save_current: Option<Save>,
    /// Empty it.
    #[serde(default)]
    pub erase: Option<Erase>,
    /// Write this.
    #[serde(default)]
    pub image: Option<Pinned>,
    /// Grow its last partition to the disk's end.
    #[serde(default)]
    pub grow: bool,
    /// Files for the new system. Secrets: gone when the job is over.
    #[serde(default)]
    pub provision: Vec<ProvisionFile>,
    /// A join token for the new system's agent, beside those files.
    #[serde(default)]
    pub join: bool,
    /// What the machine does then.
    #[serde(default)]
    pub after: After,
    /// When it is good.
    pub until: Until,
    /// Write the saved disk back when the new system does not come.
    #[serde(default)]
    pub roll_back: bool,
    /// Whether somebody starts the machine for it.
    #[serde(default)]
    pub when: When,
}

impl Order {
    /// What an agent has to be able to, beyond what the first ones could.
    pub fn needs(&self) -> impl Iterator<Item = Ability> {
        let partition = self.partition.as_ref().map(|_| Ability::OnePartition);
        partition.into_iter()
    }
}
