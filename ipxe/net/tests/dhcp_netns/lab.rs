//! Network namespaces, wires between them, and programs in them whose lines are waited for.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

/// Set in the process that already has its namespace.
const INSIDE: &str = "ENFORCER_DHCP_NETNS";
/// The longest wait for a line; a client retries every second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What udhcpc runs at each event: takes the address and says so.
const UDHCPC_SCRIPT: &str = r#"#!/bin/sh
case $1 in
bound|renew)
  busybox ifconfig "$interface" "$ip" netmask "$subnet" up
  echo "$1 $ip" ;;
esac
"#;

/// Fails with the packages to install when a program is missing.
pub(crate) fn need(programs: &[&str]) {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let missing: Vec<_> = programs
        .iter()
        .filter(|name| {
            !path
                .split(':')
                .any(|folder| PathBuf::from(folder).join(name).exists())
        })
        .collect();
    assert!(
        missing.is_empty(),
        "{missing:?} missing: apt-get install -y iproute2 dnsmasq-base busybox-static isc-dhcp-relay util-linux"
    );
}

/// Runs this program again in a network namespace of its own; `None` in that second run.
pub(crate) fn inside_own_namespace() -> Option<ExitCode> {
    if env::var_os(INSIDE).is_some() {
        return None;
    }
    let root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let how: &[&str] = if root {
        &["--net"]
    } else {
        &["--net", "--map-root-user"]
    };
    let status = Command::new("unshare")
        .args(how)
        .arg(env::current_exe().expect("a running program has a path"))
        .env(INSIDE, "1")
        .status();
    match status {
        Ok(status) if status.success() => Some(ExitCode::SUCCESS),
        Ok(status) if status.code() == Some(1) => {
            eprintln!(
                "no network namespace: run as root, or allow user namespaces \
                 (sysctl -w kernel.unprivileged_userns_clone=1)"
            );
            Some(ExitCode::FAILURE)
        }
        _ => Some(ExitCode::FAILURE),
    }
}

/// A network namespace, alive as long as this value.
pub(crate) struct Namespace(Child);

impl Namespace {
    pub(crate) fn new() -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo up; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = holder.expect("unshare starts");
        let mut up = [0; 3];
        let stdout = holder.stdout.as_mut().expect("piped above");
        stdout.read_exact(&mut up).expect("the namespace exists");
        let namespace = Self(holder);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// A wire to another namespace, both ends up.
    pub(crate) fn veth(&self, name: &str, other: &Self, peer: &str) {
        let pid = other.0.id().to_string();
        self.ip(&[
            "link", "add", name, "type", "veth", "peer", "name", peer, "netns", &pid,
        ]);
        self.ip(&["link", "set", name, "up"]);
        other.ip(&["link", "set", peer, "up"]);
    }

    pub(crate) fn address(&self, interface: &str, address: &str) {
        self.ip(&["address", "add", address, "dev", interface]);
    }

    /// A bridge with a wire to each of these namespaces.
    pub(crate) fn bridge(&self, name: &str, ports: &[(&str, &Self, &str)]) {
        self.ip(&["link", "add", name, "type", "bridge", "forward_delay", "0"]);
        self.ip(&["link", "set", name, "up"]);
        for (port, other, peer) in ports {
            self.veth(port, other, peer);
            self.ip(&["link", "set", port, "master", name]);
        }
    }

    pub(crate) fn forward(&self) {
        let mut echo = self.command(&["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
        assert!(echo.status().expect("sh starts").success(), "ip_forward");
    }

    /// One command of iproute2.
    pub(crate) fn ip(&self, args: &[&str]) {
        let status = self.command(&["ip"]).args(args).status();
        assert!(status.expect("ip starts").success(), "ip {args:?}");
    }

    fn command(&self, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.0.id().to_string(), "-n"])
            .args(program);
        command
    }

    /// Starts a program.
    pub(crate) fn run(&self, program: &[&str]) -> Running {
        Running::start(self.command(program), program.join(" "))
    }

    /// Starts this program in another of its roles.
    pub(crate) fn run_self(&self, args: &[&str]) -> Running {
        let exe = env::current_exe().expect("a running program has a path");
        let mut command = self.command(&[]);
        command.arg(exe).args(args);
        Running::start(command, args.join(" "))
    }

    /// Busybox's DHCP client; its lines read `bound ADDRESS` and `renew ADDRESS`.
    pub(crate) fn udhcpc(&self, interface: &str) -> Running {
        let script = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("udhcpc.script");
        fs::write(&script, UDHCPC_SCRIPT).expect("the target folder is writable");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let script = script.display().to_string();
        self.run(&[
            "busybox", "udhcpc", "-f", "-i", interface, "-B", "-T", "1", "-t", "20", "-s", &script,
        ])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// A program whose output is read line by line; ends with this value.
pub(crate) struct Running {
    child: Child,
    name: String,
    lines: Receiver<String>,
}

impl Running {
    fn start(mut command: Command, name: String) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter starts");
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().expect("piped above"), sender.clone());
        forward(child.stderr.take().expect("piped above"), sender);
        Self { child, name, lines }
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn expect(&self, text: &str) {
        self.expect_all(&[text]);
    }

    /// Waits for lines that contain these texts, in any order.
    pub(crate) fn expect_all(&self, texts: &[&str]) {
        let mut missing = texts.to_vec();
        let (mut seen, until) = (String::new(), Instant::now() + PATIENCE);
        while !missing.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{}: no line with {missing:?} in\n{seen}", self.name);
            };
            missing.retain(|text| !line.contains(text));
            seen += &(line + "\n");
        }
    }

    /// Drops the lines that came so far.
    pub(crate) fn forget(&self) {
        while self.lines.try_recv().is_ok() {}
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(
            status.expect("kill starts").success(),
            "{} is gone",
            self.name
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _gone = child.kill();
    let _status = child.wait();
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
}
