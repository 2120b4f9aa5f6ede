//! The preparations with a machine of folders: what is found, what is loaded, what is said when it cannot be.

use std::fs;
use std::io;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::*;
use crate::deploy::disk::{Disk, Geometry};

/// A disk whose partitions are what these folders hold.
#[derive(Default)]
struct Bench {
    folders: Vec<tempfile::TempDir>,
    refuses: Option<&'static str>,
    did: Mutex<Vec<String>>,
}

/// A partition table of as many Linux partitions, each of which begins as ext4 does.
struct Table(usize);

impl Disk for Table {
    fn geometry(&self) -> Geometry {
        Geometry {
            bytes: 64 << 20,
            sector_size: 512,
        }
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        into.fill(0);
        if offset == 0 {
            for n in 0..self.0 {
                let entry = &mut into[446 + 16 * n..][..16];
                entry[4] = 0x83;
                let start = u32::try_from(2048 * (n + 1)).unwrap();
                entry[8..12].copy_from_slice(&start.to_le_bytes());
                entry[12..16].copy_from_slice(&2048_u32.to_le_bytes());
            }
            into[510..512].copy_from_slice(&[0x55, 0xAA]);
        } else {
            into[1080..1082].copy_from_slice(b"\x53\xEF");
        }
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        panic!("nothing is written after the seal")
    }

    fn zero(&self, _: u64, _: u64) -> io::Result<()> {
        panic!("nothing is written after the seal")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Bench {
    fn with(files: &[&[(&str, &str)]]) -> Self {
        let folders = files.iter().map(|files| folder(files)).collect();
        Self {
            folders,
            ..Self::default()
        }
    }

    fn does(&self, what: String) -> Result<(), String> {
        let verb = what.split(' ').next().unwrap_or_default().to_owned();
        self.did.lock().unwrap().push(what);
        match self.refuses {
            Some(refused) if refused == verb => Err(format!("cannot {verb}")),
            _ => Ok(()),
        }
    }

    fn prepare(&self) -> (Result<(), String>, Vec<String>) {
        let disk = facts::Disk {
            name: "vda".to_owned(),
            bytes: 64 << 20,
            logical_sector_bytes: 512,
            physical_sector_bytes: 512,
            rotational: false,
            removable: false,
            model: None,
            serial: None,
            by_path: None,
        };
        let end = prepare(self, &disk, &Memory::default());
        (end, self.did.lock().unwrap().clone())
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, text).unwrap(),
        }
    }
    root
}

impl Host for Bench {
    fn disks(&self) -> Vec<facts::Disk> {
        Vec::new()
    }

    fn open(&self, _: &facts::Disk) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(Table(self.folders.len())))
    }

    fn unused(&self, _: &facts::Disk, _: &Part, _: &str) -> Option<Vec<Range<u64>>> {
        None
    }

    fn sanitize(&self, _: &facts::Disk) -> Result<(), String> {
        Err("no".to_owned())
    }

    fn boot_order(&self, _: &Part, _: u32) -> Result<bool, String> {
        Ok(false)
    }

    fn say(&self, _: &str) {}

    fn starter(&self) -> Option<&dyn Starter> {
        Some(self)
    }
}

impl Starter for Bench {
    fn mounted(
        &self,
        _: &facts::Disk,
        part: &Part,
        file_system: &str,
        look: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        self.does(format!("mount {} {file_system}", part.number))?;
        let at = usize::try_from(part.number).unwrap() - 1;
        look(self.folders[at].path())
    }

    fn load(&self, kernel: &Kernel) -> Result<(), String> {
        let text = |mut file: &fs::File| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let initrds: Vec<_> = kernel.initrds.iter().map(text).collect();
        let image = text(&kernel.image);
        self.does(format!(
            "load {image} + {} : {}",
            initrds.join(","),
            kernel.cmdline
        ))
    }

    fn unload(&self) -> Result<(), String> {
        self.does("unload".to_owned())
    }

    fn arm(&self) -> Result<(), String> {
        self.does("arm".to_owned())
    }
}

const GRUB: &str = "menuentry x {\n linux /boot/vmlinuz root=x ro\n initrd /boot/initrd\n}\n";

fn debian<'a>() -> Vec<(&'a str, &'a str)> {
    vec![
        ("boot/grub/grub.cfg", GRUB),
        ("boot/vmlinuz", "-> vmlinuz-6.1"),
        ("boot/vmlinuz-6.1", "KERNEL"),
        ("boot/initrd", "INITRD"),
    ]
}

#[test]
fn the_kernel_that_the_boot_loader_would_start_is_loaded_and_watched() {
    let (end, did) = Bench::with(&[&[("EFI/x", "")], &debian()]).prepare();
    assert_eq!(end, Ok(()));
    let load = "load KERNEL + INITRD : root=x ro";
    assert_eq!(did, ["mount 1 extfs", "mount 2 extfs", load, "arm"]);
}

#[test]
fn entries_of_a_loader_win_over_lists_and_lists_name_files_beside_them() {
    let fedora = [
        ("grub2/grub.cfg", "blscfg\n"),
        ("extlinux.conf", "LABEL a\n LINUX /v9\n APPEND list\n"),
        ("loader/entries/a-6.9.conf", "linux /v9\noptions nine\n"),
        (
            "loader/entries/a-6.10.conf",
            "linux /v10\ninitrd /i\noptions ten\n",
        ),
        ("v9", "V9"),
        ("v10", "V10"),
        ("i", "I"),
    ];
    assert!(
        Bench::with(&[&fedora])
            .prepare()
            .1
            .contains(&"load V10 + I : ten".to_owned())
    );
    let alpine = [
        (
            "boot/extlinux/extlinux.conf",
            "LABEL a\n LINUX ../vmlinuz\n INITRD ../a,../b\n APPEND ro\n",
        ),
        ("boot/vmlinuz", "V"),
        ("boot/a", "A"),
        ("boot/b", "B"),
    ];
    assert!(
        Bench::with(&[&alpine])
            .prepare()
            .1
            .contains(&"load V + A,B : ro".to_owned())
    );
}

#[test]
fn paths_do_not_lead_out_of_the_file_system() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "SECRET").unwrap();
    let link = format!("-> {}", outside.path().display());
    let climbing = format!("-> ../../../../../../..{}", outside.path().display());
    for hostile in [
        link.as_str(),
        climbing.as_str(),
        "-> /proc/self/exe",
        "-> vmlinuz",
        "",
    ] {
        let mut files = debian();
        files[1].1 = hostile;
        let (end, did) = Bench::with(&[&files]).prepare();
        assert!(end.is_err(), "{hostile}");
        assert_eq!(did, ["mount 1 extfs"], "{hostile}");
    }
}

#[test]
fn a_machine_that_cannot_restarts_and_says_why() {
    let cases: [(Option<&str>, &str, &[&str]); 4] = [
        (None, "", &["mount", "load", "arm"]),
        (
            Some("mount"),
            "partition 1 (extfs): cannot mount",
            &["mount"],
        ),
        (
            Some("load"),
            "partition 1 (extfs): cannot load",
            &["mount", "load"],
        ),
        (
            Some("arm"),
            "cannot arm",
            &["mount", "load", "arm", "unload"],
        ),
    ];
    for (refuses, why, verbs) in cases {
        let bench = Bench {
            refuses,
            ..Bench::with(&[&debian()])
        };
        let (end, did) = bench.prepare();
        assert_eq!(end.err().unwrap_or_default(), why);
        let did: Vec<_> = did.iter().filter_map(|did| did.split(' ').next()).collect();
        assert_eq!(did, verbs);
    }
    let (end, _) = Bench::with(&[&[("hello", "x")]]).prepare();
    assert!(end.unwrap_err().contains("no partition"));
}

#[test]
fn lists_of_any_bytes_do_no_harm() {
    let mut noise = Vec::new();
    for seed in 0_u32..2000 {
        noise.extend(seed.wrapping_mul(0x9E37_79B9).to_le_bytes());
        if seed % 5 == 0 {
            noise.extend(b"\nlinux /boot/vmlinuz \"");
        }
    }
    let root = folder(&debian());
    for path in [
        "boot/grub/grub.cfg",
        "extlinux.conf",
        "loader/entries/x.conf",
    ] {
        let path: PathBuf = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &noise).unwrap();
    }
    fs::write(root.path().join("syslinux.cfg"), vec![b'a'; 2 << 20]).unwrap();
    let kernel = kernel(root.path()).unwrap();
    assert!(kernel.is_none_or(|kernel| kernel.cmdline.is_ascii()));
}
