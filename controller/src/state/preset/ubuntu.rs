//! Ubuntu Server by its own installer: autoinstall, as cloud-init's NoCloud source serves it.

use std::collections::BTreeMap;

use super::{Built, Check, Preset, PresetError, each_line, fill};

const EXAMPLE: &str = "https://releases.ubuntu.com with --release 24.04";

pub(super) fn build(preset: &Preset) -> Result<Built, PresetError> {
    let arch = preset.arch.debian();
    let location = preset.location(EXAMPLE)?;
    let folder = preset.folder(EXAMPLE, |release| format!("{release}/netboot/{arch}"));
    // The installer's own system is this image; it goes from the mirror into the machine's memory, not through us.
    let image = match &preset.release {
        Some(release) => format!("{location}/{release}/ubuntu-{release}-live-server-{arch}.iso"),
        None => format!("{location}/live-server.iso"),
    };
    let nothing = |name: &str| (name.to_owned(), String::new());
    Ok(Built {
        kernel: preset.kernel(&folder, "linux", Check::Sha256sums)?,
        initrds: preset.initrds(&folder, "initrd", Check::Sha256sums)?,
        // cloud-init would take `url=` for a configuration of its own and load the image a second time.
        cmdline: format!(
            "ip=dhcp BOOTIF=01-{{{{ mac_hyphens }}}} iso-url={image} cloud-config-url=/dev/null autoinstall \
             ds=nocloud;s={{{{ answer('') }}}}"
        ),
        answers: BTreeMap::from([
            ("user-data".to_owned(), user_data(preset)),
            (
                "meta-data".to_owned(),
                "instance-id: {{ nonce | yaml }}\nlocal-hostname: {{ name | yaml }}\n".to_owned(),
            ),
            nothing("vendor-data"),
        ]),
        overlays: BTreeMap::new(),
        writes_disk: true,
    })
}

fn user_data(preset: &Preset) -> String {
    let chosen = preset
        .disk
        .iter()
        .map(|disk| format!("      match: {{path: \"{disk}\"}}\n"));
    let chosen = chosen.collect::<String>();
    // Without keys the list is empty, not absent: cloud-init wants one.
    let keys = match preset.ssh_keys.is_empty() {
        true => "          []\n".to_owned(),
        false => each_line(&preset.ssh_keys, "          - \"", "\""),
    };
    fill(
        include_str!("files/user-data"),
        &[
            ("locale", preset.locale()),
            ("keyboard", preset.keyboard()),
            ("timezone", preset.timezone()),
            ("match", &chosen),
            ("packages", &each_line(&preset.packages, "    - \"", "\"")),
            ("keys", &keys),
        ],
    )
}
