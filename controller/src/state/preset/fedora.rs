//! Fedora and its family (CentOS Stream, Alma, Rocky) by their own installer and a kickstart.

use std::collections::BTreeMap;

use super::{Built, Check, Preset, PresetError, each_line, fill};

const EXAMPLE: &str = "https://dl.fedoraproject.org/pub/fedora/linux with --release 42";
/// Names as the installer's kernel gives them; `readlink` because a kickstart wants the disk, not a link to it.
const FIRST_DISK: &str = "for d in /sys/block/nvme*n1 /sys/block/sd? /sys/block/vd? /sys/block/mmcblk?; do [ \"$(cat $d/removable 2>/dev/null)\" = 0 ] && [ \"$(cat $d/size)\" -gt 0 ] && echo /dev/${d##*/} && break; done";

pub(super) fn build(preset: &Preset) -> Result<Built, PresetError> {
    let arch = preset.arch.kernel();
    let tree = preset.folder(EXAMPLE, |release| {
        format!("releases/{release}/Everything/{arch}/os")
    })?;
    let folder = Ok(format!("{tree}/images/pxeboot"));
    Ok(Built {
        kernel: preset.kernel(&folder, "vmlinuz", Check::Treeinfo)?,
        initrds: preset.initrds(&folder, "initrd.img", Check::Treeinfo)?,
        cmdline: format!(
            "ip=dhcp BOOTIF=01-{{{{ mac_hyphens }}}} inst.repo={tree} inst.ks={{{{ answer('kickstart.cfg') }}}} inst.text"
        ),
        answers: BTreeMap::from([("kickstart.cfg".to_owned(), kickstart(preset, &tree))]),
        overlays: BTreeMap::new(),
        writes_disk: true,
    })
}

fn kickstart(preset: &Preset, tree: &str) -> String {
    let disk = match &preset.disk {
        Some(disk) => format!("readlink -f {disk}"),
        None => FIRST_DISK.to_owned(),
    };
    fill(
        include_str!("files/kickstart.cfg"),
        &[
            ("locale", preset.locale()),
            ("keyboard", preset.keyboard()),
            ("timezone", preset.timezone()),
            ("tree", tree),
            (
                "keys",
                &each_line(&preset.ssh_keys, "sshkey --username=root \"", "\""),
            ),
            ("packages", &each_line(&preset.packages, "", "")),
            ("disk", &disk),
        ],
    )
}
