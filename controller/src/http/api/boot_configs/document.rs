//! Boot configs on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SetBody;
use crate::{
    http::{
        Api,
        api::{files, words::Evidence},
        error::Problem,
        extract::parse,
    },
    state::{
        Timestamp, View, config,
        config::{Asset, BootConfig, ConfigName, Program},
    },
};

/// A boot config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BootConfig)]
pub struct ConfigDoc {
    /// Its name.
    pub name: String,
    /// Grows with each change.
    pub revision: u64,
    /// What it runs.
    pub program: ProgramDoc,
    /// Text files that the booted system fetches: name → template.
    pub answers: BTreeMap<String, String>,
    /// What closes its activations.
    pub evidence: Evidence,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// A boot config in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BootConfigSummary)]
pub struct ConfigSummary {
    /// Its name.
    pub name: String,
    /// Grows with each change.
    pub revision: u64,
    /// `kernel` or `ipxe`.
    pub r#type: String,
    /// Names of its binary files.
    pub files: Vec<String>,
    /// Names of its answer files.
    pub answers: Vec<String>,
    /// What closes its activations.
    pub evidence: Evidence,
    /// Names of the machines that it is active for.
    pub active_for: Vec<String>,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// What a boot config runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
#[schema(as = Program)]
pub enum ProgramDoc {
    /// Kernel, initrds, command line.
    Kernel {
        /// The kernel.
        kernel: AssetDoc,
        /// Loaded in this order.
        initrds: Vec<AssetDoc>,
        /// Command line, a template.
        cmdline: String,
    },
    /// An iPXE script of one's own.
    Ipxe {
        /// The template.
        script: String,
        /// Files it may name.
        files: Vec<AssetDoc>,
    },
}

/// A binary file of a boot config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Asset)]
pub struct AssetDoc {
    /// Its name in scripts and URLs.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Length in bytes.
    pub size: u64,
}

/// What a boot config shall run; its files are named by their SHA-256.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "type", deny_unknown_fields)]
pub enum ProgramInput {
    /// Kernel, initrds, command line.
    Kernel {
        /// The kernel.
        kernel: FileInput,
        /// Loaded in this order.
        #[serde(default)]
        initrds: Vec<FileInput>,
        /// Command line, a template, without `initrd=`.
        #[serde(default)]
        cmdline: String,
    },
    /// An iPXE script of one's own.
    Ipxe {
        /// The template.
        script: String,
        /// Files it may name.
        #[serde(default)]
        files: Vec<FileInput>,
    },
}

/// An uploaded file and the name that scripts know it by.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileInput {
    /// Its name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl ConfigDoc {
    pub(super) fn of(config: &BootConfig) -> Self {
        Self {
            name: config.name.to_string(),
            revision: config.revision,
            program: ProgramDoc::of(&config.program),
            answers: config.answers.clone(),
            evidence: config.evidence.into(),
            updated: config.updated,
        }
    }
}

impl ConfigSummary {
    pub(super) fn of(config: &BootConfig, view: &View) -> Self {
        let active = view
            .activations()
            .filter(|a| a.is_open() && a.config.name == config.name);
        let machines = active.filter_map(|a| view.machine(&a.machine));
        Self {
            name: config.name.to_string(),
            revision: config.revision,
            r#type: match config.program {
                Program::Kernel { .. } => "kernel".to_owned(),
                Program::Ipxe { .. } => "ipxe".to_owned(),
            },
            files: config.program.assets().map(|a| a.name.clone()).collect(),
            answers: config.answers.keys().cloned().collect(),
            evidence: config.evidence.into(),
            active_for: machines.map(|m| m.name.to_string()).collect(),
            updated: config.updated,
        }
    }
}

impl ProgramDoc {
    fn of(program: &Program) -> Self {
        let all = |assets: &[Asset]| assets.iter().map(AssetDoc::of).collect();
        match program {
            Program::Kernel {
                kernel,
                initrds,
                cmdline,
            } => Self::Kernel {
                kernel: AssetDoc::of(kernel),
                initrds: all(initrds),
                cmdline: cmdline.clone(),
            },
            Program::Ipxe { script, files } => Self::Ipxe {
                script: script.clone(),
                files: all(files),
            },
        }
    }
}

impl AssetDoc {
    fn of(asset: &Asset) -> Self {
        Self {
            name: asset.name.clone(),
            sha256: asset.sha256.clone(),
            size: asset.size,
        }
    }
}

impl SetBody {
    /// The config that this describes; its files must be here.
    pub(super) fn into_config(self, name: ConfigName, api: &Api) -> Result<BootConfig, Problem> {
        // Answer files are read after the boot files, so only the booted system can tell that all went well.
        let usual = match self.answers.is_empty() {
            true => config::Evidence::Fetched,
            false => config::Evidence::Callback,
        };
        Ok(BootConfig {
            name,
            revision: 0,
            program: self.program.into_program(api)?,
            answers: self.answers,
            evidence: self.evidence.map_or(usual, Into::into),
            updated: api.store.now(),
        })
    }
}

impl ProgramInput {
    fn into_program(self, api: &Api) -> Result<Program, Problem> {
        let all = |files: Vec<FileInput>| files.into_iter().map(|f| f.into_asset(api));
        Ok(match self {
            Self::Kernel {
                kernel,
                initrds,
                cmdline,
            } => Program::Kernel {
                kernel: kernel.into_asset(api)?,
                initrds: all(initrds).collect::<Result<_, _>>()?,
                cmdline,
            },
            Self::Ipxe { script, files } => Program::Ipxe {
                script,
                files: all(files).collect::<Result<_, _>>()?,
            },
        })
    }
}

impl FileInput {
    fn into_asset(self, api: &Api) -> Result<Asset, Problem> {
        let stored = files::stored(api, &parse(&self.sha256, "sha256")?)?;
        Ok(Asset {
            name: self.name,
            sha256: self.sha256,
            size: stored.size,
        })
    }
}
