//! A machine that the second agent runs on: its folder, what it is made of.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{super::controller::Controller, BOOT, process::Foreign, token};

/// A machine that the second agent runs on.
pub(super) struct Machine {
    pub(super) folder: tempfile::TempDir,
    pub(super) facts: Value,
}

impl Machine {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let facts = facts();
        std::fs::write(folder.path().join("facts.json"), facts.to_string()).unwrap();
        Self { folder, facts }
    }

    pub(super) fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    pub(super) fn agent(
        &self,
        controller: SocketAddr,
        boot_id: &str,
        token: Option<&str>,
    ) -> Foreign {
        let (folder, facts) = (self.folder(), self.folder() + "/facts.json");
        let address = controller.to_string();
        let mut words = vec![
            &folder,
            "--controller",
            &address,
            "--facts",
            &facts,
            "--boot-id",
            boot_id,
        ];
        words.extend(token.iter().flat_map(|token| ["--token", token]));
        Foreign::start("agent.py", &words)
    }

    /// Enrolled by a token, and at rest.
    pub(super) fn enrolled(c: &Controller) -> Self {
        let machine = Self::new();
        let mut agent = machine.agent(c.links, BOOT, Some(&token(c)));
        agent.says("enrolled");
        agent.is_welcome();
        c.until(&["machines", "list"], |v| !v[0]["hardware"].is_null());
        assert!(agent.succeeds());
        machine
    }
}

/// Every field that facts can have, with what is hard to write the same way twice: accents, quotes, lists out of order.
fn facts() -> Value {
    json!({
        "v": 1, "arch": "aarch64", "firmware": "uefi", "secure_boot": false, "tpm": {"version": null},
        "smbios": {
            "vendor": "Schmied & Söhne", "product": "Amboß 9", "serial": "PY-1", "uuid": "6f0d4c1e-8d3b-4a47-9f0a-2f6c7f1f0a99",
            "board_vendor": null, "board_product": "B\\9", "board_serial": null, "chassis_serial": null,
            "chassis_asset_tag": "rack 7, \"left\"", "firmware_version": "1.2",
        },
        "cpu": {"model": "Cortex-A72", "sockets": 1, "cores": 4, "threads": 4},
        "memory": {"bytes": 8_589_934_592_u64, "usable_bytes": 8_321_499_136_u64},
        "nics": [
            {"name": "eth0", "mac": "52:54:00:77:10:02", "permanent_mac": "52:54:00:77:10:01", "driver": "virtio_net", "speed_mbps": 1000, "link": true},
            {"name": "eth1", "mac": "52:54:00:77:10:00", "permanent_mac": null, "driver": null, "speed_mbps": null, "link": false},
        ],
        "disks": [
            {"name": "nvme0n1", "bytes": 512_110_190_592_u64, "logical_sector_bytes": 512, "physical_sector_bytes": 4096,
             "rotational": false, "removable": false, "model": "Flott", "serial": "N1", "by_path": "pci-0000:01:00.0-nvme-1"},
            {"name": "sda", "bytes": 15_931_539_456_u64, "logical_sector_bytes": 512, "physical_sector_bytes": 512,
             "rotational": true, "removable": true, "model": null, "serial": null, "by_path": null},
        ],
        "pci": [
            {"address": "0000:01:00.0", "class": "010802", "vendor": "144d", "device": "a80a", "driver": "nvme"},
            {"address": "0000:00:00.0", "class": "060400", "vendor": "14e4", "device": "2711", "driver": null},
        ],
        "kernel": "6.1.0-rpi7",
    })
}
