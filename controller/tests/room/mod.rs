//! A place of its own for a controller: network and mounts that nobody else sees, gone when it is dropped.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by test programs, which may panic"
)]

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Longer than any start or refusal on a busy machine takes; one that hangs fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) const ENFORCER: &str = env!("CARGO_BIN_EXE_enforcer");

/// Namespaces kept alive by a sleeping shell.
pub(crate) struct Room {
    shell: Child,
    folder: tempfile::TempDir,
}

impl Room {
    /// With a network of its own: `lo`, and a pair of cables `v0` (10.9.0.1/24) and `v1`.
    pub(crate) fn with_network() -> Self {
        Self::new(
            "-nm",
            "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.0.1/24 dev v0; \
             ip link set v0 up; ip link set v1 up",
        )
    }

    /// With mounts of its own, on the host's network.
    pub(crate) fn with_mounts() -> Self {
        Self::new("-m", ":")
    }

    fn new(namespaces: &str, setup: &str) -> Self {
        let mut unshare = Command::new("unshare");
        if !is_root() {
            unshare.arg("-r");
        }
        let script = format!("set -e; {setup}; echo up; exec sleep 600");
        let mut shell = unshare
            .args([namespaces, "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "up\n", "this host gives no namespaces to tests");
        Self {
            shell,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A path in the room's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A text file in the room's folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A program, to be started in the room.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg("-t")
            .arg(self.shell.id().to_string())
            .args(["-n", "-m"]);
        if !is_root() {
            inside.args(["-U", "--preserve-credentials"]);
        }
        inside.arg("--").arg(program.as_ref());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ENFORCER_")) {
            inside.env_remove(name);
        }
        inside
    }

    /// Runs shell commands in the room.
    pub(crate) fn sh(&self, script: &str) {
        let done = self.command("sh").args(["-ec", script]).status().unwrap();
        assert!(done.success(), "{script}");
    }

    /// An empty file system of `size` at this name; writable for everybody.
    pub(crate) fn disk(&self, name: &str, size: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir(&path).unwrap();
        self.sh(&format!(
            "mount -t tmpfs -o size={size} none {}",
            path.display()
        ));
        path
    }

    /// `enforcer serve` on state `state`, with its socket beside it.
    pub(crate) fn serve(&self, state: &str, args: &[&str]) -> Command {
        let mut serve = self.command(ENFORCER);
        serve
            .arg("--api-socket")
            .arg(self.path(&format!("{state}.sock")))
            .args(["serve", "--state"])
            .arg(self.path(state))
            .args(args);
        serve
    }

    /// A command line for the controller on `state`.
    pub(crate) fn ask(&self, state: &str, args: &[&str]) -> Told {
        let mut ask = self.command(ENFORCER);
        ask.arg("--api-socket")
            .arg(self.path(&format!("{state}.sock")))
            .args(args);
        tell(ask)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Told {
    /// It failed with one plain sentence that has all `parts`.
    #[track_caller]
    pub(crate) fn one_sentence(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "not one sentence:\n{}", self.stderr);
        assert!(lines[0].starts_with("enforcer: "), "{}", self.stderr);
        for part in parts {
            assert!(
                lines[0].contains(part),
                "missing {part:?} in: {}",
                self.stderr
            );
        }
        for debris in ["panicked", "RUST_BACKTRACE", "Error {", "Some(", "\u{1b}["] {
            assert!(!self.stderr.contains(debris), "{}", self.stderr);
        }
        // The system's own words appear once.
        if let Some(at) = self.stderr.find("(os error") {
            assert_eq!(
                self.stderr.matches(&self.stderr[at..at + 12]).count(),
                1,
                "{}",
                self.stderr
            );
        }
    }
}

/// Runs a program that ends by itself.
pub(crate) fn tell(mut command: Command) -> Told {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let ended = (0..PATIENCE.as_millis() / 20).find_map(|_| {
        thread::sleep(Duration::from_millis(20));
        child.try_wait().unwrap()
    });
    if ended.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    Told {
        code: ended.and_then(|e| e.code()),
        stdout: out.recv().unwrap(),
        stderr: err.recv().unwrap(),
    }
}

fn read(pipe: Option<impl std::io::Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        pipe.unwrap().read_to_string(&mut text).unwrap();
        let _ = tell.send(text);
    });
    told
}

/// A controller that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: mpsc::Receiver<String>,
}

impl Running {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(serve: Command) -> Self {
        Self::start_until(serve, " ready ")
    }

    /// Starts a program and waits until it has said this on stderr.
    pub(crate) fn start_until(mut serve: Command, part: &str) -> Self {
        let mut child = serve
            .env("ENFORCER_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).for_each(|l| drop(tell.send(l))));
        let running = Self { child, log };
        running.wait_for(part);
        running
    }

    /// Waits for a line of its log; all lines up to it.
    pub(crate) fn wait_for(&self, part: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|l: &String| l.contains(part)) {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(_) => panic!("no {part:?} in its log:\n{}", lines.join("\n")),
            }
        }
        lines
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // nsenter became the program, so this is its own process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
