//! PCI functions below `/sys/bus/pci/devices`.

use std::path::Path;

use mesh_proto::facts::PciDevice;

use super::read;

/// Lists the functions by address.
pub(super) fn gather(root: &Path) -> Vec<PciDevice> {
    read::entries(&root.join("sys/bus/pci/devices"))
        .into_iter()
        .filter_map(|(address, path)| {
            Some(PciDevice {
                address,
                class: hex(&path.join("class"))?,
                vendor: hex(&path.join("vendor"))?,
                device: hex(&path.join("device"))?,
                driver: read::link_name(&path.join("driver")),
            })
        })
        .collect()
}

/// `0x020000` without its head, as lists of ids have it.
fn hex(path: &Path) -> Option<String> {
    Some(
        read::text(path)?
            .trim_start_matches("0x")
            .to_ascii_lowercase(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn functions_are_listed_with_their_driver_when_they_have_one() {
        let root = tempfile::tempdir().unwrap();
        let bus = root.path().join("sys/bus/pci/devices");
        for (address, class) in [
            ("0000:00:03.0", "0x020000\n"),
            ("0000:00:00.0", "0x060000\n"),
        ] {
            fs::create_dir_all(bus.join(address)).unwrap();
            fs::write(bus.join(address).join("class"), class).unwrap();
            fs::write(bus.join(address).join("vendor"), "0x1AF4\n").unwrap();
            fs::write(bus.join(address).join("device"), "0x1041\n").unwrap();
        }
        symlink(
            "../../../../bus/pci/drivers/virtio-pci",
            bus.join("0000:00:03.0/driver"),
        )
        .unwrap();
        fs::create_dir_all(bus.join("0000:00:04.0")).unwrap();
        let device = |address: &str, class: &str, driver: Option<&str>| PciDevice {
            address: address.into(),
            class: class.into(),
            vendor: "1af4".into(),
            device: "1041".into(),
            driver: driver.map(str::to_owned),
        };
        let want = [
            device("0000:00:00.0", "060000", None),
            device("0000:00:03.0", "020000", Some("virtio-pci")),
        ];
        assert_eq!(gather(root.path()), want, "what has no class is left out");
    }
}
