//! Child processes that cannot outlive us: ended when dropped, and killed by the kernel when this process dies in any other way.
//!
//! The kernel's parent-death signal belongs to the *thread* that started the child, and a test's thread ends with the test. So whatever is
//! meant to live longer than one call is started by one thread that lives as long as the process.

use super::need;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a service may take after SIGTERM before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How often files and processes are looked at while waiting; far below what any story measures.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` on the thread that lives as long as the process.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // nobody waits any more: the child is dropped and ends with us
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = channel();
    let gone = || io::Error::other("the thread that starts children is gone");
    starter.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Runs a command to its end; its output, or an error with the command line and what it said.
pub fn output(mut command: Command) -> Result<String> {
    let line = command_line(&command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start: {line}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{line}: {}: {}", output.status, said.trim())
}

/// A program of the host with the lab's search path, outside any namespace.
pub(super) fn host(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", need::search_path()).env("LC_ALL", "C");
    command
}

/// A binary of this workspace, built beside the running test executable (`target/<profile>/`).
pub fn built(name: &str) -> Option<PathBuf> {
    let test = env::current_exe().ok()?;
    let candidates = test.ancestors().skip(1).map(|folder| folder.join(name));
    candidates.into_iter().find(|path| path.is_file())
}

/// The command as one would type it, for logs and errors.
pub fn command_line(command: &Command) -> String {
    let args = command
        .get_args()
        .map(|arg| arg.to_string_lossy().into_owned());
    let words: Vec<String> = std::iter::once(command.get_program().to_string_lossy().into_owned())
        .chain(args)
        .collect();
    words.join(" ")
}

/// Asks again and again until `look` finds something; an error that names `what` after `limit`.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {limit:?} in vain for {what}");
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// A server that runs in the background with its output in one log file.
#[derive(Debug)]
pub struct Service {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where this run's part of the log begins, in bytes.
    begin: usize,
}

impl Service {
    /// Starts a command; its standard output and error go to `log` (appended).
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let begin = usize::try_from(file.metadata()?.len())?;
        let line = command_line(&command);
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = spawn(command).with_context(|| format!("cannot start {name}: {line}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            begin,
        })
    }

    /// The process id on the host.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything this run has said so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.begin..).unwrap_or_default()).into_owned()
    }

    /// Waits until the log contains `text`; fails at once when the program ends before.
    pub fn wait_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        let what = format!("{text:?} in {}", self.log.display());
        wait_until(&what, limit, || {
            if self.log().contains(text) {
                return Ok(Some(()));
            }
            self.ensure_running()?;
            Ok(None)
        })
        .with_context(|| format!("{} said: {}", self.name, tail(&self.log())))
    }

    /// An error with the last log lines when the program has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}: {}", self.name, tail(&self.log())),
        }
    }

    /// Waits for the program to end by itself.
    pub fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait_until(&what, limit, || Ok(self.child.try_wait()?))
    }

    /// SIGKILL, and waits until it is gone: nothing is flushed, nobody is told.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// SIGTERM, and SIGKILL when that does not end it within two seconds. Returns how it ended.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.stop_within(STOP_GRACE)
    }

    /// The same with another patience.
    pub fn stop_within(&mut self, grace: Duration) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        let _ = self.signal(Signal::TERM);
        let ended = self.wait_end(grace).ok();
        self.kill9();
        ended
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The last lines of a log, for errors.
pub(super) fn tail(text: &str) -> String {
    /// Enough to see what went wrong without filling the screen.
    const LINES: usize = 12;
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
