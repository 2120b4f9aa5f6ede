//! A program of `tests/peers` as a process.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use serde_json::Value;

use crate::agent::PATIENCE;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests");

/// The Python that has QUIC; installed when it is not there yet.
fn python() -> PathBuf {
    let script = Path::new(ROOT).join("aioquic.sh");
    let installed = Command::new("sh").arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&installed.stderr).into_owned();
    assert!(installed.status.success(), "tests/aioquic.sh: {said}");
    String::from_utf8(installed.stdout).unwrap().trim().into()
}

/// A program of `tests/peers`: it tells what happens in lines of JSON.
pub(crate) struct Foreign {
    child: Child,
    lines: mpsc::Receiver<Value>,
    beside: Vec<Value>,
}

impl Foreign {
    pub(crate) fn start(program: &str, words: &[&str]) -> Self {
        let mut child = Command::new(python())
            // Its folder is the source's: nothing is written beside it.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(Path::new(ROOT).join("peers").join(program))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let told = output.lines().map_while(Result::ok);
            told.for_each(|line| drop(tell.send(serde_json::from_str(&line).unwrap())));
        });
        Self {
            child,
            lines,
            beside: Vec::new(),
        }
    }

    /// What it says next.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            self.child.kill().unwrap();
            let mut trace = String::new();
            let mut errors = self.child.stderr.take().unwrap();
            errors.read_to_string(&mut trace).unwrap();
            panic!("it says no more after {:?}: {trace}", self.beside);
        };
        line
    }

    /// The next line of this kind. Others are kept for later: what is said on one stream may overtake another.
    #[track_caller]
    pub(crate) fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.beside.iter().position(&wanted) {
            return self.beside.remove(place);
        }
        loop {
            let line = self.next();
            if wanted(&line) {
                return line;
            }
            self.beside.push(line);
        }
    }

    #[track_caller]
    pub(crate) fn says(&mut self, key: &str) -> Value {
        self.find(|line| !line[key].is_null())[key].take()
    }

    #[track_caller]
    pub(crate) fn is_welcome(&mut self) -> Value {
        self.find(|line| line["kind"] == "welcome")
    }

    /// Waits for its end: whether it succeeded.
    pub(crate) fn succeeds(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
