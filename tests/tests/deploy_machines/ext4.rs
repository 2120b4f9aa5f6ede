//! An ext4 whose free blocks are full of what was deleted there: a disk that is saved by its used blocks comes without that.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{Space, output};

const MIB: u64 = 1 << 20;
/// Enough for a journal and much free room.
const SIZE: u64 = 16 * MIB;
/// The journal and the tables of inodes count as used, also where nothing was written to them yet.
const UNWRITTEN: u64 = 2 * MIB;
/// What was deleted.
const DELETED: &[u8; 16] = b"DELETED-LONG-AGO";
/// What is still there.
const KEPT: &str = "a file that is kept";

/// A copy of the disk image `tenant` with one partition more, behind its end.
pub(crate) fn added(space: &Space, tenant: &Path, name: &str) -> Result<PathBuf> {
    let image = space.folder().file(name);
    fs::copy(tenant, &image)?;
    let mut file = File::options().append(true).open(&image)?;
    let start = file.metadata()?.len();
    for _ in 0..SIZE / DELETED.len() as u64 {
        file.write_all(DELETED)?;
    }
    partition(&image, start)?;
    let content = space.folder().file("ext4-content");
    fs::create_dir_all(&content)?;
    fs::write(content.join("kept"), KEPT)?;
    let mut format = Command::new("mkfs.ext4");
    format
        .args(["-q", "-F", "-E", &format!("nodiscard,offset={start}"), "-d"])
        .args([&content, &image])
        .arg(format!("{}k", SIZE >> 10));
    output(format)?;
    ensure!(deleted(&image, start)? > 6 * UNWRITTEN, "much was deleted");
    Ok(image)
}

fn partition(image: &Path, start: u64) -> Result<()> {
    let mut sfdisk = Command::new("sfdisk");
    sfdisk
        .args(["--quiet", "--append", "--no-reread", "--no-tell-kernel"])
        .arg(image)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = sfdisk.spawn().context("cannot start sfdisk")?;
    let entry = format!("start={}, size={}, type=83\n", start / 512, SIZE / 512);
    let mut stdin = child.stdin.take().context("piped above")?;
    stdin.write_all(entry.as_bytes())?;
    drop(stdin);
    ensure!(child.wait()?.success(), "sfdisk");
    Ok(())
}

/// Bytes of what was deleted that lie on the disk from `start` on, where the partition is.
fn deleted(disk: &Path, start: u64) -> Result<u64> {
    let mut file = File::open(disk)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; usize::try_from(SIZE)?];
    file.read_exact(&mut bytes)?;
    let pieces = bytes.chunks_exact(DELETED.len());
    let found = pieces.filter(|piece| piece == DELETED).count();
    Ok((found * DELETED.len()) as u64)
}

/// The partition at `start` of this disk is whole and has its file, and what was deleted did not come with it.
pub(crate) fn came_without_what_was_deleted(disk: &Path, start: u64) -> Result<()> {
    let at = format!("{}?offset={start}", disk.display());
    let mut check = Command::new("e2fsck");
    check.args(["-f", "-n", &at]);
    output(check)?;
    let mut read = Command::new("debugfs");
    read.args(["-R", "cat /kept", &at]);
    ensure!(output(read)? == KEPT, "the file is there");
    let left = deleted(disk, start)?;
    ensure!(
        left < UNWRITTEN,
        "{left} bytes of what was deleted were saved"
    );
    Ok(())
}
