//! The servers under comparison, each as a process of its own.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use async_tftp::server::TftpServerBuilder;

use crate::client::{Ask, fetch};

/// Tells a copy of this program to be the async-tftp server: `address folder`.
const PEER: &str = "ENFORCER_BENCH_ASYNC_TFTP";

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The example `tftpd` of ipxe-net, with default limits.
    Ours,
    /// Debian's tftpd-hpa.
    TftpdHpa,
    /// Debian's atftpd; it conflicts with tftpd-hpa, so it is unpacked, not installed.
    Atftpd,
    /// The crate async-tftp with its folder handler.
    AsyncTftp,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::TftpdHpa => "tftpd-hpa",
            Self::Atftpd => "atftpd",
            Self::AsyncTftp => "async-tftp 0.4.2",
        }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts it on a free port and waits until it gives the file `small`.
    pub(crate) fn start(kind: Kind, folder: &Path) -> anyhow::Result<Self> {
        let addr = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = command(kind, addr, folder)?;
        let child = command
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", kind.name()))?;
        let server = Self { kind, addr, child };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    fn wait_until_it_answers(&self) -> anyhow::Result<()> {
        for _ in 0..100 {
            // A server that is not there yet refuses by ICMP, which only a connected socket hears.
            let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            probe.connect(self.addr)?;
            probe.set_read_timeout(Some(Duration::from_millis(50)))?;
            probe.send(b"\0\x04\0\x00")?;
            match probe.recv(&mut [0; 16]) {
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                    sleep(Duration::from_millis(20));
                }
                _ => break,
            }
        }
        let ask = Ask {
            name: "small",
            windowsize: 1,
        };
        let len = fetch(self.addr, Ipv4Addr::LOCALHOST, &ask, 0)?;
        ensure!(len > 0, "{} gives an empty file", self.kind.name());
        Ok(())
    }

    /// Its process; peers that fork stay in the same control group.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub(crate) fn rss_kib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let text = line.context("a process has VmRSS")?;
        Ok(text.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to do about a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(kind: Kind, addr: SocketAddr, folder: &Path) -> anyhow::Result<Command> {
    let mut command;
    match kind {
        Kind::Ours => {
            command = Command::new(our_program()?);
            command.arg(addr.to_string()).arg(folder);
        }
        Kind::TftpdHpa => {
            command = Command::new("in.tftpd");
            command.args(["--foreground", "--secure", "--user", "root"]);
            command.args(["--address", &addr.to_string()]).arg(folder);
        }
        Kind::Atftpd => {
            command = Command::new(unpacked_atftpd()?);
            command.args(["--daemon", "--no-fork", "--user", "root", "--group", "root"]);
            command.args(["--logfile", "/dev/null", "--bind-address", "127.0.0.1"]);
            command
                .args(["--port", &addr.port().to_string()])
                .arg(folder);
        }
        Kind::AsyncTftp => {
            command = Command::new(env::current_exe()?);
            command.env(PEER, format!("{addr} {}", folder.display()));
        }
    }
    Ok(command)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds the example with the same profile as this bench.
fn our_program() -> anyhow::Result<PathBuf> {
    let done = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "ipxe-net",
            "--example",
            "tftpd",
        ])
        .status()?;
    ensure!(done.success(), "the example tftpd does not build");
    // This program is `target/release/deps/tftp-…`.
    let exe = env::current_exe()?;
    let release = exe
        .parent()
        .and_then(Path::parent)
        .context("a target folder")?;
    Ok(release.join("examples/tftpd"))
}

fn unpacked_atftpd() -> anyhow::Result<PathBuf> {
    let cache = workspace().join("tests/.cache/atftpd");
    let program = cache.join("usr/sbin/atftpd");
    if !program.exists() {
        fs::create_dir_all(&cache)?;
        let unpack = "apt-get download -q atftpd && dpkg-deb -x atftpd_*.deb .";
        let done = Command::new("sh")
            .args(["-c", unpack])
            .current_dir(&cache)
            .status()?;
        if !done.success() {
            bail!("cannot unpack Debian's atftpd: apt-get download atftpd");
        }
    }
    Ok(program)
}

/// Whether this process is to be the async-tftp server.
pub(crate) fn is_peer_process() -> bool {
    env::var_os(PEER).is_some()
}

/// Serves until it is killed.
pub(crate) fn serve_async_tftp() -> anyhow::Result<()> {
    let order = env::var(PEER)?;
    let (addr, folder) = order.split_once(' ').context("address and folder")?;
    let (addr, folder): (SocketAddr, PathBuf) = (addr.parse()?, folder.into());
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    runtime.block_on(async {
        let server = TftpServerBuilder::with_dir_ro(folder)?.bind(addr).build();
        server.await?.serve().await
    })?;
    Ok(())
}
