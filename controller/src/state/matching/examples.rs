//! Machines for tests: each number makes another one, alike in nothing that tells machines apart.

use mesh_proto::facts::{
    Cpu, Disk, FACTS_VERSION, FirmwareMode, HardwareFacts, Memory, Nic, Smbios,
};

pub(crate) fn facts(n: u8) -> HardwareFacts {
    HardwareFacts {
        v: FACTS_VERSION,
        arch: "x86_64".into(),
        firmware: FirmwareMode::Uefi,
        secure_boot: None,
        tpm: None,
        smbios: Smbios {
            vendor: Some("Vendor".into()),
            product: Some("Model".into()),
            serial: Some(format!("SERIAL-{n}")),
            uuid: Some(format!("4c4c4544-0051-3510-8052-b4c04f4a31{n:02x}")),
            board_serial: Some(format!("BOARD-{n}")),
            ..Smbios::default()
        },
        cpu: Cpu {
            model: Some("Cpu".into()),
            sockets: 1,
            cores: 2,
            threads: 4,
        },
        memory: Memory {
            bytes: 8 << 30,
            usable_bytes: (8 << 30) - (64 << 20),
        },
        nics: vec![nic(n, 1), nic(n, 2)],
        disks: vec![disk(&format!("DISK-{n}"))],
        pci: Vec::new(),
        kernel: Some("6.1.0".into()),
    }
}

/// The `k`th card of machine `n`.
pub(crate) fn nic(n: u8, k: u8) -> Nic {
    Nic {
        name: format!("eth{k}"),
        mac: format!("52:54:00:00:{n:02x}:{k:02x}"),
        permanent_mac: None,
        driver: Some("e1000".into()),
        speed_mbps: None,
        link: true,
    }
}

pub(crate) fn disk(serial: &str) -> Disk {
    Disk {
        name: "sda".into(),
        bytes: 1_000_000_000_000,
        logical_sector_bytes: 512,
        physical_sector_bytes: 512,
        rotational: false,
        removable: false,
        model: Some("Disk".into()),
        serial: Some(serial.into()),
        by_path: None,
    }
}

/// The same machine with nothing in SMBIOS, as QEMU without `-uuid` is.
pub(crate) fn nameless(n: u8) -> HardwareFacts {
    HardwareFacts {
        smbios: Smbios {
            uuid: Some("00000000-0000-0000-0000-000000000000".into()),
            ..Smbios::default()
        },
        disks: Vec::new(),
        ..facts(n)
    }
}
