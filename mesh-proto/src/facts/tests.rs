//! What the digest ignores and what it does not; what is left of hostile facts.

use proptest::prelude::*;
use serde_json::json;

use super::limits::{MAX_DISKS, MAX_NICS, MAX_PCI_DEVICES, MAX_TEXT_BYTES};
use super::*;
use crate::frame::MAX_EARLY_FRAME_BYTES;

fn nic(name: &str, mac: &str) -> Nic {
    Nic {
        name: name.into(),
        mac: mac.into(),
        permanent_mac: Some(mac.into()),
        driver: Some("e1000".into()),
        speed_mbps: Some(1000),
        link: true,
    }
}

fn disk(name: &str, serial: &str) -> Disk {
    Disk {
        name: name.into(),
        bytes: 1 << 30,
        logical_sector_bytes: 512,
        physical_sector_bytes: 4096,
        rotational: false,
        removable: false,
        model: Some("QEMU HARDDISK".into()),
        serial: Some(serial.into()),
        by_path: None,
    }
}

fn pci(address: &str) -> PciDevice {
    PciDevice {
        address: address.into(),
        class: "020000".into(),
        vendor: "1af4".into(),
        device: "1041".into(),
        driver: None,
    }
}

fn facts() -> HardwareFacts {
    HardwareFacts {
        v: FACTS_VERSION,
        arch: "x86_64".into(),
        firmware: FirmwareMode::Uefi,
        secure_boot: Some(false),
        tpm: Some(Tpm { version: Some(2) }),
        smbios: Smbios {
            serial: Some("LAB-1".into()),
            ..Smbios::default()
        },
        cpu: Cpu {
            model: Some("CPU".into()),
            sockets: 1,
            cores: 2,
            threads: 4,
        },
        memory: Memory {
            bytes: 512 << 20,
            usable_bytes: 470 << 20,
        },
        nics: vec![
            nic("eth0", "52:54:00:77:00:01"),
            nic("eth1", "52:54:00:77:00:02"),
        ],
        disks: vec![disk("sda", "A"), disk("sdb", "B")],
        pci: vec![pci("0000:00:02.0"), pci("0000:00:03.0")],
        kernel: Some("6.1.0".into()),
    }
}

#[test]
fn another_boot_of_the_same_hardware_has_the_same_digest() {
    let mut other = facts();
    other.nics.swap(0, 1);
    other.nics[0].name = "enp2s0".into();
    other.nics[0].link = false;
    other.nics[0].speed_mbps = None;
    other.nics[1].mac = "02:00:00:00:00:01".into();
    other.nics[1].driver = None;
    other.disks.swap(0, 1);
    other.disks[0].name = "sda".into();
    other.pci.swap(0, 1);
    other.pci[0].driver = Some("virtio-pci".into());
    other.memory.usable_bytes += 4096;
    other.kernel = None;
    assert_eq!(other.digest(), facts().digest());
    assert_eq!(facts().digest().len(), 32);
}

#[test]
fn other_hardware_has_another_digest() {
    let changes: [fn(&mut HardwareFacts); 10] = [
        |f| f.disks[0].serial = None,
        |f| f.disks[1].bytes += 512,
        |f| f.disks.truncate(1),
        |f| f.nics[0].permanent_mac = Some("52:54:00:77:00:03".into()),
        |f| f.pci.push(pci("0000:00:04.0")),
        |f| f.memory.bytes *= 2,
        |f| f.cpu.cores = 1,
        |f| f.secure_boot = Some(true),
        |f| f.tpm = None,
        |f| f.smbios.board_serial = Some("X".into()),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut other = facts();
        change(&mut other);
        assert_ne!(other.digest(), facts().digest(), "change {n}");
    }
}

#[test]
fn facts_of_an_agent_of_the_first_version_are_read() {
    let old = json!({
        "v": 1, "arch": "x86_64", "firmware": "bios", "smbios": {}, "cpu": {"model": null, "threads": 2},
        "memory": {"bytes": 1, "usable_bytes": 1}, "disks": [], "kernel": "6.1", "mood": "good",
        "nics": [{"name": "eth0", "mac": "52:54:00:00:00:01", "driver": null, "speed_mbps": null, "link": true}],
    });
    let read: HardwareFacts = serde_json::from_value(old).unwrap();
    assert_eq!(
        (read.cpu.threads, read.cpu.cores, read.pci.len()),
        (2, 0, 0)
    );
    assert_eq!(read.nics[0].identity(), "52:54:00:00:00:01");
}

#[test]
fn everything_reads_back_as_it_was_written() {
    let text = serde_json::to_string(&facts()).unwrap();
    assert_eq!(
        serde_json::from_str::<HardwareFacts>(&text).unwrap(),
        facts()
    );
    assert!(!text.contains('\n'));
}

/// As large as a stranger may make it, `"` being what JSON makes longer.
fn monster(text: &str, items: usize) -> HardwareFacts {
    let mut f = facts();
    f.nics = vec![nic(text, text); items];
    f.disks = vec![disk(text, text); items];
    f.disks
        .iter_mut()
        .for_each(|disk| disk.by_path = Some(text.into()));
    f.pci = vec![pci(text); items];
    f.visit_texts(|field| *field = text.into());
    f
}

#[test]
fn the_identity_part_of_any_facts_fits_an_early_frame() {
    let part = monster(&"\"".repeat(1000), 1000).identity_part();
    let bytes = serde_json::to_vec(&part).unwrap().len();
    // The certificate request and the rest of an enrolment take some kilobytes more.
    assert!(bytes < MAX_EARLY_FRAME_BYTES - (8 << 10), "{bytes} bytes");
}

fn assert_bounded(facts: &mut HardwareFacts) {
    assert!(facts.nics.len() <= MAX_NICS);
    assert!(facts.disks.len() <= MAX_DISKS);
    assert!(facts.pci.len() <= MAX_PCI_DEVICES);
    facts.visit_texts(|text| {
        assert!(text.len() <= MAX_TEXT_BYTES, "{}", text.len());
        assert!(!text.chars().any(char::is_control), "{text:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn facts_of_any_size_are_cut_while_they_are_read(text in "\\PC{0,60}[\\x00-\\x1f\u{1b}é😀]{0,200}", items in 0usize..700) {
        let json = serde_json::to_string(&monster(&text, items)).unwrap();
        let mut read: HardwareFacts = serde_json::from_str(&json).unwrap();
        assert_bounded(&mut read);
        prop_assert_eq!(&read, &monster(&text, items).bounded());
        prop_assert_eq!(&read.clone().bounded(), &read);
        prop_assert_eq!(read.digest().len(), 32);
    }

    #[test]
    fn broken_facts_are_an_error_and_no_panic(cut in 0usize..4000, flip in 0usize..4000, with in any::<u8>()) {
        let mut json = serde_json::to_vec(&facts()).unwrap();
        let at = flip % json.len();
        json[at] = with;
        json.truncate(cut.max(1));
        if let Ok(mut read) = serde_json::from_slice::<HardwareFacts>(&json) {
            assert_bounded(&mut read);
        }
    }
}

#[test]
fn padding_is_trimmed_and_nothing_is_none() {
    for (raw, want) in [
        ("  LAB-1 \n", Some("LAB-1")),
        ("\0\0", None),
        (" ", None),
        ("", None),
        ("a b\0", Some("a b")),
    ] {
        assert_eq!(normalised(raw).as_deref(), want, "{raw:?}");
    }
}
