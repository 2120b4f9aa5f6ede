//! The state folder: whose it is, who can read it, room and speed of its disk, the site's keys, boot programs.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use ipxe::{Arch, Firmware};
use rustix::fs::{Access, access};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use super::{Findings, Grade};
use crate::{
    config::Config,
    disk,
    firmware::{FirmwareSet, LOCALBOOT},
    images::RESERVE_BYTES,
    ordered::sort_by,
    state::Timestamp,
};

/// Below this an image more is soon too much, bytes.
const LITTLE_BYTES: u64 = 2 << 30;
/// Each armed boot and each lease waits for one. A good SD card takes 20 ms.
const SLOW: Duration = Duration::from_millis(100);
/// Tries, of which the middle one counts.
const SYNCS: usize = 5;
/// A certificate's last days are time to act.
const SOON_S: i64 = 30 * 24 * 3600;

pub(super) fn look(config: &Config, now: Timestamp, found: &mut Findings) {
    let state = config.state.as_path();
    let place = state.display();
    let Ok(metadata) = fs::metadata(state) else {
        let cure = "`enforcer serve` makes it at its first start; if there should be one: name it with --state, or run this as root";
        return found.add(
            Grade::Note,
            "state-missing",
            format!("there is no state folder {place}"),
            cure,
        );
    };
    let usable = access(state, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_ok();
    if !usable {
        let text = format!(
            "{place} belongs to user {}, and you may not write there",
            metadata.uid()
        );
        let cure = "run this as that user or as root; the controller must be able to write there";
        found.add(Grade::Problem, "state-rights", text, cure);
        return;
    }
    found.good("state", format!("{place} can be used"));
    readers(state, &metadata, found);
    room(state, found);
    speed(state, found);
    authority(config, now, found);
    firmware(state, found);
}

/// Who else can read the database and the key.
fn readers(state: &Path, metadata: &fs::Metadata, found: &mut Findings) {
    let mode = |path: &Path| fs::metadata(path).map(|m| m.permissions().mode());
    let database = mode(&state.join("enforcer.redb"));
    let open = metadata.permissions().mode() & 0o005 != 0;
    if open && database.is_ok_and(|mode| mode & 0o004 != 0) {
        let text = format!(
            "everybody on this host can read the database in {}",
            state.display()
        );
        let cure = format!("chmod o-rwx {}", state.display());
        found.add(Grade::Warning, "state-readable", text, cure);
    }
    let key = state.join("ca/ca.key");
    if mode(&key).is_ok_and(|mode| mode & 0o077 != 0) {
        let text = format!("others can read the site's key {}", key.display());
        let cure = format!(
            "chmod 600 {}; who has copied it can make machines believe it is the controller",
            key.display()
        );
        found.add(Grade::Problem, "key-readable", text, cure);
    }
}

fn room(state: &Path, found: &mut Findings) {
    let Ok(stat) = rustix::fs::statvfs(state) else {
        return;
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let text = format!("{} MiB are free for {}", free >> 20, state.display());
    let cure = "`enforcer files list --unused`, `enforcer images list`, or a larger disk";
    match free {
        free if free < RESERVE_BYTES => {
            let text = format!("{text}: new images are refused");
            found.add(Grade::Problem, "disk-full", text, cure);
        }
        free if free < LITTLE_BYTES => found.add(Grade::Warning, "disk-full", text, cure),
        _ => found.good("room", text),
    }
}

/// How long the disk takes to keep a little for good.
fn speed(state: &Path, found: &mut Findings) {
    match sync_time(state) {
        Ok(took) if took > SLOW => {
            let text = format!(
                "the disk takes {} ms to keep a page for good",
                took.as_millis()
            );
            let cure = "machines wait that long for an armed boot: a better SD card, or the state folder on an SSD";
            found.add(Grade::Warning, "disk-slow", text, cure);
        }
        Ok(took) => {
            let us = took.as_micros();
            found.good("disk", format!("it keeps a page for good in {us} µs"));
        }
        Err(error) => {
            let text = format!("nothing can be written to {}: {error}", state.display());
            found.add(Grade::Problem, "state-rights", text, disk::cure(&error));
        }
    }
}

/// The middle one of some tries.
fn sync_time(state: &Path) -> std::io::Result<Duration> {
    let path = state.join(format!(".doctor-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let mut took = Vec::new();
    let mut written = Ok(());
    for _ in 0..SYNCS {
        let began = Instant::now();
        written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
        if written.is_err() {
            break;
        }
        took.push(began.elapsed());
    }
    fs::remove_file(&path)?;
    written?;
    sort_by(&mut took, Ord::cmp);
    Ok(took[SYNCS / 2])
}

/// The site's keys, as far as one can see without starting with them.
fn authority(config: &Config, now: Timestamp, found: &mut Findings) {
    let folder = config.state.join("ca");
    let started = config.state.join("enforcer.redb").exists();
    if !config.mesh || (!folder.exists() && !started) {
        return;
    }
    let cure = format!(
        "bring {} back from a backup; without it every agent has to join anew",
        folder.display()
    );
    let site = fs::read_to_string(folder.join("site.json")).ok();
    let site: Option<serde_json::Value> = site.and_then(|text| serde_json::from_str(&text).ok());
    let (Some(site), true) = (site, folder.join("ca.key").exists()) else {
        let text = "the site's keys are not whole";
        return found.add(Grade::Problem, "ca-damaged", text, cure);
    };
    if site["site"].as_str() != Some(&config.site) {
        let text = format!(
            "the keys are those of the site {}, and `site` says \"{}\"",
            site["site"], config.site
        );
        let cure = format!("set `site = {}`", site["site"]);
        return found.add(Grade::Problem, "ca-other-site", text, cure);
    }
    match fs::read(folder.join("ca.crt"))
        .ok()
        .and_then(|pem| expires(&pem))
    {
        None => found.add(
            Grade::Problem,
            "ca-damaged",
            "the site's certificate cannot be read",
            cure,
        ),
        Some(end) if end < now.as_second() + SOON_S => {
            let days = (end - now.as_second()) / 86_400;
            let text = format!("the site's certificate ends in {days} days");
            let cure = "is the clock right? Enforcer makes certificates of sites that do not end; put its own back from a backup";
            found.add(Grade::Problem, "ca-expires", text, cure);
        }
        Some(_) => found.good(
            "ca",
            format!("the keys of the site {} are there", config.site),
        ),
    }
}

/// When a certificate ends, Unix seconds.
pub(super) fn expires(pem: &[u8]) -> Option<i64> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let (_, certificate) = parse_x509_certificate(&pem.contents).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn firmware(state: &Path, found: &mut Findings) {
    let folder = state.join("firmware");
    if !folder.exists() {
        return;
    }
    let (set, notices) = match FirmwareSet::open(&folder) {
        Ok(opened) => opened,
        Err(error) => {
            let cure = "move the folder away and run `enforcer firmware fill`";
            return found.add(Grade::Problem, "firmware-damaged", error.to_string(), cure);
        }
    };
    for spoiled in notices.iter().filter(|n| n.starts_with("firmware ")) {
        let cure =
            "`enforcer firmware add` it again, or remove it and run `enforcer firmware fill`";
        found.add(Grade::Problem, "firmware-damaged", spoiled, cure);
    }
    let kinds = [
        (Firmware::Bios, "BIOS machines", Grade::Warning),
        (
            Firmware::UefiPxe(Arch::X64),
            "x86-64 UEFI machines",
            Grade::Warning,
        ),
        (
            Firmware::UefiPxe(Arch::Arm64),
            "arm64 UEFI machines",
            Grade::Note,
        ),
    ];
    for (kind, machines, grade) in kinds {
        match set.program(kind) {
            Some(name) => found.good("firmware", format!("{name} for {machines}")),
            None => {
                let text = format!("no iPXE for {machines}: they are not answered");
                let cure = "install ipxe and run `enforcer firmware fill`, or `enforcer firmware add FILE --for …`";
                found.add(grade, "firmware-missing", text, cure);
            }
        }
    }
    if set.file(LOCALBOOT).is_none() {
        let text = "no localboot.efi: UEFI machines reach their disk slowly, some not at all";
        let cure = "install enforcer-boot-assets, or grub-common and grub-efi-amd64-bin, and run `enforcer firmware fill`";
        found.add(Grade::Warning, "firmware-missing", text, cure);
    }
}
