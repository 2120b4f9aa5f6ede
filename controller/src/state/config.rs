//! Boot configs: what a person wants a machine to run.

use std::collections::BTreeMap;

use mesh_proto::message::enrol::Level;
use serde::{Deserialize, Serialize};

pub use super::name::{ConfigName, is_plain_name};
use super::{
    Timestamp,
    overlay::Overlay,
    preset::{Os, Preset},
};

/// The name under a nonce that a script fetches when all its files are in memory.
pub const LOADED: &str = "loaded";

/// A boot file, kept in the asset store by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its name in scripts and URLs; a plain name.
    pub name: String,
    /// SHA-256 of its bytes, lower-case hex: where it is kept. `None`: it is not here yet.
    pub sha256: Option<String>,
    /// Length in bytes; zero as long as it is not here.
    pub size: u64,
    /// Where it is fetched from; `None`: a person uploaded it.
    #[serde(default)]
    pub remote: Option<Remote>,
}

/// Where a file is fetched from, and how that went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Remote {
    /// http or https URL.
    pub url: String,
    /// What its bytes are checked by.
    pub check: Check,
    /// Why it is not here, for a person; it is tried again when somebody asks.
    #[serde(default)]
    pub failed: Option<String>,
}

/// What the bytes of a remote file are checked by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Check {
    /// A sum that a person gave.
    Sum {
        /// SHA-256, lower-case hex.
        sha256: String,
    },
    /// The nearest `SHA256SUMS` above it, where one names it.
    Sha256sums,
    /// The `.treeinfo` of its tree, where that names it.
    Treeinfo,
    /// Nothing but its length.
    Unchecked,
}

impl Asset {
    /// A file of a name that is here.
    #[must_use]
    pub fn kept(name: &str, sha256: &str, size: u64) -> Self {
        Self {
            name: name.to_owned(),
            sha256: Some(sha256.to_owned()),
            size,
            remote: None,
        }
    }

    /// A file of a name that has to be fetched.
    #[must_use]
    pub fn remote(name: &str, url: String, check: Check) -> Self {
        Self {
            name: name.to_owned(),
            sha256: None,
            size: 0,
            remote: Some(Remote {
                url,
                check,
                failed: None,
            }),
        }
    }

    /// Whether it has to be fetched now.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let untried = |r: &Remote| r.failed.is_none();
        self.sha256.is_none() && self.remote.as_ref().is_some_and(untried)
    }

    /// The same, as if it had never been fetched.
    #[must_use]
    pub fn unfetched(&self) -> Self {
        match &self.remote {
            None => self.clone(),
            Some(remote) => Self::remote(&self.name, remote.url.clone(), remote.check.clone()),
        }
    }
}

/// What a config runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Program {
    /// Kernel, initrds, command line.
    Kernel {
        /// The kernel.
        kernel: Asset,
        /// Loaded in this order.
        #[serde(default)]
        initrds: Vec<Asset>,
        /// Command line, a template.
        #[serde(default)]
        cmdline: String,
    },
    /// A person's own iPXE script, a template. It names files as `{{ files }}/<name>`.
    Ipxe {
        /// The template.
        script: String,
        /// Files it may name.
        #[serde(default)]
        files: Vec<Asset>,
    },
}

impl Program {
    /// The binary files that the program loads, in script order.
    pub fn assets(&self) -> impl Iterator<Item = &Asset> {
        let (first, rest) = match self {
            Self::Kernel {
                kernel, initrds, ..
            } => (Some(kernel), initrds),
            Self::Ipxe { files, .. } => (None, files),
        };
        first.into_iter().chain(rest)
    }

    /// The same, to be changed.
    pub fn assets_mut(&mut self) -> impl Iterator<Item = &mut Asset> {
        let (first, rest) = match self {
            Self::Kernel {
                kernel, initrds, ..
            } => (Some(kernel), initrds),
            Self::Ipxe { files, .. } => (None, files),
        };
        first.into_iter().chain(rest)
    }

    /// The same with every remote file as if it had never been fetched: what a person said, without what became of it.
    #[must_use]
    pub fn unfetched(&self) -> Self {
        let mut program = self.clone();
        for asset in program.assets_mut() {
            *asset = asset.unfetched();
        }
        program
    }
}

/// What closes a one-shot activation (DESIGN §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Every file that the script names was sent whole, within one boot.
    Fetched,
    /// The booted system calls `…/done` or `…/failed`.
    Callback,
    /// The agent in the booted system reports over its link, which nobody else can.
    Agent,
}

/// A boot config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// Its name.
    pub name: ConfigName,
    /// Grows with each change; an activation keeps the revision it was armed with.
    pub revision: u64,
    /// What it runs.
    pub program: Program,
    /// Text files served under the nonce, such as a preseed: name → template.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// What closes its activations.
    pub evidence: Evidence,
    /// How well the machine's key must be proved before this is served; `None`: it may be read by everybody.
    #[serde(default)]
    pub level: Option<Level>,
    /// Whether it writes to a disk without asking: such a config is never standing, and one by hand is for accepted machines.
    #[serde(default)]
    pub writes_disk: bool,
    /// Files put together of answers, such as Alpine's apkovl.
    #[serde(default)]
    pub overlays: BTreeMap<String, Overlay>,
    /// What a person said, when a preset made the rest of it.
    #[serde(default)]
    pub preset: Option<Box<Preset>>,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl BootConfig {
    /// A public config that nobody stored yet.
    #[must_use]
    pub fn new(
        name: ConfigName,
        program: Program,
        answers: BTreeMap<String, String>,
        evidence: Evidence,
    ) -> Self {
        Self {
            name,
            revision: 0,
            program,
            answers,
            evidence,
            level: None,
            writes_disk: false,
            overlays: BTreeMap::new(),
            preset: None,
            updated: Timestamp::UNIX_EPOCH,
        }
    }

    /// Whether a person said that it writes to a disk, and not only chose an installer.
    #[must_use]
    pub fn is_said_to_write(&self) -> bool {
        let by_hand = self.preset.as_ref().is_none_or(|p| p.os == Os::Custom);
        by_hand && self.writes_disk
    }

    /// The files that are not here, each with why.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let missing = self.program.assets().filter(|a| a.sha256.is_none());
        let why = |a: &Asset| match a.remote.as_ref().and_then(|r| r.failed.as_ref()) {
            Some(why) => format!("{}: {why}", a.name),
            None => format!("{} is being fetched", a.name),
        };
        missing.map(why).collect()
    }
}
