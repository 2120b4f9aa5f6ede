//! Images: what can be written to disks, in versions (DESIGN §5). The bytes are in the chunk store; here stands what they
//! are called, where they came from and who may have them.

use std::{fmt, str::FromStr};

use ::image::ChunkId;
use serde::{Deserialize, Serialize};

pub use super::name::ImageName;
use super::{
    Timestamp, deployment::DeploymentId, machine::MachineId, peer::SiteName, user::UserName,
};

/// Versions one image may have: they are one row of the store, and are written together.
pub const MAX_VERSIONS: usize = 256;

/// One version of an image, `debian@3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionId {
    /// Of which image.
    pub image: ImageName,
    /// Its number; numbers are not used twice.
    pub number: u32,
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.image, self.number)
    }
}

/// How a person names a version: `debian`, `debian@latest` or `debian@3`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSpec {
    /// Which image.
    pub image: ImageName,
    /// Which version; `None`: the newest.
    pub number: Option<u32>,
}

/// A text that names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no image; write NAME, NAME@latest or NAME@NUMBER")]
pub struct BadSpec(String);

impl FromStr for ImageSpec {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Self, BadSpec> {
        let bad = || BadSpec(text.chars().take(80).collect());
        let (name, number) = match text.split_once('@') {
            None | Some((_, "latest")) => (text.split('@').next().unwrap_or(text), None),
            Some((name, number)) => (name, Some(number.parse().map_err(|_| bad())?)),
        };
        let image = name.parse().map_err(|_| bad())?;
        Ok(Self { image, number })
    }
}

impl fmt::Display for ImageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{}@{number}", self.image),
            None => write!(f, "{}", self.image),
        }
    }
}

crate::state::name::as_text! { ImageSpec: BadSpec }

/// Which machines may have an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// Every accepted machine.
    Public,
    /// Machines whose key was well proved (T2): it may hold secrets.
    Private,
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum Origin {
    /// A person uploaded it.
    Upload {
        /// Who, for people.
        by: String,
        /// The upload's own id: the same upload saved twice is one version.
        #[serde(default)]
        id: Option<String>,
    },
    /// A machine's disk was saved.
    Capture {
        /// Whose.
        machine: MachineId,
        /// By which job; a job makes one version.
        job: DeploymentId,
    },
    /// It came from another site.
    Pulled {
        /// Which.
        site: SiteName,
        /// What it is called there.
        version: VersionId,
        /// Who asked for it, for people.
        by: String,
    },
}

/// What the chunk store says about the bytes of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Digest of the manifest: what names the bytes.
    pub manifest: ChunkId,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of a sector of that disk.
    pub sector_size: u32,
    /// Bytes in a chunk.
    pub chunk_size: u32,
    /// Bytes that are no holes.
    pub data_bytes: u64,
    /// Bytes that the store had to add for it, compressed; the rest was there.
    pub new_bytes: u64,
}

/// One version: never changed, only deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub number: u32,
    /// What is in it.
    #[serde(flatten)]
    pub content: Content,
    /// When it was complete.
    pub created: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// A person's words about it.
    #[serde(default)]
    pub note: Option<String>,
}

/// An image with its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Whose it is; `None`: the site's.
    #[serde(default)]
    pub owner: Option<UserName>,
    /// Which machines may have it.
    pub visibility: Visibility,
    /// Its versions, oldest first.
    pub versions: Vec<Version>,
    /// The number of the next version.
    pub next: u32,
    /// When its first version came.
    pub created: Timestamp,
}

impl Image {
    /// The newest version.
    #[must_use]
    pub fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The version of this number; `None`: the newest.
    #[must_use]
    pub fn version(&self, number: Option<u32>) -> Option<&Version> {
        match number {
            None => self.latest(),
            Some(number) => self.versions.iter().find(|v| v.number == number),
        }
    }

    /// The name of one of its versions.
    #[must_use]
    pub fn id_of(&self, version: &Version) -> VersionId {
        VersionId {
            image: self.name.clone(),
            number: version.number,
        }
    }
}

/// A version that a deployment or a part of a setup writes: found once, and written down whole, so that what `latest`
/// means cannot change under a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Which.
    #[serde(flatten)]
    pub id: VersionId,
    /// Digest of its manifest.
    pub manifest: ChunkId,
    /// Bytes of the disk it was made of.
    pub size: u64,
    /// Bytes of its sectors.
    pub sector_size: u32,
}

impl Pinned {
    /// This version, pinned.
    #[must_use]
    pub fn of(image: &Image, version: &Version) -> Self {
        Self {
            id: image.id_of(version),
            manifest: version.content.manifest,
            size: version.content.size,
            sector_size: version.content.sector_size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_by_name_number_or_as_the_newest() {
        for (text, number) in [
            ("debian", None),
            ("debian@latest", None),
            ("a.b-c@12", Some(12)),
        ] {
            let spec: ImageSpec = text.parse().unwrap();
            assert_eq!(spec.number, number, "{text}");
            assert_eq!(spec.to_string().parse(), Ok(spec), "{text}");
        }
        for text in [
            "",
            "@",
            "@3",
            "debian@",
            "debian@x",
            "debian@-1",
            "a b",
            "a/b",
            "a@1@2",
        ] {
            assert!(text.parse::<ImageSpec>().is_err(), "{text}");
        }
    }
}
