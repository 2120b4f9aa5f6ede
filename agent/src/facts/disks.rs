//! Whole disks below `/sys/block`, with the serial wherever each bus keeps it, and a `by-path` name in udev's form.

use std::path::Path;

use mesh_proto::facts::{Disk, normalised};

use super::read;

/// The kernel counts sizes in this unit whatever the disk's sectors are.
const KERNEL_SECTOR_BYTES: u64 = 512;

/// Devices that are not disks of the machine, by the start of their kernel name.
const NOT_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];

/// Lists the disks.
pub(super) fn gather(root: &Path) -> Vec<Disk> {
    read::entries(&root.join("sys/block"))
        .into_iter()
        .filter(|(name, path)| is_whole_disk(name, path))
        .map(|(name, path)| disk(name, &path))
        .collect()
}

/// See [`super::disks_are_settled`].
pub(super) fn nvme_controllers_have_namespaces(root: &Path) -> bool {
    read::entries(&root.join("sys/class/nvme"))
        .iter()
        .all(|(name, path)| {
            read::entries(path)
                .iter()
                .any(|(child, _)| child.starts_with(name.as_str()))
        })
}

fn is_whole_disk(name: &str, path: &Path) -> bool {
    // mmcblk0boot0 and mmcblk0rpmb are areas of an eMMC; a hidden device is one path of a multipath NVMe namespace.
    let area = name.starts_with("mmcblk") && (name.contains("boot") || name.ends_with("rpmb"));
    !area
        && !NOT_DISKS.iter().any(|start| name.starts_with(start))
        && !read::flag(&path.join("hidden"))
}

fn disk(name: String, path: &Path) -> Disk {
    let number = |attribute: &str| read::number::<u32>(&path.join(attribute));
    let logical = number("queue/logical_block_size").unwrap_or(512);
    Disk {
        bytes: read::number::<u64>(&path.join("size"))
            .unwrap_or(0)
            .saturating_mul(KERNEL_SECTOR_BYTES),
        logical_sector_bytes: logical,
        physical_sector_bytes: number("queue/physical_block_size").unwrap_or(logical),
        rotational: read::flag(&path.join("queue/rotational")),
        removable: read::flag(&path.join("removable")),
        // SCSI and NVMe say `model`, MMC says `name`.
        model: read::text(&path.join("device/model"))
            .or_else(|| read::text(&path.join("device/name"))),
        serial: serial(path),
        by_path: by_path(&name, path),
        name,
    }
}

/// virtio: `serial`; NVMe and MMC: `device/serial`; SCSI and ATA: the unit serial number page, after its 4-byte head.
fn serial(path: &Path) -> Option<String> {
    let page = || {
        let page = read::bytes_up_to(&path.join("device/vpd_pg80"), 4096)?;
        normalised(&String::from_utf8_lossy(page.get(4..)?))
    };
    read::text(&path.join("serial"))
        .or_else(|| read::text(&path.join("device/serial")))
        .or_else(page)
}

/// `pci-0000:00:1f.2-ata-1` from the device's place in `/sys/devices`.
fn by_path(name: &str, path: &Path) -> Option<String> {
    let place = std::fs::canonicalize(path).ok()?;
    let steps: Vec<&str> = place.iter().filter_map(|step| step.to_str()).collect();
    let pci = steps.iter().rposition(|step| is_pci_address(step))?;
    let below = &steps[pci + 1..];
    let suffix = if name.starts_with("nvme") {
        format!(
            "-nvme-{}",
            read::number::<u32>(&path.join("nsid")).or_else(|| namespace(name))?
        )
    } else if below.first().is_some_and(|step| step.starts_with("virtio")) && name.starts_with("vd")
    {
        String::new()
    } else if let Some(port) = below.iter().find_map(|step| step.strip_prefix("ata")) {
        let folder: std::path::PathBuf = steps[..=pci + 1].iter().collect();
        let number = read::number::<u32>(&folder.join(format!("ata_port/ata{port}/port_no")));
        format!("-ata-{}", number.or_else(|| port.parse().ok())?)
    } else {
        // host:channel:target:lun; the host's number is not stable, udev writes it as 0.
        let address = below
            .iter()
            .rev()
            .find(|step| step.split(':').count() == 4)?;
        format!("-scsi-0:{}", address.split_once(':')?.1)
    };
    Some(format!("pci-{}{suffix}", steps[pci]))
}

fn is_pci_address(step: &str) -> bool {
    // 0000:00:1f.2
    step.len() >= 12 && step.split(':').count() == 3 && step.contains('.')
}

fn namespace(name: &str) -> Option<u32> {
    name.rsplit_once('n')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    fn block(root: &Path, name: &str, place: &str, attributes: &[(&str, &[u8])]) -> PathBuf {
        let path = root
            .join("sys/devices")
            .join(place)
            .join("block")
            .join(name);
        fs::create_dir_all(path.join("queue")).unwrap();
        fs::create_dir_all(path.join("device")).unwrap();
        for (attribute, value) in attributes {
            fs::write(path.join(attribute), value).unwrap();
        }
        fs::create_dir_all(root.join("sys/block")).unwrap();
        symlink(&path, root.join("sys/block").join(name)).unwrap();
        path
    }

    fn sata_disk(root: &Path) {
        let place = "pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0";
        let attributes: [(&str, &[u8]); 6] = [
            ("size", b"131072\n"),
            ("queue/rotational", b"1\n"),
            ("queue/logical_block_size", b"512\n"),
            ("queue/physical_block_size", b"4096\n"),
            ("device/model", b"QEMU HARDDISK   \n"),
            ("device/vpd_pg80", b"\0\x80\0\x08SATA-1  "),
        ];
        block(root, "sda", place, &attributes);
        let port = root.join("sys/devices/pci0000:00/0000:00:1f.2/ata3/ata_port/ata3");
        fs::create_dir_all(&port).unwrap();
        fs::write(port.join("port_no"), "1\n").unwrap();
    }

    fn nvme_disk(root: &Path) {
        let attributes: [(&str, &[u8]); 4] = [
            ("size", b"2048"),
            ("device/serial", b"NV-7  \n"),
            ("device/model", b"QEMU NVMe Ctrl\n"),
            ("nsid", b"1"),
        ];
        block(
            root,
            "nvme0n1",
            "pci0000:00/0000:00:05.0/nvme/nvme0",
            &attributes,
        );
    }

    #[test]
    fn each_bus_keeps_the_serial_elsewhere_and_all_are_found() {
        let root = tempfile::tempdir().unwrap();
        sata_disk(root.path());
        nvme_disk(root.path());
        let virtio: [(&str, &[u8]); 2] = [("size", b"8"), ("serial", b"VIRT-1")];
        block(
            root.path(),
            "vda",
            "pci0000:00/0000:00:04.0/virtio2",
            &virtio,
        );
        let disks = gather(root.path());
        let row = |d: &Disk| {
            (
                d.name.clone(),
                d.bytes,
                d.serial.clone().unwrap(),
                d.by_path.clone().unwrap(),
            )
        };
        let want = [
            ("nvme0n1", 2048 * 512, "NV-7", "pci-0000:00:05.0-nvme-1"),
            ("sda", 131_072 * 512, "SATA-1", "pci-0000:00:1f.2-ata-1"),
            ("vda", 8 * 512, "VIRT-1", "pci-0000:00:04.0"),
        ]
        .map(|(name, bytes, serial, place)| {
            (name.to_owned(), bytes, serial.to_owned(), place.to_owned())
        });
        assert_eq!(disks.iter().map(row).collect::<Vec<_>>(), want);
        assert_eq!(
            (
                disks[1].logical_sector_bytes,
                disks[1].physical_sector_bytes
            ),
            (512, 4096)
        );
        assert_eq!(
            disks.iter().map(|d| d.rotational).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_eq!(disks[1].model.as_deref(), Some("QEMU HARDDISK"));
    }

    #[test]
    fn what_is_not_a_disk_of_the_machine_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "loop0",
            "ram0",
            "zram0",
            "dm-0",
            "md127",
            "sr0",
            "fd0",
            "mmcblk0boot0",
            "mmcblk0rpmb",
            "mmcblk0",
        ] {
            block(
                root.path(),
                name,
                &format!("virtual/{name}"),
                &[("size", b"8")],
            );
        }
        block(
            root.path(),
            "nvme0c0n1",
            "virtual/x",
            &[("size", b"8"), ("hidden", b"1\n")],
        );
        let names: Vec<_> = gather(root.path()).into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["mmcblk0"]);
    }

    #[test]
    fn a_scsi_disk_is_named_by_channel_target_and_lun() {
        let root = tempfile::tempdir().unwrap();
        block(
            root.path(),
            "sdb",
            "pci0000:00/0000:02:00.0/host7/target7:2:1/7:2:1:0",
            &[("size", b"8")],
        );
        assert_eq!(
            gather(root.path())[0].by_path.as_deref(),
            Some("pci-0000:02:00.0-scsi-0:2:1:0")
        );
    }

    #[test]
    fn an_nvme_controller_without_a_namespace_is_not_settled() {
        let root = tempfile::tempdir().unwrap();
        assert!(nvme_controllers_have_namespaces(root.path()));
        fs::create_dir_all(root.path().join("sys/class/nvme/nvme0")).unwrap();
        assert!(!nvme_controllers_have_namespaces(root.path()));
        fs::create_dir_all(root.path().join("sys/class/nvme/nvme0/nvme0n1")).unwrap();
        assert!(nvme_controllers_have_namespaces(root.path()));
    }
}
