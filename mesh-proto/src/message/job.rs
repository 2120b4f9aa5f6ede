//! What an agent does with a disk: jobs, pulled by the agent of a management OS and reported step by step.
//!
//! The agent asks [`FromAgent::Job`](super::link::FromAgent::Job) after its hello, when it is nudged, and each time it has
//! nothing to do. What it is given it reports on by [`Step`]s, each of which the controller writes down before it answers,
//! and at last by an [`Outcome`]. A job that was interrupted is given again; the disk itself shows how far it came.

mod ability;
mod disk_rule;
mod partition;

use serde::{Deserialize, Serialize};

pub use ability::Ability;
pub use disk_rule::{DiskProblem, DiskRule};
pub use partition::{BadPartition, PartitionRule};

/// A job as the controller wrote it down. Optional parts are done in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The deployment's number.
    pub id: u64,
    /// Which disk it is about.
    pub disk: DiskRule,
    /// Only this partition of it: the image is a file system's, and nothing beside it is touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionRule>,
    /// The disk is saved first.
    #[serde(default)]
    pub capture: Option<Capture>,
    /// The disk is emptied.
    #[serde(default)]
    pub erase: Option<Erase>,
    /// The image to be written.
    #[serde(default)]
    pub image: Option<ImageRef>,
    /// Grow the last partition to the disk's end.
    #[serde(default)]
    pub grow: bool,
    /// What the new system is told: files of a `cidata` partition, by name.
    #[serde(default)]
    pub provision: Vec<ProvisionFile>,
    /// What happens when all is written.
    pub after: After,
}

/// An image in a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// `name@version`, for people.
    pub name: String,
    /// Digest of the manifest, 64 hex digits.
    pub manifest: String,
    /// Bytes of the disk it was made of; a smaller disk is refused before the first byte.
    pub size: u64,
    /// Its sector size; a partition table is only right on such a disk.
    pub sector_size: u32,
    /// Signed leave to fetch it: the ticket's text, a blank, and the signature in hex digits.
    pub ticket: String,
}

/// Saving a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The image's name it becomes a version of, for people.
    pub name: String,
    /// Bytes in a chunk.
    pub chunk_size: u32,
    /// Ask the file systems which blocks are in use; else every block that is not zero is saved.
    pub used_blocks_only: bool,
}

/// One file of a `cidata` partition.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionFile {
    /// `user-data`, `meta-data`, …
    pub name: String,
    /// Its text; may hold secrets, so a job with provision goes to T2 machines only.
    pub text: String,
}

impl std::fmt::Debug for ProvisionFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProvisionFile({}, {} bytes)", self.name, self.text.len())
    }
}

/// How a disk is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Erase {
    /// Tell the disk that every block is unused, then look whether it reads as zeros; else write zeros.
    Discard,
    /// The disk's own sanitize or secure erase; refused where there is none.
    Sanitize,
    /// Write zeros over everything.
    Zero,
}

/// What a machine does when its job is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// Restart through the firmware, into the disk.
    #[default]
    Reboot,
    /// Start the written kernel at once, without the firmware.
    Kexec,
    /// Switch off.
    PowerOff,
    /// Stay in the management OS.
    Stay,
}

/// Where a job is. The order of the variants is the order of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The disk is read and saved.
    Capturing,
    /// The disk is emptied.
    Erasing,
    /// The manifest is fetched and compared with what is on the disk.
    Fetching,
    /// Chunks are fetched and written.
    Writing,
    /// What was written is read back from the medium.
    Verifying,
    /// The recorded edits are made and read back.
    Editing,
}

impl Step {
    /// Its stable word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Capturing => "capturing",
            Self::Erasing => "erasing",
            Self::Fetching => "fetching",
            Self::Writing => "writing",
            Self::Verifying => "verifying",
            Self::Editing => "editing",
        }
    }
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// The job.
    pub job: u64,
    /// The step.
    pub step: Step,
    /// Bytes of the disk that are done.
    pub done_bytes: u64,
    /// Bytes of the disk this step is about.
    pub total_bytes: u64,
    /// Bytes that went over the wire for it so far.
    pub wire_bytes: u64,
}

/// The last word on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The job.
    pub job: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a job ended at the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Everything is on the disk and was read back.
    Written {
        /// The disk it was done to.
        disk: DiskSeen,
        /// The edits that were made on top of the image.
        edits: Vec<Edit>,
        /// What was counted on the way.
        counts: Counts,
        /// What became of the wish to start the written kernel at once; none, and the machine restarts through its
        /// firmware.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kexec: Option<Kexec>,
    },
    /// It cannot be done, and why, for people. A half-written disk was made unbootable.
    Failed {
        /// Why.
        reason: String,
        /// The disk was being written when it failed: what was on it is gone.
        disk_touched: bool,
    },
}

/// Whether the written kernel starts without the firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kexec {
    /// It is loaded, and the hardware's watchdog watches its start.
    Loaded,
    /// The machine restarts instead; why, for people.
    Not(String),
}

/// The disk a job was done to, as the agent found it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSeen {
    /// Its name in this boot.
    pub name: String,
    /// Its model.
    #[serde(default)]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default)]
    pub serial: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a job did, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Bytes of chunks that were right on the disk already.
    pub kept_bytes: u64,
    /// Bytes of the disk that were written.
    pub written_bytes: u64,
    /// Bytes that went over the wire.
    pub wire_bytes: u64,
    /// Bytes read back from the medium and found right.
    pub verified_bytes: u64,
    /// Chunks a source gave wrong; by source.
    #[serde(default)]
    pub wrong_chunks: Vec<(String, u64)>,
}

/// A change to the disk on top of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "edit")]
pub enum Edit {
    /// The backup partition table moved to the disk's end.
    BackupTableMoved,
    /// The last partition now ends there.
    PartitionGrown {
        /// Its number in the table.
        number: u32,
        /// Where it ends now, bytes.
        end: u64,
    },
    /// A `cidata` partition that an earlier deployment had written was removed.
    ProvisionRemoved {
        /// Where it started, bytes.
        offset: u64,
        /// Its bytes, which are zeros now.
        len: u64,
    },
    /// A `cidata` partition was written.
    Provisioned {
        /// Where it starts, bytes.
        offset: u64,
        /// Its bytes.
        len: u64,
    },
    /// The firmware's boot order: network first, then the written disk.
    BootOrder,
}
