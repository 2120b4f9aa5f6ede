//! Images and their versions on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::api::words::Visibility,
    state::{
        Timestamp, View,
        image::{Content, Image, Origin, Version},
        ops::used_by,
    },
};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Image)]
pub struct ImageDoc {
    /// Its name; unique.
    pub name: String,
    /// Whose it is; absent: the site's.
    pub owner: Option<String>,
    /// Which machines may have it.
    pub visibility: Visibility,
    /// The number of its newest version; absent: all were deleted.
    pub latest: Option<u32>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionDoc>,
    /// When its first version came.
    pub created: Timestamp,
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "from")]
#[schema(as = Origin)]
pub enum OriginDoc {
    /// A person uploaded it.
    Upload {
        /// Who.
        by: String,
    },
    /// A machine's disk was saved.
    Capture {
        /// The machine's id.
        machine: String,
        /// The machine's name, while it is known.
        machine_name: Option<String>,
        /// By which deployment.
        deployment: u64,
    },
    /// It came from another site.
    Pulled {
        /// Which.
        site: String,
        /// What it is called there.
        version: String,
        /// Who asked for it.
        by: String,
    },
}

/// A version of an image; it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ImageVersion)]
pub struct VersionDoc {
    /// Its full name, `debian@3`.
    pub id: String,
    /// Its number; numbers are not used twice.
    pub number: u32,
    /// Names its bytes: BLAKE3 of its manifest.
    pub manifest: String,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of a sector of that disk.
    pub sector_size: u32,
    /// Bytes in a chunk.
    pub chunk_size: u32,
    /// Bytes of the disk that are not in holes.
    pub data_bytes: u64,
    /// Bytes the store had to add for it; it had the rest.
    pub new_bytes: u64,
    /// When it was complete.
    pub created: Timestamp,
    /// Where it came from.
    pub origin: OriginDoc,
    /// A person's words about it.
    pub note: Option<String>,
    /// Who needs it; as long as there is somebody, it cannot be deleted.
    pub used_by: Vec<String>,
}

impl ImageDoc {
    pub(super) fn of(image: &Image, view: &View) -> Self {
        Self {
            name: image.name.to_string(),
            owner: image.owner.as_ref().map(ToString::to_string),
            visibility: image.visibility.into(),
            latest: image.latest().map(|v| v.number),
            versions: (image.versions.iter())
                .map(|v| VersionDoc::of(image, v, view))
                .collect(),
            created: image.created,
        }
    }
}

impl VersionDoc {
    pub(super) fn of(image: &Image, version: &Version, view: &View) -> Self {
        let Content {
            manifest,
            size,
            sector_size,
            chunk_size,
            data_bytes,
            new_bytes,
        } = version.content;
        Self {
            id: image.id_of(version).to_string(),
            number: version.number,
            manifest: manifest.to_string(),
            size,
            sector_size,
            chunk_size,
            data_bytes,
            new_bytes,
            created: version.created,
            origin: OriginDoc::of(&version.origin, view),
            note: version.note.clone(),
            used_by: used_by(view, &image.name, Some(version.number)),
        }
    }
}

impl OriginDoc {
    fn of(origin: &Origin, view: &View) -> Self {
        match origin {
            Origin::Upload { by, .. } => Self::Upload { by: by.clone() },
            Origin::Capture { machine, job } => Self::Capture {
                machine_name: view.machine(machine).map(|m| m.name.to_string()),
                machine: machine.to_string(),
                deployment: job.0,
            },
            Origin::Pulled { site, version, by } => Self::Pulled {
                site: site.to_string(),
                version: version.to_string(),
                by: by.clone(),
            },
        }
    }
}
