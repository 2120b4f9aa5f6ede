//! A kernel and initrds of one's own; the script is offered to them on the command line, in whatever way they take it.

use std::collections::BTreeMap;

use super::{Asset, Built, Check, Preset, PresetError};

pub(super) fn build(preset: &Preset) -> Result<Built, PresetError> {
    let kernel = match (&preset.kernel, &preset.location) {
        (Some(kernel), _) => kernel.clone(),
        (None, Some(location)) => {
            let url = format!("{}/vmlinuz", location.trim_end_matches('/'));
            Asset::remote("vmlinuz", url, Check::Sha256sums)
        }
        (None, None) => {
            return Err(PresetError::Missing(
                "it needs a kernel, or the location of a folder with vmlinuz and initrd.img"
                    .to_owned(),
            ));
        }
    };
    let initrds = match (&preset.kernel, &preset.location, preset.initrds.is_empty()) {
        (None, Some(location), true) => {
            let url = format!("{}/initrd.img", location.trim_end_matches('/'));
            vec![Asset::remote("initrd.img", url, Check::Sha256sums)]
        }
        _ => preset.initrds.clone(),
    };
    Ok(Built {
        kernel,
        initrds,
        cmdline: "enforcer.script={{ answer('run.sh') }}".to_owned(),
        answers: BTreeMap::new(),
        overlays: BTreeMap::new(),
        writes_disk: preset.writes_disk,
    })
}
