//! Alpine: its live system starts from the network and installs itself by `setup-alpine` and an answer file.
//!
//! Nothing but an overlay (apkovl) gets a script into that system; it is put together of the answer files when it is asked
//! for, so nobody has to build one.

use std::collections::BTreeMap;

use super::{
    super::overlay::{Content, Overlay, OverlayFile},
    Built, Check, Preset, PresetError, RUN, fill,
};

const EXAMPLE: &str = "https://dl-cdn.alpinelinux.org/alpine with --release v3.20";
const OVERLAY: &str = "enforcer.apkovl.tar.gz";
/// Kernel names of disks that stay in the machine; there is no udev in Alpine's installer.
const FIRST_DISK: &str = "for d in /sys/block/nvme*n1 /sys/block/sd? /sys/block/vd? /sys/block/mmcblk?; do [ \"$(cat $d/removable 2>/dev/null)\" = 0 ] && [ \"$(cat $d/size)\" -gt 0 ] && echo /dev/${d##*/} && break; done";

pub(super) fn build(preset: &Preset) -> Result<Built, PresetError> {
    let arch = preset.arch.kernel();
    let location = preset.location(EXAMPLE)?;
    let folder = preset.folder(EXAMPLE, |release| {
        format!("{release}/releases/{arch}/netboot")
    })?;
    let repository = match &preset.release {
        Some(release) => format!("{location}/{release}/main"),
        None => format!("{location}/main"),
    };
    let modules = format!("{folder}/modloop-lts");
    let folder = Ok(folder);
    Ok(Built {
        kernel: preset.kernel(&folder, "vmlinuz-lts", Check::Unchecked)?,
        initrds: preset.initrds(&folder, "initramfs-lts", Check::Unchecked)?,
        cmdline: format!(
            "ip=dhcp BOOTIF=01-{{{{ mac_hyphens }}}} modules=loop,squashfs alpine_repo={repository} modloop={modules} \
             apkovl={{{{ answer('{OVERLAY}') }}}}"
        ),
        answers: answers(preset, &repository),
        overlays: BTreeMap::from([(OVERLAY.to_owned(), overlay())]),
        writes_disk: true,
    })
}

fn answers(preset: &Preset, repository: &str) -> BTreeMap<String, String> {
    let disk = match &preset.disk {
        Some(disk) => format!("readlink -f {disk}"),
        None => FIRST_DISK.to_owned(),
    };
    let start = fill(
        include_str!("files/alpine.start"),
        &[
            ("disk", &disk),
            ("keys", &keys(preset)),
            ("packages", &packages(preset)),
        ],
    );
    let answers = fill(
        include_str!("files/alpine.answers"),
        &[
            ("keyboard", preset.keyboard()),
            ("timezone", preset.timezone()),
            ("repository", repository),
        ],
    );
    BTreeMap::from([
        ("enforcer.start".to_owned(), start),
        ("answers".to_owned(), answers),
        ("world".to_owned(), "alpine-base\n".to_owned()),
        ("empty".to_owned(), String::new()),
    ])
}

fn keys(preset: &Preset) -> String {
    if preset.ssh_keys.is_empty() {
        return String::new();
    }
    let keys: Vec<String> = preset.ssh_keys.iter().map(|k| format!("'{k}'")).collect();
    let keys = keys.join(" ");
    format!(
        "mkdir -p -m 700 /mnt/root/.ssh\nprintf '%s\\n' {keys} > /mnt/root/.ssh/authorized_keys\n"
    )
}

fn packages(preset: &Preset) -> String {
    match preset.packages.is_empty() {
        true => String::new(),
        false => format!(
            "chroot /mnt apk add {} || failed \"apk\" \"packages%20could%20not%20be%20installed\"\n",
            preset.packages.join(" ")
        ),
    }
}

fn overlay() -> Overlay {
    let file = |path: &str, mode, answer: &str| OverlayFile {
        path: path.to_owned(),
        content: Content::Answer {
            name: answer.to_owned(),
            mode,
        },
    };
    Overlay {
        files: vec![
            // Alpine starts its usual services only when this file says that the overlay brings none.
            file("etc/.default_boot_services", 0o644, "empty"),
            file("etc/apk/world", 0o644, "world"),
            file("etc/enforcer/answers", 0o600, "answers"),
            file("etc/enforcer/run.sh", 0o755, RUN),
            file("etc/local.d/enforcer.start", 0o755, "enforcer.start"),
            OverlayFile {
                path: "etc/runlevels/default/local".to_owned(),
                content: Content::Link {
                    target: "/etc/init.d/local".to_owned(),
                },
            },
        ],
    }
}
