//! A Debian host under its own systemd, on the lab's home wire: a container of systemd-nspawn over a kept minimal Debian.
//!
//! It shares the controller's place (10.77.0.1): whatever starts in it serves the lab's machines. What is written goes over the kept
//! Debian, into the lab's folder, and is gone with it. Needs root.

use super::need;
use super::process::{self, Service, output, tail, wait_until};
use super::space::Space;
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A second on a quiet host.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// Its own name and number; without a number systemd would ask for settings, as at a first boot.
const NAME: &str = "controller";
const MACHINE_ID: &str = "7770000000004000800000000000beef\n";
/// What a login gives.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The running host.
#[derive(Debug)]
pub struct Debian {
    service: Service,
    leader: u32,
}

/// The kept Debian that hosts are laid over, made by tests/debian.sh when it is not there.
fn base() -> Result<PathBuf> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a Debian host needs root: run the tests as root"
    );
    need::programs(&["systemd-nspawn", "debootstrap"])?;
    let mut script = process::host("sh");
    script.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("debian.sh"));
    Ok(PathBuf::from(output(script)?.trim()))
}

impl Debian {
    /// Boots one. `furnish` gets its root before, to lay files over what is there.
    ///
    /// # Errors
    /// When there is no Debian, or it does not boot; with what it said.
    pub fn boot(space: &Space, furnish: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let (base, folder) = (base()?, space.folder().file("debian"));
        let upper = folder.join("upper");
        for part in ["upper/etc", "work", "root"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let put = |name: &str, text: &[u8]| fs::write(upper.join("etc").join(name), text);
        put("hostname", format!("{NAME}\n").as_bytes())?;
        put(
            "hosts",
            format!("127.0.0.1 localhost\n127.0.1.1 {NAME}\n").as_bytes(),
        )?;
        put("machine-id", MACHINE_ID.as_bytes())?;
        // Only while it is let out of the lab does this name anybody.
        put(
            "resolv.conf",
            &fs::read("/etc/resolv.conf").unwrap_or_default(),
        )?;
        furnish(&upper)?;
        // The mounts are of its own namespace, so they end with it.
        let script = format!(
            "mount -t overlay none -o lowerdir={},upperdir=upper,workdir=work root
             exec systemd-nspawn --quiet --boot --register=no --keep-unit --console=pipe --machine={NAME} --resolv-conf=off \
                  --link-journal=no --network-namespace-path=/proc/{}/ns/net --directory=root",
            base.display(),
            space.home().namespace().pid()
        );
        let mut command = process::host("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount"]);
        command.args(["--propagation", "private", "--", "sh", "-euc", &script]);
        command.current_dir(&folder);
        let service = Service::start("debian", command, &space.folder().file("debian.log"))?;
        Self { service, leader: 0 }.wait_booted()
    }

    fn wait_booted(mut self) -> Result<Self> {
        let nspawn = self.service.pid();
        let booted = wait_until("a Debian to boot", BOOT_LIMIT, || {
            self.service.ensure_running()?;
            let Some(leader) = init_of(nspawn) else {
                return Ok(None);
            };
            self.leader = leader;
            let state = self
                .command("systemctl")
                .arg("is-system-running")
                .output()?;
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            Ok(["running", "degraded"].contains(&&*state).then_some(()))
        });
        booted.with_context(|| format!("it said: {}", tail(&self.service.log())))?;
        Ok(self)
    }

    /// A command of root's in it, on the lab's wire.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.entered(&["--net"], program)
    }

    /// The same on the network of the host that runs the lab, where Debian's archive is.
    pub fn online_command(&self, program: impl AsRef<OsStr>) -> Command {
        self.entered(&[], program)
    }

    fn entered(&self, more: &[&str], program: impl AsRef<OsStr>) -> Command {
        const DIES_WITH_US: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];
        let mut command = process::host(DIES_WITH_US[0]);
        command.args(&DIES_WITH_US[1..]);
        command.args(["nsenter", "-t", &self.leader.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--pid", "--cgroup"]);
        command.args(more).args(["--root", "--wd", "--"]);
        command.args(DIES_WITH_US);
        command.args(["env", "-i", PATH, "HOME=/root", "LC_ALL=C", "NO_COLOR=1"]);
        command.args(["DEBIAN_FRONTEND=noninteractive"]);
        command.arg(program);
        command
    }

    /// Runs a shell script of root's to its end; the first command that fails ends it. Its standard output.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn sh(&self, script: &str) -> Result<String> {
        let mut command = self.command("sh");
        command.args(["-euc", script]);
        output(command)
    }

    /// Where a file of it is found from outside.
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    /// The last words of a unit's journal, for errors.
    pub fn journal(&self, unit: &str) -> String {
        let script = format!("journalctl --unit {unit} --no-pager --lines 30 --output cat");
        self.sh(&script).unwrap_or_default()
    }
}

/// The child of systemd-nspawn that has become the host's first process.
fn init_of(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    let mut children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    children.find(|pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "systemd")
    })
}
