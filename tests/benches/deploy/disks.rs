//! The disks that are taken in: made once by disks.sh, kept beside the fixtures.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

/// A stretch is changed in each so many bytes of data: with [`CHANGE_BYTES`] a twentieth of all data.
const STEP_BYTES: u64 = 20 << 20;
/// Bytes of a changed stretch: a program that came anew with an update.
const CHANGE_BYTES: usize = 1 << 20;
/// What a change may begin and end at: a block of a file system.
const BLOCK: usize = 4096;

pub(crate) struct Disks(PathBuf);

impl Disks {
    pub(crate) fn make() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = here.join(".cache/deploy-disks");
        let made = Command::new(here.join("benches/deploy/disks.sh"))
            .arg(&dir)
            .status()?;
        ensure!(made.success(), "the disks cannot be made");
        let disks = Self(dir);
        if !disks.file("changed.done").exists() {
            disks.change()?;
            fs::write(disks.file("changed.done"), "")?;
        }
        Ok(disks)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A system disk, half full.
    pub(crate) fn os(&self) -> PathBuf {
        self.file("os.img")
    }

    /// The same after an update: a twentieth of the data is other data.
    pub(crate) fn changed(&self) -> PathBuf {
        self.file("changed.img")
    }

    /// Random bytes: nothing to pack, no holes.
    pub(crate) fn full(&self) -> PathBuf {
        self.file("full.img")
    }

    /// What casync makes of the changed disk, once: minutes of work, which are not measured.
    pub(crate) fn index(&self) -> Result<()> {
        if self.file("changed.caibx").exists() {
            return Ok(());
        }
        let made = Command::new("casync")
            .args(["make", "--compression=zstd", "--store"])
            .args([self.file("changed.castr"), self.file("changed.caibx")])
            .arg(self.changed())
            .output()?;
        let told = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "casync make: {told}");
        Ok(())
    }

    fn change(&self) -> Result<()> {
        let copied = Command::new("cp")
            .arg("--sparse=always")
            .args([self.os(), self.changed()])
            .status()?;
        ensure!(copied.success(), "copying the disk");
        let disk = File::options()
            .read(true)
            .write(true)
            .open(self.changed())?;
        let size = disk.metadata()?.len();
        let (mut data, mut buffer) = (0, vec![0; CHANGE_BYTES]);
        let mut at = 0;
        while at + buffer.len() as u64 <= size {
            disk.read_exact_at(&mut buffer, at)?;
            // Not the table and the file system's own head.
            let full = at > STEP_BYTES && buffer.chunks(BLOCK).all(|b| b.iter().any(|b| *b != 0));
            let before = data / STEP_BYTES;
            data += buffer
                .chunks(BLOCK)
                .filter(|b| b.iter().any(|b| *b != 0))
                .count() as u64
                * BLOCK as u64;
            if full && data / STEP_BYTES > before {
                // Other bytes that pack as well as these did; not along the borders of anybody's chunks.
                let place = at + 77 * BLOCK as u64;
                disk.read_exact_at(&mut buffer, place)?;
                buffer
                    .iter_mut()
                    .for_each(|byte| *byte = byte.wrapping_add(1));
                disk.write_all_at(&buffer, place)?;
            }
            at += buffer.len() as u64;
        }
        disk.sync_all()?;
        Ok(())
    }
}

/// Reads a file once, so that what is measured is not the disk it comes from.
pub(crate) fn warm(path: &Path) -> Result<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Makes the kernel forget what it holds of a file, so that it is read from the disk again.
pub(crate) fn forget(path: &Path) -> Result<()> {
    let mut of = std::ffi::OsString::from("of=");
    of.push(path);
    let done = Command::new("dd")
        .arg(of)
        .args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0"])
        .args(["status=none", "if=/dev/null"])
        .status()?;
    ensure!(done.success(), "dropping the cache of {}", path.display());
    Ok(())
}
