//! Flatcar Container Linux, which runs from memory, by Ignition. It writes to no disk unless its script does
//! (`flatcar-install`), so it can be standing.

use std::collections::BTreeMap;

use super::{Built, Check, Preset, PresetError, fill};

const EXAMPLE: &str = "https://stable.release.flatcar-linux.net with --release current";

pub(super) fn build(preset: &Preset) -> Result<Built, PresetError> {
    if preset.disk.is_some() || !preset.packages.is_empty() {
        let text = "flatcar runs from memory: it has no disk and no packages to name; let the script call flatcar-install";
        return Err(PresetError::Missing(text.to_owned()));
    }
    let arch = preset.arch.debian();
    let folder = preset.folder(EXAMPLE, |release| format!("{arch}-usr/{release}"));
    // Its mirrors list no SHA-256; https is what speaks for the files.
    let initrd = "flatcar_production_pxe_image.cpio.gz";
    let keys: Vec<String> = preset.ssh_keys.iter().map(|k| format!("\"{k}\"")).collect();
    let keys = format!("[{}]", keys.join(", "));
    Ok(Built {
        kernel: preset.kernel(&folder, "flatcar_production_pxe.vmlinuz", Check::Unchecked)?,
        initrds: preset.initrds(&folder, initrd, Check::Unchecked)?,
        cmdline: "flatcar.first_boot=1 ignition.config.url={{ answer('config.ign') }}".to_owned(),
        answers: BTreeMap::from([(
            "config.ign".to_owned(),
            fill(include_str!("files/ignition.json"), &[("keys", &keys)]),
        )]),
        overlays: BTreeMap::new(),
        writes_disk: false,
    })
}
