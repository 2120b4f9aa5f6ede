//! Starting a written kernel without the firmware, with the tools of the management OS: `kexec` of kexec-tools, and
//! busybox's `mount`, `blockdev` and `watchdog`.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mesh_proto::facts;

use super::{ThisMachine, device, partition, tool};
use crate::deploy::host::{Host, Part};
use crate::deploy::kexec::{Kernel, Starter};

/// Where the kernel shows what counts down.
const WATCHDOGS: &str = "/sys/class/watchdog";
/// Watchdogs stop when a machine goes down, unless the module was told otherwise; the management OS tells it.
const STOPS: &str = "/sys/module/watchdog/parameters/stop_on_reboot";
/// A server whose disks spin up needs minutes until its system feeds the dog; one that hangs is not missed longer.
const BITES_AFTER_S: u32 = 300;
/// A dog that cannot wait so long would reset systems that start well.
const LEAST_S: u32 = 60;
/// How often it is fed while the management OS still runs.
const FED_EVERY_S: u32 = 10;
/// A driver starts its hardware at once.
const STARTS_WITHIN: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);
/// The first roots of one start, put together in memory: a machine that writes disks has at least so much to spare.
const MOST_INITRD_BYTES: u64 = 256 << 20;

impl Starter for ThisMachine {
    /// Journals are not replayed: what was read back stays as it is.
    fn mounted(
        &self,
        disk: &facts::Disk,
        part: &Part,
        file_system: &str,
        look: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        let (name, options) = match file_system {
            "extfs" => ("ext4", ",noload"),
            "xfs" => ("xfs", ",norecovery,nouuid"),
            "fat" => ("vfat", ""),
            other => return Err(format!("the management OS cannot read {other}")),
        };
        // The kernel looked for partitions before they were written, and nobody told it since.
        tool(
            Command::new("blockdev")
                .arg("--rereadpt")
                .arg(device(&disk.name)),
        )?;
        let place = self.folder.join("written");
        fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        let options = format!("ro,nosuid,nodev,noexec{options}");
        let mut mount = Command::new("mount");
        mount.args(["-t", name, "-o", &options]);
        tool(mount.arg(partition(&disk.name, part.number)).arg(&place))?;
        let looked = look(&place);
        tool(Command::new("umount").arg(&place))?;
        looked
    }

    fn load(&self, kernel: &Kernel) -> Result<(), String> {
        self.bring_tools();
        let joined = self.joined(&kernel.initrds)?;
        let initrd = joined.as_ref().or(kernel.initrds.first());
        let mut kexec = Command::new("kexec");
        // `-a`: by the file call, which measures and verifies, else by the older one.
        kexec.args(["-a", "--load"]).arg(path_of(&kernel.image));
        if let Some(initrd) = initrd {
            kexec.arg(format!("--initrd={}", path_of(initrd).display()));
        }
        kexec.arg(format!("--command-line={}", kernel.cmdline));
        let loaded = tool(&mut kexec);
        let _none = fs::remove_file(self.initrd());
        loaded
    }

    fn unload(&self) -> Result<(), String> {
        tool(Command::new("kexec").arg("--unload"))
    }

    fn arm(&self) -> Result<(), String> {
        let dog = first_dog(Path::new(WATCHDOGS))?;
        let stops = fs::read_to_string(STOPS).unwrap_or_default();
        if stops.trim() != "0" {
            return Err("the watchdog would stop when the machine goes down".to_owned());
        }
        let mut feeder = Command::new("watchdog")
            .args(["-F", "-T", &BITES_AFTER_S.to_string()])
            .args(["-t", &FED_EVERY_S.to_string()])
            .arg(Path::new("/dev").join(&dog))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("watchdog: {error}"))?;
        let armed = watches(&Path::new(WATCHDOGS).join(&dog), &mut feeder);
        match armed {
            Ok(seconds) => self.say(&format!("{dog} resets the machine after {seconds} s")),
            // It closes the device as the protocol wants it, so that the dog sleeps again.
            Err(_) => calm(&mut feeder),
        }
        armed.map(drop)
    }
}

impl ThisMachine {
    fn initrd(&self) -> PathBuf {
        self.folder.join("initrd")
    }

    /// Several first roots as one, as boot loaders give them to the kernel: one after the other, each from a multiple of
    /// four bytes.
    fn joined(&self, initrds: &[File]) -> Result<Option<File>, String> {
        if initrds.len() < 2 {
            return Ok(None);
        }
        join(initrds, &self.initrd())
            .map(Some)
            .map_err(|error| format!("the first roots: {error}"))
    }
}

fn join(initrds: &[File], into: &Path) -> io::Result<File> {
    let sizes: Vec<u64> = initrds
        .iter()
        .map(|file| Ok(file.metadata()?.len()))
        .collect::<io::Result<_>>()?;
    if sizes.iter().sum::<u64>() > MOST_INITRD_BYTES {
        return Err(io::Error::other("they are too large together"));
    }
    let mut joined = File::create_new(into)?;
    let mut end = 0_u64;
    for mut file in initrds {
        end = (end + io::copy(&mut file, &mut joined)?).next_multiple_of(4);
        joined.set_len(end)?;
        io::Seek::seek(&mut joined, io::SeekFrom::End(0))?;
    }
    File::open(into)
}

/// A tool that we start finds our open file here.
fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// The first watchdog that is hardware: one in the kernel dies with it.
fn first_dog(folder: &Path) -> Result<String, String> {
    let listing = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = listing.filter_map(|entry| entry.file_name().into_string().ok());
    let is_hardware = |name: &String| {
        let identity = fs::read_to_string(folder.join(name).join("identity")).unwrap_or_default();
        !identity.to_ascii_lowercase().contains("software")
    };
    let mut names: Vec<_> = names.filter(is_hardware).collect();
    names.sort();
    let first = names.into_iter().next();
    first.ok_or_else(|| {
        "the machine has no hardware watchdog, and a kernel that hangs would hang for ever"
            .to_owned()
    })
}

/// Waits until it counts; the seconds after which it bites.
fn watches(dog: &Path, feeder: &mut Child) -> Result<u32, String> {
    let read = |name: &str| fs::read_to_string(dog.join(name)).unwrap_or_default();
    let started = Instant::now();
    while read("state").trim() != "active" {
        if let Ok(Some(status)) = feeder.try_wait() {
            return Err(format!("the watchdog cannot be started: {status}"));
        }
        if started.elapsed() > STARTS_WITHIN {
            return Err("the watchdog does not start".to_owned());
        }
        sleep(POLL);
    }
    // The device is opened before its time is set.
    while read("timeout").trim() != BITES_AFTER_S.to_string() && started.elapsed() < STARTS_WITHIN {
        sleep(POLL);
    }
    patient(read("timeout").trim())
}

/// What it was set to may be less than what it was asked for.
fn patient(timeout: &str) -> Result<u32, String> {
    let seconds: u32 = timeout
        .parse()
        .map_err(|_| "the watchdog does not say its time".to_owned())?;
    match seconds {
        LEAST_S.. => Ok(seconds),
        _ => Err(format!(
            "the watchdog waits {seconds} s only, too short for a start"
        )),
    }
}

fn calm(feeder: &mut Child) {
    let pid = feeder.id().to_string();
    if tool(Command::new("kill").arg(pid)).is_ok() {
        let _gone = feeder.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn only_a_dog_of_hardware_that_waits_long_enough_will_do() {
        let folder = tempfile::tempdir().unwrap();
        assert!(first_dog(&folder.path().join("none")).is_err());
        for (name, identity) in [
            ("watchdog0", "Software Watchdog\n"),
            ("watchdog1", "i6300ESB timer\n"),
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("identity"), identity).unwrap();
        }
        assert_eq!(first_dog(folder.path()).as_deref(), Ok("watchdog1"));
        assert_eq!(patient("300"), Ok(300));
        assert_eq!(patient("60"), Ok(60));
        // A Raspberry Pi's.
        assert!(patient("15").is_err() && patient("").is_err());
    }

    #[test]
    fn several_first_roots_become_one_as_loaders_do_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
            File::open(folder.path().join(name)).unwrap()
        };
        let parts = [file("a", "12345"), file("b", "6789"), file("c", "0")];
        let mut joined = String::new();
        let mut whole = join(&parts, &folder.path().join("whole")).unwrap();
        whole.read_to_string(&mut joined).unwrap();
        assert_eq!(joined, ["12345\0\0\0", "6789", "0\0\0\0"].concat());
    }

    #[test]
    fn a_tool_reads_what_we_have_open_when_its_name_is_gone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "kernel").unwrap();
        let open = File::open(file.path()).unwrap();
        drop(file);
        tool(
            Command::new("grep")
                .arg("-q")
                .arg("kernel")
                .arg(path_of(&open)),
        )
        .unwrap();
    }
}
