//! The machine the agent runs on, as a job sees it. What a program cannot do by itself is done by tools of the management
//! OS's second archive; a job goes on without one where it can, and says so.

mod start;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use mesh_proto::facts;

use super::block::BlockDisk;
use super::boot_order;
use super::disk::{Disk, Geometry};
use super::host::{Host, Part};
use super::kexec::Starter;
use super::used;
use crate::journal::Journal;

/// Where the kernel shows the firmware's variables.
const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The map of a file system of 16 TiB with a fragment in each 128 MiB is smaller; one that is larger is not read.
const MOST_MAP_BYTES: u64 = 64 << 20;
/// Of a tool's last words, so much is for people.
const MOST_WORDS: usize = 300;

/// See the file's head.
pub struct ThisMachine {
    journal: Journal,
    /// For the tools' files.
    folder: PathBuf,
    tools: Option<String>,
    /// The tools were asked for, and are here or will not come.
    asked: OnceLock<()>,
}

impl ThisMachine {
    /// `folder` is in memory, and ours; `tools` is where their archive is.
    #[must_use]
    pub fn new(journal: Journal, folder: &Path, tools: Option<String>) -> Self {
        Self {
            journal,
            folder: folder.to_owned(),
            tools,
            asked: OnceLock::new(),
        }
    }

    /// Brings the tools, once, and only to a job that needs them: an idle machine has no room to spare.
    fn bring_tools(&self) {
        self.asked.get_or_init(|| {
            if let Some(url) = &self.tools
                && let Err(why) = unpack_tools(url, &self.folder)
            {
                self.say(&format!("the tools cannot be loaded: {why}"));
            }
        });
    }
}

/// Fetches an archive (cpio, packed by zstd) as the boot loader fetched the one this system runs from, and unpacks it
/// over the root.
fn unpack_tools(url: &str, folder: &Path) -> Result<(), String> {
    let file = folder.join("tools.img");
    tool(Command::new("wget").arg("-q").arg("-O").arg(&file).arg(url))?;
    let cannot = |error: io::Error| format!("unpacking {url}: {error}");
    let packed = fs::File::open(&file).map_err(cannot)?;
    let mut archive = zstd::stream::read::Decoder::new(packed).map_err(cannot)?;
    let mut cpio = Command::new("cpio")
        .args(["-i", "-d", "-m", "-u"])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(cannot)?;
    let fed = match cpio.stdin.take() {
        Some(mut stdin) => io::copy(&mut archive, &mut stdin).map(drop),
        None => Ok(()),
    };
    let status = cpio.wait().map_err(cannot)?;
    let _gone = fs::remove_file(&file);
    fed.map_err(cannot)?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("cpio ended with {status}")),
    }
}

impl Host for ThisMachine {
    fn disks(&self) -> Vec<facts::Disk> {
        crate::facts::gather(Path::new("/")).disks
    }

    fn open(&self, disk: &facts::Disk) -> io::Result<Box<dyn Disk>> {
        let geometry = Geometry {
            bytes: disk.bytes,
            sector_size: disk.logical_sector_bytes,
        };
        Ok(Box::new(BlockDisk::open(&device(&disk.name), geometry)?))
    }

    fn unused(
        &self,
        disk: &facts::Disk,
        part: &Part,
        file_system: &str,
    ) -> Option<Vec<Range<u64>>> {
        self.bring_tools();
        let source = partition(&disk.name, part.number);
        match block_map(&source, file_system, &self.folder) {
            Ok(unused) => unused,
            Err(why) => {
                self.say(&format!("{}: no block map: {why}", source.display()));
                None
            }
        }
    }

    fn sanitize(&self, disk: &facts::Disk) -> Result<(), String> {
        self.bring_tools();
        let device = device(&disk.name);
        // NVMe's own format erases user data; other disks know secure discard, or nothing.
        if disk.name.starts_with("nvme") {
            tool(
                Command::new("nvme")
                    .args(["format", "--ses=1", "--force"])
                    .arg(device),
            )
        } else {
            tool(
                Command::new("blkdiscard")
                    .args(["--force", "--secure"])
                    .arg(device),
            )
        }
    }

    fn boot_order(&self, esp: &Part, sector_size: u32) -> Result<bool, String> {
        let folder = Path::new(EFI_VARIABLES);
        let Some(before) = boot_order::read(folder) else {
            return Ok(false);
        };
        // The management OS mounts it read-only: only a job has something to change.
        tool(Command::new("mount").args(["-o", "remount,rw"]).arg(folder))?;
        let new = before.with_disk(esp, sector_size);
        let written = boot_order::write(folder, &before, &new);
        let _still_writable = tool(Command::new("mount").args(["-o", "remount,ro"]).arg(folder));
        written.map_err(|error| error.to_string())?;
        Ok(true)
    }

    fn starter(&self) -> Option<&dyn Starter> {
        Some(self)
    }

    fn say(&self, text: &str) {
        self.journal.say(text);
    }
}

/// The kernel writes `!` for a slash in a device's name.
fn device(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

/// A disk whose name ends in a digit puts a `p` before the partition's number.
fn partition(disk: &str, number: u32) -> PathBuf {
    let between = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    device(&format!("{disk}{between}{number}"))
}

/// What partclone says that the file system does not use; `None` when its map makes no sense. It refuses a file system
/// that was not unmounted cleanly, whose map may be out of date.
fn block_map(
    source: &Path,
    file_system: &str,
    folder: &Path,
) -> Result<Option<Vec<Range<u64>>>, String> {
    let (map, log) = (folder.join("block-map"), folder.join("block-map.log"));
    let _none = fs::remove_file(&map);
    let made = tool(
        Command::new(format!("partclone.{file_system}"))
            .arg("--domain")
            .arg("--source")
            .arg(source)
            .arg("--output")
            .arg(&map)
            .arg("--logfile")
            .arg(log)
            .arg("--quiet"),
    );
    made?;
    let long = fs::metadata(&map).is_ok_and(|found| found.len() > MOST_MAP_BYTES);
    let text = fs::read_to_string(&map).map_err(|error| error.to_string());
    let _gone = fs::remove_file(&map);
    if long {
        return Err("it is too long".to_owned());
    }
    Ok(used::parse_domain(&text?))
}

/// Runs a tool to its end.
fn tool(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output();
    let out = done.map_err(|error| format!("{name}: {error}"))?;
    if out.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&out.stderr);
    let words = words.trim();
    let skip = words.chars().count().saturating_sub(MOST_WORDS);
    let last: String = words.chars().skip(skip).collect();
    Err(format!("{name} ended with {}: {last}", out.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_the_kernel_names_them() {
        for (disk, want) in [
            ("sda", "/dev/sda2"),
            ("nvme0n1", "/dev/nvme0n1p2"),
            ("mmcblk0", "/dev/mmcblk0p2"),
            ("cciss!c0d0", "/dev/cciss/c0d0p2"),
        ] {
            assert_eq!(partition(disk, 2), Path::new(want));
        }
    }

    #[test]
    fn a_tool_that_fails_or_is_not_there_is_named() {
        assert!(
            tool(&mut Command::new("no-such-tool"))
                .unwrap_err()
                .contains("no-such-tool")
        );
        let failed = tool(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert!(
            failed.contains("broken") && failed.contains('3'),
            "{failed}"
        );
    }

    #[test]
    fn partclone_says_which_blocks_of_a_file_system_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("ext4");
        fs::write(&disk, vec![0; 16 << 20]).unwrap();
        tool(Command::new("mkfs.ext4").arg("-q").arg(&disk)).unwrap();
        let start = fs::read(&disk).unwrap();
        assert_eq!(used::file_system(&start[..128 << 10]), Some("extfs"));
        let unused = block_map(&disk, "extfs", folder.path()).unwrap().unwrap();
        let bytes: u64 = unused.iter().map(|s| s.end - s.start).sum();
        assert!((8 << 20..16 << 20).contains(&bytes), "{bytes}");
        assert!(block_map(&disk, "xfs", folder.path()).is_err());
    }
}
