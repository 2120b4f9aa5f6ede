//! An initramfs being written: the kernel's `newc` cpio form, which needs neither root nor a folder tree to pack from.

use crate::lab::{need, process};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// The archive so far. Owner root, time zero: the same content gives the same bytes.
#[derive(Debug, Default)]
pub struct Initrd {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Initrd {
    /// Folders that every init wants, and Debian's static busybox as `/bin/busybox` and `/bin/sh`.
    pub fn with_busybox() -> Result<Self> {
        need::programs(&["busybox"])?;
        let mut initrd = Self::default();
        for folder in ["bin", "dev", "proc", "sys", "tmp", "run", "etc"] {
            initrd.folder(folder);
        }
        let busybox = fs::read(need::find("busybox").context("found above")?)?;
        initrd.file("bin/busybox", 0o755, &busybox);
        initrd.entry("bin/sh", 0o120_777, b"busybox");
        Ok(initrd)
    }

    /// A file with its folders. `path` may start with `/`.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            self.folder(&path[..at]);
        }
        self.entry(path, FILE | mode, content);
    }

    fn folder(&mut self, path: &str) {
        if self.folders.insert(path.to_owned()) {
            self.entry(path, FOLDER | 0o755, b"");
        }
    }

    /// One record: 13 hexadecimal fields, name and content each padded to four bytes (Documentation/driver-api/early-userspace/buffer-format).
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode & FOLDER == FOLDER && mode & FILE == 0 {
            2
        } else {
            1
        };
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            content.len() as u32,
            0,
            0,
            0,
            0,
            path.len() as u32 + 1,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Ends the archive and writes it, compressed.
    pub fn write_gzip(mut self, file: &Path) -> Result<()> {
        self.entry("TRAILER!!!", 0, b"");
        let plain = file.with_extension("cpio");
        fs::write(&plain, &self.bytes)?;
        let mut gzip = process::host("gzip");
        gzip.args(["-9nc"]).arg(&plain).stdout(File::create(file)?);
        let status = gzip.status().context("cannot start gzip")?;
        fs::remove_file(&plain)?;
        anyhow::ensure!(status.success(), "gzip: {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpio_reads_what_was_written_with_folders_before_files() {
        let mut initrd = Initrd::default();
        initrd.file("/a/b/hello", 0o644, b"hi");
        initrd.file("a/b/there", 0o755, b"");
        let file = std::env::temp_dir().join(format!("initrd-test-{}", std::process::id()));
        initrd.write_gzip(&file).unwrap();
        let mut list = process::host("sh");
        list.args([
            "-c",
            "gzip -dc \"$0\" | cpio -itv --quiet 2>&1 | awk '{print $1, $NF}'",
        ])
        .arg(&file);
        let listing = process::output(list).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(
            listing,
            "drwxr-xr-x a\ndrwxr-xr-x a/b\n-rw-r--r-- a/b/hello\n-rwxr-xr-x a/b/there\n"
        );
    }
}
