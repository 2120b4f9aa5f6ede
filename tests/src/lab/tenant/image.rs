//! A raw disk image with one FAT partition, made without root or loop devices: sfdisk and mtools work on the file.

use crate::lab::{need, process};
use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SECTOR: u64 = 512;
/// The first partition starts at 1 MiB, as everywhere.
const FIRST_SECTOR: u64 = 2048;

/// Where the FAT partition (which is also the EFI system partition) lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EspPlace {
    /// MBR, partition 1, active, type EF: SeaBIOS and OVMF both take it.
    MbrFirst,
    /// MBR, partition 5: a logical one, which some loaders never look at.
    MbrFifth,
    /// GPT, partition 1.
    GptFirst,
    /// GPT, partition 5, after four small ones.
    GptFifth,
}

impl EspPlace {
    /// sfdisk's script and the first sector of the FAT partition.
    fn table(self) -> (String, u64) {
        const SMALL: u64 = 2048;
        let esp = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
        let smalls = |count: u64, kind: &str| -> String {
            (0..count)
                .map(|i| {
                    format!(
                        "start={}, size={SMALL}, type={kind}\n",
                        FIRST_SECTOR + i * SMALL
                    )
                })
                .collect()
        };
        match self {
            Self::MbrFirst => (
                format!(
                    "label: dos\nlabel-id: 0x77000001\nstart={FIRST_SECTOR}, type=ef, bootable\n"
                ),
                FIRST_SECTOR,
            ),
            Self::MbrFifth => {
                let extended = FIRST_SECTOR + SMALL;
                let start = extended + SMALL;
                let head = "label: dos\nlabel-id: 0x77000005\n";
                // the logical partition's own table takes the gap before it
                (
                    format!(
                        "{head}start={FIRST_SECTOR}, size={SMALL}, type=83\nstart={extended}, type=5\n\n\nstart={start}, type=ef\n"
                    ),
                    start,
                )
            }
            Self::GptFirst => (
                format!("label: gpt\nstart={FIRST_SECTOR}, type={esp}\n"),
                FIRST_SECTOR,
            ),
            Self::GptFifth => {
                let linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
                let start = FIRST_SECTOR + 4 * SMALL;
                (
                    format!(
                        "label: gpt\n{}start={start}, type={esp}\n",
                        smalls(4, linux)
                    ),
                    start,
                )
            }
        }
    }

    fn is_gpt(self) -> bool {
        matches!(self, Self::GptFirst | Self::GptFifth)
    }
}

/// An image file being filled.
#[derive(Debug)]
pub struct Image {
    file: PathBuf,
    start: u64,
}

impl Image {
    /// Makes the file, its partition table and an empty FAT file system.
    pub fn create(file: &Path, size_mib: u64, place: EspPlace) -> Result<Self> {
        need::programs(&["sfdisk", "mkfs.fat", "mmd", "mcopy"])?;
        let _ = fs::remove_file(file);
        let sectors = size_mib * 1024 * 1024 / SECTOR;
        File::create(file)
            .with_context(|| format!("cannot write {}", file.display()))?
            .set_len(sectors * SECTOR)?;
        let (table, start) = place.table();
        partition(file, &table)?;
        // a GPT keeps its backup in the last 33 sectors
        let end = if place.is_gpt() {
            sectors - 2048
        } else {
            sectors
        };
        let mut format = process::host("mkfs.fat");
        format.args([
            "-F",
            "16",
            "-s",
            "2",
            "-n",
            "TENANT",
            "-i",
            "77000001",
            "-h",
            &start.to_string(),
            "--offset",
            &start.to_string(),
        ]);
        format.arg(file).arg(((end - start) / 2).to_string());
        process::output(format)?;
        Ok(Self {
            file: file.to_owned(),
            start,
        })
    }

    /// The image file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where the FAT partition starts, in bytes.
    pub fn offset(&self) -> u64 {
        self.start * SECTOR
    }

    /// Makes a folder in the FAT partition.
    pub fn folder(&self, path: &str) -> Result<()> {
        let mut command = self.mtool("mmd");
        command.arg(format!("::{path}"));
        process::output(command).map(drop)
    }

    /// Copies a file of the host into the FAT partition.
    pub fn copy_in(&self, source: &Path, path: &str) -> Result<()> {
        let mut command = self.mtool("mcopy");
        command.arg(source).arg(format!("::{path}"));
        process::output(command).map(drop)
    }

    /// Puts code (at most 440 bytes) before the partition table.
    pub fn write_boot_code(&self, code: &[u8]) -> Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file.write_all(&code[..code.len().min(440)])?)
    }

    fn mtool(&self, program: &str) -> Command {
        let mut command = process::host(program);
        command.env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(format!(
            "{}@@{}",
            self.file.display(),
            self.offset()
        ));
        command
    }
}

fn partition(file: &Path, table: &str) -> Result<()> {
    let mut command = process::host("sfdisk");
    command
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(file);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start sfdisk")?;
    child
        .stdin
        .take()
        .context("piped above")?
        .write_all(table.as_bytes())?;
    let output = child.wait_with_output()?;
    anyhow::ensure!(
        output.status.success(),
        "sfdisk: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
