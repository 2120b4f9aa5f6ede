//! Other people's tools that partition a disk and look at it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says these lines to `fdisk`, which alone of its family believes any sector size of a file.
pub(crate) fn fdisk(disk: &Path, sector_size: u32, lines: &str) -> String {
    let mut fdisk = Command::new("fdisk")
        .args(["--sector-size", &sector_size.to_string(), "--wipe", "never"])
        .arg(disk)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = fdisk.stdin.as_mut().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    let out = fdisk.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Partitions a disk by a script in the form of `sfdisk`.
pub(crate) fn partition(disk: &Path, sector_size: u32, script: &str) {
    let file = disk.with_extension("script");
    std::fs::write(&file, script).unwrap();
    let said = fdisk(disk, sector_size, &format!("I\n{}\nw\n", file.display()));
    assert!(said.contains("has been altered"), "{said}");
}

/// A program's words, when it is content.
pub(crate) fn output(program: &str, args: &[&str], file: &Path) -> String {
    let out = Command::new(program)
        .args(args)
        .arg(file)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let faults = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program}: {text}{faults}");
    text + &faults
}
