//! The edits to a written disk, looked at by the tools people use: `sgdisk`, `fdisk`, `fsck.vfat`, `mtype`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use image::edit::{Change, EditError, HEAD_BYTES, Plan, Target, Wish, plan};

use crate::tools::{fdisk, output, partition};

const MIB: u64 = 1 << 20;
const ID: [u8; 16] = [0x5A; 16];
const USER_DATA: &[u8] = b"#cloud-config\nhostname: m1\n";

/// A disk in a file, partitioned by a script of `sfdisk`, and then made larger.
struct DiskFile {
    folder: tempfile::TempDir,
    sector_size: u32,
}

impl DiskFile {
    fn partitioned(sector_size: u32, mib: u64, script: &str) -> Self {
        let disk = Self {
            folder: tempfile::tempdir().unwrap(),
            sector_size,
        };
        disk.grow_to(mib);
        partition(&disk.path(), sector_size, script);
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn grow_to(&self, mib: u64) {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path());
        file.unwrap().set_len(mib * MIB).unwrap();
    }

    fn target(&self) -> Target {
        Target {
            bytes: fs::metadata(self.path()).unwrap().len(),
            sector_size: self.sector_size,
        }
    }

    fn plan(&self, grow: bool, provision: &[(&str, &[u8])]) -> Result<Plan, EditError> {
        self.plan_without(&[], grow, provision)
    }

    fn plan_without(
        &self,
        stale: &[u32],
        grow: bool,
        provision: &[(&str, &[u8])],
    ) -> Result<Plan, EditError> {
        let mut head = vec![0; HEAD_BYTES as usize];
        File::open(self.path())
            .unwrap()
            .read_exact(&mut head)
            .unwrap();
        let wish = Wish {
            grow,
            provision,
            partition_id: ID,
            stale,
        };
        plan(&head, self.target(), &wish)
    }

    fn apply(&self, plan: &Plan) {
        let file = File::options().write(true).open(self.path()).unwrap();
        for write in &plan.writes {
            assert_eq!(write.offset % u64::from(self.sector_size), 0);
            assert_eq!(write.bytes.len() % self.sector_size as usize, 0);
            file.write_all_at(&write.bytes, write.offset).unwrap();
        }
        file.write_all_at(&plan.head, 0).unwrap();
    }

    /// `fdisk` finds no fault, and says what is there: start and size in sectors by partition.
    fn verified(&self) -> Vec<(u64, u64)> {
        let said = fdisk(&self.path(), self.sector_size, "v\nq\n");
        assert!(said.contains("No errors detected"), "{said}");
        let size = self.sector_size.to_string();
        let args = ["--sector-size", &size, "-o", "Start,Sectors", "--list"];
        output("fdisk", &args, &self.path())
            .lines()
            .filter_map(|line| {
                let (start, size) = line.trim().split_once(' ')?;
                Some((start.parse().ok()?, size.trim().parse().ok()?))
            })
            .collect()
    }

    /// The files of the volume at `offset`, after `fsck.vfat` found no fault.
    fn volume_file(&self, offset: u64, len: u64, name: &str) -> String {
        let part = self.folder.path().join("part");
        let mut disk = File::open(self.path()).unwrap();
        disk.seek(SeekFrom::Start(offset)).unwrap();
        let mut bytes = Vec::new();
        disk.take(len).read_to_end(&mut bytes).unwrap();
        fs::write(&part, bytes).unwrap();
        output("fsck.vfat", &["-n"], &part);
        let label = output("blkid", &["-o", "value", "-s", "LABEL", "-p"], &part);
        assert_eq!(label.trim(), "CIDATA");
        let text = Command::new("mtype")
            .env("MTOOLS_SKIP_CHECK", "1")
            .arg("-i")
            .arg(&part)
            .arg(format!("::{name}"))
            .output()
            .unwrap();
        assert!(text.status.success(), "{name}: {text:?}");
        String::from_utf8(text.stdout).unwrap()
    }
}

const CLOUD: &str =
    "label: gpt\nstart=4MiB, size=20MiB, type=linux\nstart=1MiB, size=3MiB, type=uefi\n";

#[test]
fn a_gpt_image_on_a_larger_disk_is_whole_grown_and_provisioned() {
    for sector_size in [512, 4096] {
        let disk = DiskFile::partitioned(sector_size, 26, CLOUD);
        disk.grow_to(100);
        let long = "x".repeat(3 << 20);
        let files: [(&str, &[u8]); 3] = [
            ("user-data", USER_DATA),
            ("meta-data", b""),
            ("a-name-of-more-than-thirteen.letters", long.as_bytes()),
        ];
        let plan = disk.plan(true, &files).unwrap();
        disk.apply(&plan);
        let [
            Change::BackupTableMoved,
            Change::PartitionGrown { number: 1, end },
            Change::Provisioned { offset, len },
        ] = plan.changes[..]
        else {
            panic!("{:?}", plan.changes)
        };
        assert_eq!(end, offset);
        let sector = u64::from(sector_size);
        let want = [(4 * MIB, end - 4 * MIB), (MIB, 3 * MIB), (offset, len)];
        assert_eq!(
            disk.verified(),
            want.map(|(start, size)| (start / sector, size / sector))
        );
        assert_eq!(
            disk.volume_file(offset, len, "USER-DATA").as_bytes(),
            USER_DATA
        );
        assert_eq!(disk.volume_file(offset, len, "meta-data"), "");
        assert_eq!(disk.volume_file(offset, len, files[2].0), long);
        if sector_size == 512 {
            let said = output("sgdisk", &["-v"], &disk.path());
            assert!(said.contains("No problems found"), "{said}");
        }
    }
}

#[test]
fn a_gpt_image_of_the_disks_own_size_is_not_changed() {
    let disk = DiskFile::partitioned(512, 26, CLOUD);
    let before = fs::read(disk.path()).unwrap();
    let plan = disk.plan(false, &[]).unwrap();
    assert_eq!(plan.changes, []);
    disk.apply(&plan);
    assert!(before == fs::read(disk.path()).unwrap());
}

#[test]
fn an_mbr_image_is_grown_and_provisioned() {
    let script = "label: dos\nstart=2048, size=20480, type=83, bootable\n";
    let disk = DiskFile::partitioned(512, 20, script);
    disk.grow_to(64);
    let plan = disk.plan(true, &[("user-data", USER_DATA)]).unwrap();
    disk.apply(&plan);
    let [
        Change::PartitionGrown { number: 1, end },
        Change::Provisioned { offset, len },
    ] = plan.changes[..]
    else {
        panic!("{:?}", plan.changes)
    };
    assert_eq!((end, offset + len), (offset, 64 * MIB));
    let want = [(MIB, end - MIB), (offset, len)];
    assert_eq!(
        disk.verified(),
        want.map(|(start, size)| (start / 512, size / 512))
    );
    assert_eq!(
        disk.volume_file(offset, len, "user-data").as_bytes(),
        USER_DATA
    );
}

#[test]
fn what_cannot_be_edited_is_refused() {
    let full = DiskFile::partitioned(512, 26, "label: gpt\nstart=1MiB, type=linux\n");
    let provision: [(&str, &[u8]); 1] = [("user-data", USER_DATA)];
    assert!(matches!(
        full.plan(false, &provision),
        Err(EditError::NoRoom(_))
    ));
    let four = "label: dos\nsize=1MiB\nsize=1MiB\nsize=1MiB\nsize=1MiB\n";
    let four = DiskFile::partitioned(512, 26, four);
    assert_eq!(four.plan(false, &provision), Err(EditError::Full));
    let extended = "label: dos\nsize=1MiB\nsize=4MiB, type=5\n";
    let extended = DiskFile::partitioned(512, 26, extended);
    assert!(matches!(extended.plan(true, &[]), Err(EditError::Table(_))));
    for name in ["", "a/b", ".hidden", "user data", "ü"] {
        let files: [(&str, &[u8]); 1] = [(name, b"")];
        assert!(
            matches!(four.plan(false, &files), Err(EditError::Files(_))),
            "{name}"
        );
    }
}

#[test]
fn many_files_and_large_ones_make_a_volume_that_is_whole() {
    let disk = DiskFile::partitioned(512, 8, "label: gpt\nstart=1MiB, size=2MiB\n");
    disk.grow_to(64);
    let names: Vec<_> = (0..20).map(|n| format!("file-{n}.text")).collect();
    let large = "y".repeat(700 << 10);
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), large.as_bytes()))
        .collect();
    let plan = disk.plan(false, &files).unwrap();
    disk.apply(&plan);
    let Some(Change::Provisioned { offset, len }) = plan.changes.last() else {
        panic!("{:?}", plan.changes)
    };
    for name in &names {
        assert!(disk.volume_file(*offset, *len, name) == large, "{name}");
    }
    disk.verified();
}

#[test]
fn what_an_earlier_deployment_told_makes_way_and_is_gone() {
    let gpt = "label: gpt\nstart=1MiB, size=20MiB, type=linux\n";
    let mbr = "label: dos\nstart=2048, size=40960, type=83\n";
    // On the next disk, of the same size or larger, the new volume lies over the old one, or elsewhere.
    for (script, next_mib) in [(gpt, 40), (gpt, 100), (mbr, 40), (mbr, 100)] {
        let disk = DiskFile::partitioned(512, 40, script);
        disk.apply(&disk.plan(false, &[("user-data", USER_DATA)]).unwrap());
        disk.grow_to(next_mib);
        let new = b"#cloud-config\nfor: the next one\n";
        let plan = disk
            .plan_without(&[2], true, &[("user-data", new)])
            .unwrap();
        disk.apply(&plan);
        let changes: Vec<_> = plan
            .changes
            .iter()
            .filter(|change| **change != Change::BackupTableMoved)
            .collect();
        let [
            Change::ProvisionRemoved { .. },
            Change::PartitionGrown { number: 1, end },
            Change::Provisioned { offset, len },
        ] = changes[..]
        else {
            panic!("{script}: {changes:?}")
        };
        assert_eq!(end, offset, "nothing lies between them");
        let want = [(MIB, end - MIB), (*offset, *len)];
        assert_eq!(
            disk.verified(),
            want.map(|(start, size)| (start / 512, size / 512))
        );
        assert_eq!(disk.volume_file(*offset, *len, "user-data").as_bytes(), new);
        let bytes = fs::read(disk.path()).unwrap();
        // A file of a volume begins with a sector.
        let mut sectors = bytes.chunks(512);
        assert!(
            !sectors.any(|sector| sector.starts_with(USER_DATA)),
            "{script}"
        );
    }
}
