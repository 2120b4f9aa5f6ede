//! `os` presets: of an operating system, the place of its files and a script they make a whole boot config.
//!
//! Pure text work, a file per system; the answer files are templates under `files/`. Everything a person gives is checked
//! here to be of plain characters, so it can stand in any of the formats; what comes from the machine is quoted where it is
//! filled in.

mod alpine;
mod check;
mod custom;
mod debian;
mod fedora;
mod flatcar;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
mod ubuntu;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    config::{Asset, BootConfig, Check, ConfigName, Evidence, Program},
    overlay::Overlay,
};

/// The answer file that holds a person's script.
pub const SCRIPT: &str = "script.sh";
/// The answer file that runs it and calls back.
const RUN: &str = "run.sh";

/// The systems that there are presets for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Os {
    /// Debian's installer, by preseed.
    Debian,
    /// Ubuntu Server's installer, by autoinstall.
    Ubuntu,
    /// Alpine's live system, which installs itself by its answer file.
    Alpine,
    /// Fedora's installer and those of its family, by kickstart.
    Fedora,
    /// Flatcar Container Linux in memory, by Ignition.
    Flatcar,
    /// A kernel and initrds of one's own.
    Custom,
}

/// The processors that presets know the files of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PresetArch {
    /// 64-bit x86.
    #[default]
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl PresetArch {
    /// As Debian, Ubuntu and Flatcar say it.
    fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As Alpine and Fedora say it.
    fn kernel(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preset {
    /// Which system.
    pub os: Os,
    /// With a release the system's mirror, else the folder with its files; http or https.
    #[serde(default)]
    pub location: Option<String>,
    /// Which release, as the mirror names it: `bookworm`, `24.04`, `v3.20`, `42`.
    #[serde(default)]
    pub release: Option<String>,
    /// For which processor.
    #[serde(default)]
    pub arch: PresetArch,
    /// The provisioning script, a template; its exit status decides.
    pub script: String,
    /// Keys that may log in as the administrator.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// The disk to install on, `/dev/…`; absent: the first that is not removable.
    #[serde(default)]
    pub disk: Option<String>,
    /// Packages beside the usual ones.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Language and country; absent: `en_US.UTF-8`.
    #[serde(default)]
    pub locale: Option<String>,
    /// Keyboard; absent: `us`.
    #[serde(default)]
    pub keyboard: Option<String>,
    /// Time zone; absent: `UTC`.
    #[serde(default)]
    pub timezone: Option<String>,
    /// More words for the kernel, a template.
    #[serde(default)]
    pub append: String,
    /// A kernel in place of the location's.
    #[serde(default)]
    pub kernel: Option<Asset>,
    /// Initrds in place of the location's.
    #[serde(default)]
    pub initrds: Vec<Asset>,
    /// Of a custom system: whether it writes to a disk.
    #[serde(default)]
    pub writes_disk: bool,
}

/// Why a preset makes no config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    /// Something is not given.
    #[error("{0}")]
    Missing(String),
    /// Something cannot stand in an answer file.
    #[error("{what} cannot be '{value}'; {allowed}")]
    Unfit {
        /// Which word.
        what: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: &'static str,
    },
}

/// What a preset makes.
struct Built {
    kernel: Asset,
    initrds: Vec<Asset>,
    cmdline: String,
    answers: BTreeMap<String, String>,
    overlays: BTreeMap<String, Overlay>,
    writes_disk: bool,
}

/// The config that a person's words make; not stored yet.
///
/// # Errors
/// When something is missing, or cannot stand in an answer file.
pub fn build(name: ConfigName, preset: Preset) -> Result<BootConfig, PresetError> {
    check::check(&preset)?;
    let mut built = match preset.os {
        Os::Debian => debian::build(&preset),
        Os::Ubuntu => ubuntu::build(&preset),
        Os::Alpine => alpine::build(&preset),
        Os::Fedora => fedora::build(&preset),
        Os::Flatcar => flatcar::build(&preset),
        Os::Custom => custom::build(&preset),
    }?;
    built
        .answers
        .insert(SCRIPT.to_owned(), script(&preset.script));
    built
        .answers
        .insert(RUN.to_owned(), include_str!("files/run.sh").to_owned());
    let words = [built.cmdline.trim(), preset.append.trim()];
    let program = Program::Kernel {
        kernel: built.kernel,
        initrds: built.initrds,
        cmdline: words.join(" ").trim().to_owned(),
    };
    let config = BootConfig::new(name, program, built.answers, Evidence::Callback);
    Ok(BootConfig {
        overlays: built.overlays,
        writes_disk: built.writes_disk,
        preset: Some(Box::new(preset)),
        ..config
    })
}

/// A script as a template. `{#` begins no comment in it: `${#list}` is everyday shell.
fn script(text: &str) -> String {
    text.replace("{#", "{{ '{#' }}")
}

impl Preset {
    fn locale(&self) -> &str {
        self.locale.as_deref().unwrap_or("en_US.UTF-8")
    }

    fn keyboard(&self) -> &str {
        self.keyboard.as_deref().unwrap_or("us")
    }

    fn timezone(&self) -> &str {
        self.timezone.as_deref().unwrap_or("UTC")
    }

    /// The location without a slash at its end.
    fn location(&self, example: &str) -> Result<&str, PresetError> {
        let given = self.location.as_deref().map(|l| l.trim_end_matches('/'));
        given.ok_or_else(|| {
            PresetError::Missing(format!(
                "it needs the location of its files, such as {example}"
            ))
        })
    }

    /// The folder with the files: with a release `below` the mirror, else the location itself.
    fn folder(&self, example: &str, below: impl Fn(&str) -> String) -> Result<String, PresetError> {
        let location = self.location(example)?;
        Ok(match &self.release {
            Some(release) => format!("{location}/{}", below(release)),
            None => location.to_owned(),
        })
    }

    /// The kernel that was given, else the one of `folder`.
    fn kernel(
        &self,
        folder: &Result<String, PresetError>,
        name: &str,
        check: Check,
    ) -> Result<Asset, PresetError> {
        match &self.kernel {
            Some(given) => Ok(given.clone()),
            None => Ok(Asset::remote(
                name,
                format!("{}/{name}", folder.clone()?),
                check,
            )),
        }
    }

    /// The initrds that were given, else the one of `folder`.
    fn initrds(
        &self,
        folder: &Result<String, PresetError>,
        name: &str,
        check: Check,
    ) -> Result<Vec<Asset>, PresetError> {
        match self.initrds.is_empty() {
            false => Ok(self.initrds.clone()),
            true => Ok(vec![Asset::remote(
                name,
                format!("{}/{name}", folder.clone()?),
                check,
            )]),
        }
    }
}

/// A template file with its `[[words]]` filled in; they are of plain characters.
fn fill(template: &str, words: &[(&str, &str)]) -> String {
    let mut text = template.to_owned();
    for (word, value) in words {
        text = text.replace(&format!("[[{word}]]"), value);
    }
    text
}

/// `lines`, each behind `before` and with its end.
fn each_line<T: AsRef<str>>(lines: &[T], before: &str, behind: &str) -> String {
    lines
        .iter()
        .map(|l| format!("{before}{}{behind}\n", l.as_ref()))
        .collect()
}
