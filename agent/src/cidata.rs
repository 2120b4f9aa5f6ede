//! What a deployment left for this system's agent: a join, on the `cidata` volume that it wrote beside the image. Looked for
//! by the agent itself, so that an image needs nothing but the agent to come back as a member.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use image::edit::{is_cidata, volume_file};
use mesh_proto::json;
use mesh_proto::message::enrol::{JOIN_FILE, Join};

/// Deployments make volumes of some MiB; what is larger is another's.
const MAX_VOLUME_BYTES: u64 = 32 << 20;

/// The join on the volume of this machine, if there is one; `root` is `/`.
#[must_use]
pub fn join(root: &Path) -> Option<Join> {
    let volumes = devices(root).into_iter();
    let mut files = volumes.filter_map(|device| volume_file(&read(&device)?, JOIN_FILE));
    files.find_map(|file| json::from_slice(&file).ok())
}

/// Partitions called `cidata`, as the kernel knows them: nothing has to be mounted, and no udev has to run. Where a table has
/// no names (MBR), small partitions with that label, and what udev found by it.
fn devices(root: &Path) -> Vec<PathBuf> {
    let blocks = fs::read_dir(root.join("sys/class/block"));
    let found = blocks.into_iter().flatten().filter_map(|block| {
        let block = block.ok()?;
        let device = root.join("dev").join(block.file_name());
        let uevent = fs::read_to_string(block.path().join("uevent")).ok()?;
        let mut lines = uevent.lines();
        let is_volume = match lines.find_map(|line| line.strip_prefix("PARTNAME=")) {
            Some(name) => name == "cidata",
            None => is_small_partition(&block.path()) && is_cidata(&read(&device)?),
        };
        is_volume.then_some(device)
    });
    let labelled = ["cidata", "CIDATA"].map(|label| root.join("dev/disk/by-label").join(label));
    let mut devices: Vec<PathBuf> = found.chain(labelled).collect();
    devices.sort();
    devices
}

/// By the kernel's files of a block device; `size` counts 512 bytes whatever the disk's sectors have.
fn is_small_partition(block: &Path) -> bool {
    let sectors = fs::read_to_string(block.join("size"));
    let sectors = sectors
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    block.join("partition").exists() && sectors.is_some_and(|n| n <= MAX_VOLUME_BYTES / 512)
}

fn read(device: &Path) -> Option<Vec<u8>> {
    let mut volume = Vec::new();
    let file = fs::File::open(device).ok()?;
    file.take(MAX_VOLUME_BYTES).read_to_end(&mut volume).ok()?;
    Some(volume)
}

#[cfg(test)]
mod tests {
    use image::edit::{self, Target, Wish};

    use super::*;

    /// The volume as a deployment writes it, cut out of its disk.
    fn volume(files: &[(&str, &[u8])]) -> Vec<u8> {
        let bytes = 64 << 20;
        let mut head = vec![0; 1 << 20];
        // One partition of Linux in an MBR: enough of a table to add to.
        head[446 + 4] = 0x83;
        head[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
        head[446 + 12..446 + 16].copy_from_slice(&2048u32.to_le_bytes());
        head[510..512].copy_from_slice(&[0x55, 0xAA]);
        let target = Target {
            bytes,
            sector_size: 512,
        };
        let wish = Wish {
            grow: false,
            provision: files,
            partition_id: [7; 16],
            stale: &[],
        };
        let plan = edit::plan(&head, target, &wish).unwrap();
        plan.writes
            .into_iter()
            .map(|w| w.bytes)
            .max_by_key(Vec::len)
            .unwrap()
    }

    #[test]
    fn a_join_is_found_on_the_volume_that_a_deployment_wrote() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(join(root.path()), None);
        let text = br#"{"token": "enforcer-0-1-2", "controllers": ["192.0.2.1:4848"]}"#;
        let files: [(&str, &[u8]); 2] = [("user-data", b"#cloud-config"), (JOIN_FILE, text)];
        let block = root.path().join("sys/class/block/vda15");
        fs::create_dir_all(&block).unwrap();
        fs::create_dir_all(root.path().join("dev/disk/by-label")).unwrap();
        fs::write(block.join("uevent"), "DEVNAME=vda15\nPARTNAME=other\n").unwrap();
        fs::write(root.path().join("dev/vda15"), volume(&files)).unwrap();
        assert_eq!(join(root.path()), None, "another's partition");
        fs::write(block.join("uevent"), "DEVNAME=vda15\nPARTNAME=cidata\n").unwrap();
        let found = join(root.path()).unwrap();
        assert_eq!(found.controllers, ["192.0.2.1:4848".parse().unwrap()]);
        assert!(found.token.is_some_and(|t| t.expose() == "enforcer-0-1-2"));
        fs::write(root.path().join("dev/vda15"), volume(&files[..1])).unwrap();
        assert_eq!(join(root.path()), None);
        // A table without names: the kernel's size decides whether the partition is looked at at all.
        fs::write(block.join("uevent"), "DEVNAME=vda15\n").unwrap();
        fs::write(root.path().join("dev/vda15"), volume(&files)).unwrap();
        fs::write(block.join("size"), "8192\n").unwrap();
        assert_eq!(join(root.path()), None, "a whole disk");
        fs::write(block.join("partition"), "15\n").unwrap();
        assert!(join(root.path()).is_some(), "by the label in it");
        fs::write(block.join("size"), "80000\n").unwrap();
        assert_eq!(join(root.path()), None, "larger than what deployments make");
        fs::write(block.join("size"), "8192\n").unwrap();
        let mut other = volume(&files);
        other[43] = b'X';
        fs::write(root.path().join("dev/vda15"), other).unwrap();
        assert_eq!(join(root.path()), None, "a volume with another label");
        let labelled = root.path().join("dev/disk/by-label/CIDATA");
        fs::write(labelled, volume(&files)).unwrap();
        assert!(join(root.path()).is_some(), "by its label");
    }
}
