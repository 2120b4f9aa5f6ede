//! Boot configs on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    SetBody,
    preset::{OsInput, PresetDoc},
};
use crate::{
    assets::Sha256Hex,
    fetch::{Fetcher, Url},
    http::{
        Api,
        api::{
            files,
            words::{Evidence, Level, Os},
        },
        error::{Code, Problem},
        extract::parse,
    },
    state::{
        Timestamp, View, config,
        config::{Asset, BootConfig, Check, ConfigName, Program},
        preset,
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
    /// Names of the files that are put together of answers.
    pub overlays: Vec<String>,
    /// What closes its activations.
    pub evidence: Evidence,
    /// How well a machine's key must be proved before it is served; absent: everybody may read it.
    pub level: Option<Level>,
    /// Whether it writes to a disk without asking; such a config is never standing.
    pub writes_disk: bool,
    /// What a person said, when a preset made the rest of it.
    pub preset: Option<PresetDoc>,
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
    /// `kernel` or `ipxe`, or the preset's system.
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
    /// SHA-256 of its bytes; absent as long as it is not here.
    pub sha256: Option<String>,
    /// Length in bytes; while it is fetched, what the server announced.
    pub size: u64,
    /// Where it stands.
    pub state: FileState,
    /// Where it is fetched from; absent: it was uploaded.
    pub url: Option<String>,
    /// Bytes fetched so far, while it is fetched.
    pub got: Option<u64>,
    /// Why it could not be fetched.
    pub why: Option<String>,
}

/// Where a boot file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// A person uploaded it.
    Uploaded,
    /// It was fetched, and its checksum was found right where one is known.
    Cached,
    /// It is being fetched, or waits for its turn.
    Fetching,
    /// It could not be fetched; setting, activating or `fetch` tries again.
    Failed,
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
    /// An operating system; the rest comes from its preset.
    Os(Box<OsInput>),
}

/// A file, uploaded or to be fetched, and the name that scripts know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileInput {
    /// Its name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// SHA-256 of its bytes. Of a file to be fetched it may be absent: then the nearest `SHA256SUMS` above it counts, where
    /// one names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// http or https URL to fetch it from; absent: it was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl SetBody {
    /// The config that this describes; its files must be here.
    pub(super) fn into_config(self, name: ConfigName, api: &Api) -> Result<BootConfig, Problem> {
        // Answer files are read after the boot files, so only the booted system can tell that all went well.
        let usual = match self.answers.is_empty() {
            true => config::Evidence::Fetched,
            false => config::Evidence::Callback,
        };
        let mut config = match self.program {
            ProgramInput::Os(input) => {
                let built = preset::build(name, input.into_preset(api)?);
                let mut config =
                    built.map_err(|e| Problem::new(Code::ConfigInvalid, e.to_string()))?;
                config.answers.extend(self.answers);
                config
            }
            by_hand => {
                let program = by_hand.into_program(api)?;
                BootConfig::new(name, program, self.answers, usual)
            }
        };
        config.evidence = self.evidence.map_or(config.evidence, Into::into);
        config.level = self.level.map(Into::into);
        config.writes_disk |= self.writes_disk;
        Ok(config)
    }
}

impl ConfigDoc {
    pub(super) fn of(config: &BootConfig, fetcher: &Fetcher) -> Self {
        Self {
            name: config.name.to_string(),
            revision: config.revision,
            program: ProgramDoc::of(&config.program, fetcher),
            answers: config.answers.clone(),
            overlays: config.overlays.keys().cloned().collect(),
            evidence: config.evidence.into(),
            level: config.level.map(Into::into),
            writes_disk: config.writes_disk,
            preset: config.preset.as_deref().map(PresetDoc::of),
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
            r#type: match (&config.preset, &config.program) {
                (Some(preset), _) => Os::from(preset.os).word().to_owned(),
                (None, Program::Kernel { .. }) => "kernel".to_owned(),
                (None, Program::Ipxe { .. }) => "ipxe".to_owned(),
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
    fn of(program: &Program, fetcher: &Fetcher) -> Self {
        let one = |asset: &Asset| AssetDoc::of(asset, fetcher);
        let all = |assets: &[Asset]| assets.iter().map(one).collect();
        match program {
            Program::Kernel {
                kernel,
                initrds,
                cmdline,
            } => Self::Kernel {
                kernel: one(kernel),
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
    fn of(asset: &Asset, fetcher: &Fetcher) -> Self {
        let remote = asset.remote.as_ref();
        let state = match (remote, &asset.sha256) {
            (None, _) => FileState::Uploaded,
            (Some(_), Some(_)) => FileState::Cached,
            (Some(_), None) if asset.is_wanted() => FileState::Fetching,
            (Some(_), None) => FileState::Failed,
        };
        let fetching = remote.filter(|_| state == FileState::Fetching);
        let progress = fetching.and_then(|r| fetcher.progress(&r.url));
        Self {
            name: asset.name.clone(),
            sha256: asset.sha256.clone(),
            size: progress.and_then(|p| p.of).unwrap_or(asset.size),
            state,
            url: remote.map(|r| r.url.clone()),
            got: progress.map(|p| p.got),
            why: remote.and_then(|r| r.failed.clone()),
        }
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
            Self::Os(_) => {
                let text = "a preset is built, not taken as it is";
                return Err(Problem::new(Code::Internal, text));
            }
        })
    }
}

impl FileInput {
    pub(super) fn into_asset(self, api: &Api) -> Result<Asset, Problem> {
        let sum: Option<Sha256Hex> = self.sha256.map(|s| parse(&s, "sha256")).transpose()?;
        match (self.url, sum) {
            (Some(url), sum) => {
                let url: Url = parse(&url, "url")?;
                let check = sum.map_or(Check::Sha256sums, |sum| Check::Sum { sha256: sum.into() });
                Ok(Asset::remote(&self.name, url.to_string(), check))
            }
            (None, Some(sum)) => {
                let stored = files::stored(api, &sum)?;
                Ok(Asset::kept(&self.name, &String::from(sum), stored.size))
            }
            (None, None) => Err(Problem::new(
                Code::BadValue,
                format!("'{}' has neither a sha256 nor a url", self.name),
            )),
        }
    }
}
