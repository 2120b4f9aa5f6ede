//! Debian by its own installer and a preseed.

use std::collections::BTreeMap;

use super::{Built, Check, Preset, PresetError, fill};

const EXAMPLE: &str = "https://deb.debian.org/debian with --release bookworm";
/// The first disk that can be installed on and stays in the machine.
const FIRST_DISK: &str = "for d in $(list-devices disk); do [ \"$(cat /sys/block/${d##*/}/removable)\" = 0 ] && echo $d && break; done";

pub(super) fn build(preset: &Preset) -> Result<Built, PresetError> {
    let arch = preset.arch.debian();
    let folder = preset.folder(EXAMPLE, |release| {
        format!(
            "dists/{release}/main/installer-{arch}/current/images/netboot/debian-installer/{arch}"
        )
    });
    Ok(Built {
        kernel: preset.kernel(&folder, "linux", Check::Sha256sums)?,
        initrds: preset.initrds(&folder, "initrd.gz", Check::Sha256sums)?,
        cmdline: "auto=true priority=critical interface=auto BOOTIF=01-{{ mac_hyphens }} hostname={{ name | word }} domain= \
                  url={{ answer('preseed.cfg') }}"
            .to_owned(),
        answers: BTreeMap::from([("preseed.cfg".to_owned(), preseed(preset))]),
        overlays: BTreeMap::new(),
        writes_disk: true,
    })
}

fn preseed(preset: &Preset) -> String {
    let mut packages = vec!["openssh-server", "wget"];
    packages.extend(preset.packages.iter().map(String::as_str));
    let disk = match &preset.disk {
        Some(disk) => format!("readlink -f {disk}"),
        None => FIRST_DISK.to_owned(),
    };
    fill(
        include_str!("files/preseed.cfg"),
        &[
            ("locale", preset.locale()),
            ("keyboard", preset.keyboard()),
            ("timezone", preset.timezone()),
            ("mirror", &mirror(preset)),
            ("disk", &disk),
            ("packages", &packages.join(" ")),
            ("keys", &keys(preset)),
        ],
    )
}

/// Where the installer gets its packages: the mirror that its own files come from, where that can be told.
fn mirror(preset: &Preset) -> String {
    let Some((scheme, rest)) = preset.location.as_deref().and_then(|l| l.split_once("://")) else {
        return String::new();
    };
    let (root, suite) = match (&preset.release, rest.split_once("/dists/")) {
        (Some(release), _) => (rest.trim_end_matches('/'), release.as_str()),
        (None, Some((root, below))) => (root, below.split('/').next().unwrap_or_default()),
        (None, None) => return String::new(),
    };
    let (host, directory) = root.split_once('/').unwrap_or((root, ""));
    let lines = [
        "mirror/country string manual".to_owned(),
        format!("mirror/protocol string {scheme}"),
        format!("mirror/{scheme}/hostname string {host}"),
        format!("mirror/{scheme}/directory string /{directory}"),
        format!("mirror/{scheme}/proxy string"),
        format!("mirror/suite string {suite}"),
    ];
    super::each_line(&lines, "d-i ", "")
}

fn keys(preset: &Preset) -> String {
    if preset.ssh_keys.is_empty() {
        return String::new();
    }
    let lines = preset.ssh_keys.iter().map(|key| format!("'{key}'"));
    format!(
        "mkdir -p -m 700 /target/root/.ssh; printf '%s\\n' {} > /target/root/.ssh/authorized_keys; ",
        lines.collect::<Vec<_>>().join(" ")
    )
}
