//! Boot configs: what a person wants a machine to run.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Timestamp, machine::BadName};

/// A boot config's name: 1 to 63 letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigName(String);

/// The name under a nonce that a script fetches when all its files are in memory.
pub const LOADED: &str = "loaded";

/// Whether a text is safe as a file or config name: also as an iPXE image name and a URL path segment.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl FromStr for ConfigName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_plain_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for ConfigName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<ConfigName> for String {
    fn from(name: ConfigName) -> Self {
        name.0
    }
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file in the asset store, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its name in scripts and URLs; a plain name.
    pub name: String,
    /// SHA-256 of its bytes, lower-case hex: where it is kept.
    pub sha256: String,
    /// Length in bytes.
    pub size: u64,
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
    /// When it was changed last.
    pub updated: Timestamp,
}
