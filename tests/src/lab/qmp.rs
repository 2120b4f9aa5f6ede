//! A small QMP client. QEMU serves one client per socket, so a machine has two: one for commands, one on which a thread records events.

use super::process::wait_until;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// QEMU creates its sockets within milliseconds; a loaded host may take some seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// No command the lab uses takes longer than milliseconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// One connection for commands.
#[derive(Debug)]
pub struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects and negotiates; gives up at once when `alive` reports an error.
    pub(super) fn connect(path: &Path, mut alive: impl FnMut() -> Result<()>) -> Result<Self> {
        let stream = wait_until("QEMU's control socket", CONNECT_LIMIT, || {
            alive()?;
            Ok(UnixStream::connect(path).ok())
        })?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut qmp = Self {
            lines: BufReader::new(stream),
        };
        qmp.read().context("QMP greeting")?;
        qmp.execute("qmp_capabilities", &Value::Null)?;
        Ok(qmp)
    }

    /// Runs a command and returns its value; events that come in between are the recorder's business.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments.clone();
        }
        self.lines
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())?;
        loop {
            let answer = self
                .read()
                .with_context(|| format!("QMP answer to {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QMP {command}: {error}");
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(anyhow!("QEMU closed its control socket"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// Something that happened to a machine.
#[derive(Debug, Clone)]
pub struct Event {
    /// `RESET`, `SHUTDOWN`, `POWERDOWN`, … and [`Event::POWER_CUT`], which is ours.
    pub name: String,
    /// The event's data, e.g. `{"guest":true,"reason":"guest-reset"}`.
    pub data: Value,
    /// Since power-on.
    pub at: Duration,
}

impl Event {
    /// Recorded when the lab pulls the plug: QEMU itself cannot tell.
    pub const POWER_CUT: &str = "POWER-CUT";

    /// The `reason` of RESET and SHUTDOWN: `guest-reset`, `host-qmp-system-reset`, `guest-shutdown`, …
    pub fn reason(&self) -> &str {
        self.data["reason"].as_str().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Record {
    events: Mutex<(Vec<Event>, bool)>,
    news: Condvar,
}

/// What happened since power-on, in order, still growing.
#[derive(Debug, Clone)]
pub(super) struct Recorder(Arc<Record>);

impl Recorder {
    /// Listens on a connection of its own until QEMU closes it.
    pub(super) fn start(qmp: Qmp, power_on: Instant) -> Result<Self> {
        let record = Arc::new(Record::default());
        let recorder = Self(record.clone());
        qmp.lines.get_ref().set_read_timeout(None)?;
        let mut qmp = qmp;
        thread::spawn(move || {
            while let Ok(message) = qmp.read() {
                if let Some(name) = message["event"].as_str() {
                    let event = Event {
                        name: name.to_owned(),
                        data: message["data"].clone(),
                        at: power_on.elapsed(),
                    };
                    record.lock().0.push(event);
                    record.news.notify_all();
                }
            }
            record.lock().1 = true;
            record.news.notify_all();
        });
        Ok(recorder)
    }

    pub(super) fn all(&self) -> Vec<Event> {
        self.0.lock().0.clone()
    }

    /// Everything, once QEMU has closed the connection (or `limit` is over).
    pub(super) fn wait_end(&self, limit: Duration) -> Vec<Event> {
        let state = self.0.lock();
        let waited = self
            .0
            .news
            .wait_timeout_while(state, limit, |state| !state.1);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.0.clone()
    }

    /// The first event for which `wanted` says yes, counted from the `skip`-th on.
    pub(super) fn wait(
        &self,
        skip: usize,
        limit: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let end = Instant::now() + limit;
        let mut state = self.0.lock();
        loop {
            if let Some(event) = state.0.iter().skip(skip).find(|event| wanted(event)) {
                return Ok(event.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.1 {
                let names: Vec<String> = state
                    .0
                    .iter()
                    .map(|event| format!("{} {}", event.name, event.reason()))
                    .collect();
                bail!(
                    "no such event within {limit:?}; there were: [{}]",
                    names.join(", ")
                );
            }
            state = self
                .0
                .news
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Record {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<Event>, bool)> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
