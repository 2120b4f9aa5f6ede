//! Presets on the wire: an operating system, the place of its files, a script.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FileInput;
use crate::{
    fetch::Url,
    http::{
        Api,
        api::words::{Os, PresetArch},
        error::Problem,
        extract::parse,
    },
    state::preset::Preset,
};

/// An operating system and what is wanted of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OsProgram)]
#[serde(deny_unknown_fields)]
pub struct OsInput {
    /// Which system.
    pub os: Os,
    /// With a release the system's mirror, else the folder with its files; http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Which release, as the mirror names it: `bookworm`, `24.04`, `v3.20`, `42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// For which processor; absent: `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<PresetArch>,
    /// The provisioning script, a template; its exit status decides.
    pub script: String,
    /// OpenSSH public keys that may log in as the administrator.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// The disk to install on, `/dev/…`; absent: the first that is not removable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Packages beside the usual ones.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Language and country; absent: `en_US.UTF-8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Keyboard; absent: `us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<String>,
    /// Time zone; absent: `UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// More words for the kernel, a template.
    #[serde(default)]
    pub append: String,
    /// A kernel in place of the location's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<FileInput>,
    /// Initrds in place of the location's.
    #[serde(default)]
    pub initrds: Vec<FileInput>,
    /// Of a custom system: whether it writes to a disk without asking.
    #[serde(default)]
    pub writes_disk: bool,
}

impl OsInput {
    pub(super) fn into_preset(self, api: &Api) -> Result<Preset, Problem> {
        let asset = |file: FileInput| file.into_asset(api);
        // Looked at as a URL once; what stands in answer files is checked by the preset.
        let _: Option<Url> = self
            .location
            .as_deref()
            .map(|l| parse(l, "location"))
            .transpose()?;
        Ok(Preset {
            os: self.os.into(),
            location: self.location,
            release: self.release,
            arch: self.arch.map(Into::into).unwrap_or_default(),
            script: self.script,
            ssh_keys: self.ssh_keys,
            disk: self.disk,
            packages: self.packages,
            locale: self.locale,
            keyboard: self.keyboard,
            timezone: self.timezone,
            append: self.append,
            kernel: self.kernel.map(asset).transpose()?,
            initrds: self
                .initrds
                .into_iter()
                .map(asset)
                .collect::<Result<_, _>>()?,
            writes_disk: self.writes_disk,
        })
    }
}

/// What a person said of an operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OsPreset)]
pub struct PresetDoc {
    /// Which system.
    pub os: Os,
    /// Its mirror, or the folder with its files.
    pub location: Option<String>,
    /// Which release.
    pub release: Option<String>,
    /// For which processor.
    pub arch: PresetArch,
    /// The disk to install on; absent: the first that is not removable.
    pub disk: Option<String>,
    /// Packages beside the usual ones.
    pub packages: Vec<String>,
    /// Keys that may log in.
    pub ssh_keys: usize,
}

impl PresetDoc {
    pub(super) fn of(preset: &Preset) -> Self {
        Self {
            os: preset.os.into(),
            location: preset.location.clone(),
            release: preset.release.clone(),
            arch: preset.arch.into(),
            disk: preset.disk.clone(),
            packages: preset.packages.clone(),
            ssh_keys: preset.ssh_keys.len(),
        }
    }
}
