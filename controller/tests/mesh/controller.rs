//! The real program as a process on loopback, asked by its own command line.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use super::agent::PATIENCE;

const ENFORCER: &str = env!("CARGO_BIN_EXE_enforcer");

/// A port that nobody has, for UDP and TCP, and that nobody is given before it is used: the kernel hands out those from 32768 on.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 97).unwrap() * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        if UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok() {
            return at;
        }
    }
}

pub(crate) struct Controller {
    folder: tempfile::TempDir,
    child: Option<Child>,
    pub(crate) links: SocketAddr,
}

/// A command line that goes on until it is dropped.
pub(crate) struct Following {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Following {
    /// The next line it prints.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Controller {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The next start must find the ones its agents know.
        let (links, gossip, http) = (free_port(), free_port(), free_port());
        let config = format!(
            "listen = \"127.0.0.1\"\nhttp_port = {}\ntftp = false\nmesh_port = {}\ngossip_port = {}\n[dhcp]\nmode = \"off\"\n",
            http.port(),
            links.port(),
            gossip.port(),
        );
        std::fs::write(folder.path().join("c.toml"), config).unwrap();
        let mut controller = Self {
            folder,
            child: None,
            links,
        };
        controller.run();
        controller
    }

    /// A text file; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the program and waits until it is ready.
    pub(crate) fn run(&mut self) {
        let mut child = Command::new(ENFORCER)
            .arg("--api-socket")
            .arg(self.path("api.sock"))
            .args(["serve", "--log", "info", "--state"])
            .arg(self.path("state"))
            .arg("--config")
            .arg(self.path("c.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it did not start:\n{}", log.join("\n")))
                .unwrap();
            if line.contains(" ready ") {
                break;
            }
            log.push(line);
        }
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        self.child = Some(child);
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A command line: whether it succeeded, and its two outputs.
    pub(crate) fn ask(&self, line: &[&str]) -> (bool, String, String) {
        let done = Command::new(ENFORCER)
            .arg("--api-socket")
            .arg(self.path("api.sock"))
            .args(line)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    }

    /// A command line whose data comes for as long as it runs.
    pub(crate) fn follow(&self, line: &[&str]) -> Following {
        let mut child = Command::new(ENFORCER)
            .arg("--api-socket")
            .arg(self.path("api.sock"))
            .args(line)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let told = output.lines().map_while(Result::ok);
            told.for_each(|line| drop(tell.send(line)));
        });
        Following { child, lines }
    }

    /// The metrics, with what only the mesh knows: boot HTTP does not ask it.
    pub(crate) fn metrics(&self) -> String {
        let mut stream = UnixStream::connect(self.path("api.sock")).unwrap();
        let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(ask.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        text
    }

    /// The data of a command that has to succeed.
    #[track_caller]
    pub(crate) fn told(&self, line: &[&str]) -> String {
        let (good, out, err) = self.ask(line);
        assert!(good, "{line:?}: {err}");
        out
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &[&str]) -> Value {
        let line = [line, &["-o", "json"]].concat();
        serde_json::from_str(&self.told(&line)).unwrap()
    }

    /// Asks until the answer is as `wanted`. The command line has no way to wait for a verdict.
    #[track_caller]
    pub(crate) fn until(&self, line: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let value = self.json(line);
            if wanted(&value) {
                return value;
            }
            assert!(Instant::now() < end, "{line:?} stays {value:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.kill();
    }
}
