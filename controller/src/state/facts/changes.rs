//! How two versions of a machine's facts differ, in words.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::facts::{Disk, HardwareFacts};

use super::MAX_CHANGES;
use crate::ordered::Gather as _;

/// What changed from `old` to `new`: empty when it is nothing a person would call hardware.
#[must_use]
pub fn changes(old: &HardwareFacts, new: &HardwareFacts) -> Vec<String> {
    let mut told = Vec::new();
    smbios(old, new, &mut told);
    processors(old, new, &mut told);
    if old.memory.bytes != new.memory.bytes {
        let (was, is) = (memory(old.memory.bytes), memory(new.memory.bytes));
        told.push(format!("memory {was} -> {is}"));
    }
    if old.firmware != new.firmware {
        let (was, is) = (&old.firmware, &new.firmware);
        told.push(format!("firmware {was:?} -> {is:?}").to_lowercase());
    }
    cards(old, new, &mut told);
    disks(old, new, &mut told);
    told.truncate(MAX_CHANGES);
    told
}

fn smbios(old: &HardwareFacts, new: &HardwareFacts, told: &mut Vec<String>) {
    let (a, b) = (&old.smbios, &new.smbios);
    let rows = [
        ("vendor", &a.vendor, &b.vendor),
        ("product", &a.product, &b.product),
        ("serial", &a.serial, &b.serial),
        ("uuid", &a.uuid, &b.uuid),
        ("board", &a.board_product, &b.board_product),
        ("board serial", &a.board_serial, &b.board_serial),
        ("chassis serial", &a.chassis_serial, &b.chassis_serial),
        ("asset tag", &a.chassis_asset_tag, &b.chassis_asset_tag),
        ("firmware version", &a.firmware_version, &b.firmware_version),
    ];
    for (what, was, is) in rows {
        if was != is {
            told.push(format!("{what} {} -> {}", or_none(was), or_none(is)));
        }
    }
}

fn or_none(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("none")
}

fn processors(old: &HardwareFacts, new: &HardwareFacts, told: &mut Vec<String>) {
    if old.arch != new.arch {
        told.push(format!("processor type {} -> {}", old.arch, new.arch));
    }
    if old.cpu.model != new.cpu.model {
        let (was, is) = (or_none(&old.cpu.model), or_none(&new.cpu.model));
        told.push(format!("processor {was} -> {is}"));
    }
    if old.cpu.threads != new.cpu.threads {
        told.push(format!(
            "processor threads {} -> {}",
            old.cpu.threads, new.cpu.threads
        ));
    }
}

fn memory(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    match bytes {
        whole if whole >= GIB && whole % GIB == 0 => format!("{} GiB", whole / GIB),
        more => format!("{} MiB", more / MIB),
    }
}

fn cards(old: &HardwareFacts, new: &HardwareFacts, told: &mut Vec<String>) {
    let macs = |facts: &HardwareFacts| -> BTreeSet<String> {
        facts.nics.iter().map(|n| n.mac.clone()).gather()
    };
    let (was, is) = (macs(old), macs(new));
    told.extend(
        was.difference(&is)
            .map(|mac| format!("network card {mac} removed")),
    );
    told.extend(
        is.difference(&was)
            .map(|mac| format!("network card {mac} added")),
    );
}

/// Disks by what tells them apart: model and serial; without a serial the size and the place.
fn disks(old: &HardwareFacts, new: &HardwareFacts, told: &mut Vec<String>) {
    let (was, is) = (fixed(old), fixed(new));
    for (name, count) in &was {
        for _ in is.get(name).copied().unwrap_or(0)..*count {
            told.push(format!("disk {name} removed"));
        }
    }
    for (name, count) in &is {
        for _ in was.get(name).copied().unwrap_or(0)..*count {
            told.push(format!("disk {name} added"));
        }
    }
}

/// Removable media come and go without the machine changing.
fn fixed(facts: &HardwareFacts) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for disk in facts.disks.iter().filter(|d| !d.removable) {
        *counts.entry(disk_name(disk)).or_default() += 1;
    }
    counts
}

fn disk_name(disk: &Disk) -> String {
    let model = disk.model.as_deref().unwrap_or("of unknown model");
    let size = format!("{} GB", (disk.bytes + 500_000_000) / 1_000_000_000);
    match (&disk.serial, &disk.by_path) {
        (Some(serial), _) => format!("{model} serial {serial} ({size})"),
        (None, Some(path)) => format!("{model} at {path} ({size})"),
        (None, None) => format!("{model} ({size})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::matching::examples;

    fn check(change: impl FnOnce(&mut HardwareFacts), expected: &[&str]) {
        let old = examples::facts(1);
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(changes(&old, &new), expected);
    }

    #[test]
    fn what_changed_is_told_in_words() {
        check(|_| {}, &[]);
        check(|f| f.memory.bytes = 16 << 30, &["memory 8 GiB -> 16 GiB"]);
        check(
            |f| {
                f.disks[0].serial = Some("Y".into());
                f.disks[0].bytes = 2_000_000_000_000;
            },
            &[
                "disk Disk serial DISK-1 (1000 GB) removed",
                "disk Disk serial Y (2000 GB) added",
            ],
        );
        check(
            |f| f.nics[0].mac = "52:54:00:00:00:99".into(),
            &[
                "network card 52:54:00:00:01:01 removed",
                "network card 52:54:00:00:00:99 added",
            ],
        );
        check(
            |f| {
                f.smbios.board_serial = None;
                f.cpu.threads = 8;
            },
            &["board serial BOARD-1 -> none", "processor threads 4 -> 8"],
        );
    }

    #[test]
    fn names_order_and_links_are_no_change() {
        check(
            |f| {
                f.disks[0].name = "sdz".into();
                f.nics.reverse();
                f.nics[0].link = !f.nics[0].link;
                f.kernel = None;
                f.memory.usable_bytes += 1;
            },
            &[],
        );
    }

    #[test]
    fn a_machine_that_was_rebuilt_does_not_fill_the_screen() {
        let old = examples::facts(1);
        let mut new = old.clone();
        let disk = old.disks[0].clone();
        new.disks = (0..200)
            .map(|n| Disk {
                serial: Some(format!("N{n}")),
                ..disk.clone()
            })
            .collect();
        assert_eq!(changes(&old, &new).len(), MAX_CHANGES);
    }
}
