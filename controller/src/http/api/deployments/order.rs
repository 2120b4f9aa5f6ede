//! What is to be done to a disk, as a person writes it.

use std::net::IpAddr;

use mesh_proto::message::job::{DiskRule, Edit, PartitionRule, ProvisionFile};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::{
        api::words::{After, Erase, When},
        error::Problem,
        extract::parse,
    },
    state::{
        deployment::{Probe, Save, Until},
        ops::OrderSpec,
    },
};

/// What is to be done, its parts in this order: save, erase, write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderBody {
    /// What is written: `debian`, `debian@latest` or `debian@3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Which disk; absent: the only fixed one. What the machine's facts say is checked and bound at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskRuleDoc>,
    /// Only this partition of it: its name in the GUID table, or `#` and its number. The image is then a file system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Save the disk first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_current: Option<SaveDoc>,
    /// Empty the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase: Option<Erase>,
    /// Grow the last partition to the disk's end.
    #[serde(default)]
    pub grow: bool,
    /// Files for the new system, on a `cidata` partition: `user-data`, `meta-data`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provision: Vec<ProvisionFileDoc>,
    /// A join token for the new system's agent, on the same partition: it joins by itself, at T2, and is online. Needs a
    /// machine whose key was well proved (T2); good once, and dead when the deployment ends.
    #[serde(default)]
    pub join: bool,
    /// What the machine does then; absent: it restarts into its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// When it is good; absent: online where files for the new system make it speak, else handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UntilDoc>,
    /// Write the saved disk back when the new system does not come.
    #[serde(default)]
    pub roll_back: bool,
    /// Whether somebody starts the machine for it; absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// Which disk is meant: every field that is given has to fit.
// Not the agents' `DiskRule` itself: a person's misspelt field is refused here, an agent's newer one is passed over there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DiskRule)]
pub struct DiskRuleDoc {
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where it is plugged in, as udev names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_path: Option<String>,
    /// At least so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u64>,
    /// At most so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Of several that fit, the smallest.
    #[serde(default)]
    pub smallest: bool,
}

impl From<&DiskRule> for DiskRuleDoc {
    fn from(rule: &DiskRule) -> Self {
        let DiskRule {
            serial,
            model,
            by_path,
            min_bytes,
            max_bytes,
            smallest,
        } = rule.clone();
        Self {
            serial,
            model,
            by_path,
            min_bytes,
            max_bytes,
            smallest,
        }
    }
}

impl From<DiskRuleDoc> for DiskRule {
    fn from(rule: DiskRuleDoc) -> Self {
        Self {
            serial: rule.serial,
            model: rule.model,
            by_path: rule.by_path,
            min_bytes: rule.min_bytes,
            max_bytes: rule.max_bytes,
            smallest: rule.smallest,
        }
    }
}

/// How a disk is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Save)]
pub struct SaveDoc {
    /// The image it becomes a version of; made when it is new, and private then.
    pub name: String,
    /// Also blocks that no file system uses.
    #[serde(default)]
    pub all_blocks: bool,
}

/// A file for the new system.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProvisionFile)]
pub struct ProvisionFileDoc {
    /// Its name.
    pub name: String,
    /// Its text. Needs a machine whose key was well proved (T2).
    pub text: String,
}

impl std::fmt::Debug for ProvisionFileDoc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ProvisionFileDoc({}, {} bytes)",
            self.name,
            self.text.len()
        )
    }
}

/// When a deployment is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "until")]
#[schema(as = Until)]
pub enum UntilDoc {
    /// The disk was started.
    HandedOver,
    /// The new system speaks within a time.
    Online {
        /// Seconds.
        within_s: u32,
        /// Asked until it answers; absent: its agent or its phone-home has to speak.
        #[serde(default)]
        probe: Option<ProbeDoc>,
    },
}

/// How the controller asks a new system whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "probe")]
#[schema(as = Probe)]
pub enum ProbeDoc {
    /// A TCP connection can be made.
    Tcp {
        /// Where; absent: the machine's newest address.
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        host: Option<IpAddr>,
        /// Which port.
        port: u16,
    },
    /// An HTTP GET is answered with a status below 400.
    Http {
        /// Where; absent: the machine's newest address.
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        host: Option<IpAddr>,
        /// Which port.
        port: u16,
        /// Which path.
        path: String,
    },
}

impl From<ProbeDoc> for Probe {
    fn from(probe: ProbeDoc) -> Self {
        match probe {
            ProbeDoc::Tcp { host, port } => Self::Tcp { host, port },
            ProbeDoc::Http { host, port, path } => Self::Http { host, port, path },
        }
    }
}

impl From<UntilDoc> for Until {
    fn from(until: UntilDoc) -> Self {
        match until {
            UntilDoc::HandedOver => Self::HandedOver,
            UntilDoc::Online { within_s, probe } => Self::Online {
                within_s,
                probe: probe.map(Into::into),
            },
        }
    }
}

impl OrderBody {
    /// Every name in it parsed.
    pub(super) fn spec(&self) -> Result<OrderSpec, Problem> {
        let save = self.save_current.as_ref().map(|save| {
            Ok::<_, Problem>(Save {
                name: parse(&save.name, "save_current")?,
                used_blocks_only: !save.all_blocks,
            })
        });
        let image = self.image.as_deref().map(|i| parse(i, "image"));
        Ok(OrderSpec {
            disk: self.disk.clone().unwrap_or_default().into(),
            partition: partition(self.partition.as_deref())?,
            save_current: save.transpose()?,
            erase: self.erase.map(Into::into),
            image: image.transpose()?,
            grow: self.grow,
            provision: (self.provision.iter().cloned())
                .map(|file| ProvisionFile {
                    name: file.name,
                    text: file.text,
                })
                .collect(),
            join: self.join,
            after: self.after.map(Into::into).unwrap_or_default(),
            until: self.until.clone().map(Into::into),
            roll_back: self.roll_back,
            when: self.when.map(Into::into).unwrap_or_default(),
        })
    }
}

/// The partition that a text names.
pub(in crate::http::api) fn partition(
    text: Option<&str>,
) -> Result<Option<PartitionRule>, Problem> {
    text.map(|text| parse(text, "partition")).transpose()
}

/// A change on top of an image, for people.
pub(super) fn edit_in_words(edit: &Edit) -> String {
    match edit {
        Edit::BackupTableMoved => "the backup partition table is at the disk's end".to_owned(),
        Edit::PartitionGrown { number, end } => {
            format!("partition {number} was grown to byte {end}")
        }
        Edit::ProvisionRemoved { offset, len } => {
            format!("files for an earlier system, at byte {offset} ({len} bytes), were removed")
        }
        Edit::Provisioned { offset, len } => {
            format!("files for the new system are at byte {offset} ({len} bytes)")
        }
        Edit::BootOrder => {
            "the firmware starts from the network first, then from this disk".to_owned()
        }
    }
}
