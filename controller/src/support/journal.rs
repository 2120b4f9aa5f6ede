//! The controller's own log, where systemd runs it: the last lines of its unit in the journal.
//!
//! A line is told by its parts. Its sentence is the program's own up to the first colon: what was put into it stands behind one
//! (a test holds the sources to that). Its values are told by name and form, in their order, up to the first that is not: behind
//! that one anything may follow. Of systemd's own lines only closed words are told, and of a panic where it was.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use crate::state::Timestamp;

/// Lines that are told: the last start and some hours of a busy site.
const LINES: usize = 2_000;
/// What journalctl may write, bytes: lines of two kilobytes each.
const READ: u64 = 4 << 20;
/// How long it may take: an SD card that is busy with itself.
const WITHIN: Duration = Duration::from_secs(20);
/// What is asked of each entry besides its time.
const ASKED: &str =
    "--output-fields=MESSAGE,_PID,CODE_FUNC,JOB_TYPE,JOB_RESULT,UNIT_RESULT,EXIT_CODE,EXIT_STATUS";
/// systemd's words about the unit: the name in the journal, and here.
const MANAGERS: [(&str, &str); 6] = [
    ("CODE_FUNC", "function"),
    ("JOB_TYPE", "job"),
    ("JOB_RESULT", "job_result"),
    ("UNIT_RESULT", "result"),
    ("EXIT_CODE", "exit"),
    ("EXIT_STATUS", "status"),
];
/// The levels of a line.
const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
/// The crates whose sentences are ours.
const OURS: [&str; 7] = [
    "enforcer",
    "image",
    "image_store",
    "ipxe",
    "ipxe_net",
    "mesh_net",
    "mesh_proto",
];
/// Values of closed words, numbers, addresses and names of machines, sites and configs.
const TOLD: [&str; 28] = [
    "activation",
    "address",
    "at",
    "code",
    "command",
    "config",
    "deployment",
    "dhcp",
    "epoch",
    "firmware",
    "from",
    "http",
    "id",
    "image",
    "interface",
    "level",
    "mac",
    "machine",
    "method",
    "node",
    "plan",
    "presence",
    "revision",
    "server",
    "site",
    "stage",
    "status",
    "tls",
];
/// Longest value that is told: a name, an address with its port.
const VALUE: usize = 64;

/// A line of the log, of what may be told of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(flatten)]
    said: Said,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
enum Said {
    /// The program, by its log.
    Enforcer {
        level: &'static str,
        part: String,
        /// Up to its first colon; absent in what libraries say.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        values: BTreeMap<String, String>,
        /// The system's number of an error.
        #[serde(skip_serializing_if = "Option::is_none")]
        os_error: Option<u32>,
        /// Whether there was more.
        cut: bool,
    },
    /// The program, as it gave up a task.
    Panic { place: String },
    /// systemd, about the unit.
    Systemd {
        words: BTreeMap<&'static str, String>,
    },
    /// A line of no form that is known; nothing of it is told.
    Other,
}

/// Asks journalctl for the unit's last lines; the newest first, in its JSON.
///
/// # Errors
/// Why there is no log, in words of ours.
pub async fn read() -> Result<Vec<u8>, &'static str> {
    let mut command = Command::new("journalctl");
    command.args(["--unit=enforcer.service", "--no-pager", "--quiet"]);
    // The newest first: they are there when it writes too much.
    command.args(["--reverse", "--output=json", ASKED]);
    command.arg(format!("--lines={LINES}"));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|_| "journalctl cannot be run")?;
    let said = child.stdout.take().ok_or("journalctl says nothing")?;
    let mut bytes = Vec::new();
    match timeout(WITHIN, said.take(READ).read_to_end(&mut bytes)).await {
        Ok(Ok(_)) => Ok(bytes),
        Ok(Err(_)) => Err("journalctl cannot be read"),
        Err(_) => Err("journalctl does not answer in time"),
    }
}

/// What of the journal's lines may be told, the newest last.
#[must_use]
pub fn lines(journal: &[u8]) -> Vec<Line> {
    // One that was cut in its middle is no JSON any more.
    let entries = journal.split(|byte| *byte == b'\n').take(LINES);
    let mut told: Vec<_> = entries.filter_map(line).collect();
    told.reverse();
    told
}

fn line(entry: &[u8]) -> Option<Line> {
    let entry: Map<String, Value> = serde_json::from_slice(entry).ok()?;
    let text = |name: &str| entry.get(name)?.as_str();
    let at: i64 = text("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let pid = text("_PID").and_then(|pid| pid.parse().ok());
    let said = match text("MESSAGE") {
        _ if pid == Some(1) => systemd(text),
        Some(message) => ours(message).or_else(|| panicked(message)),
        None => None,
    };
    Some(Line {
        at: Timestamp::from_microsecond(at).ok()?,
        pid,
        said: said.unwrap_or(Said::Other),
    })
}

fn systemd<'e>(text: impl Fn(&str) -> Option<&'e str>) -> Option<Said> {
    let word = |name| text(name).filter(|word| word.len() <= VALUE && word.chars().all(in_word));
    let words = MANAGERS.iter();
    let words = words.filter_map(|(theirs, name)| Some((*name, word(theirs)?.to_owned())));
    Some(Said::Systemd {
        words: words.collect(),
    })
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// A line of the program's log: `TIME LEVEL PART: SENTENCE NAME=VALUE …`.
fn ours(message: &str) -> Option<Said> {
    let (time, rest) = message.split_once(' ')?;
    time.parse::<Timestamp>().ok()?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    let level = LEVELS.into_iter().find(|known| *known == level)?;
    let (part, rest) = rest.split_once(": ")?;
    if part.len() > VALUE || !part.chars().all(|c| in_word(c) || c == ':') {
        return None;
    }
    let own = OURS.contains(&part.split("::").next().unwrap_or_default());
    let (text, values, cut) = match own {
        true => sentence(rest),
        false => (None, BTreeMap::new(), true),
    };
    Some(Said::Enforcer {
        level,
        part: part.to_owned(),
        text,
        values,
        os_error: os_error(rest),
        cut,
    })
}

/// The sentence, the values behind it, and whether anything was left out.
fn sentence(rest: &str) -> (Option<String>, BTreeMap<String, String>, bool) {
    let words: Vec<&str> = rest.split(' ').collect();
    let begin = words.iter().position(|word| field(word).is_some());
    let (prose, fields) = words.split_at(begin.unwrap_or(words.len()));
    let prose = prose.join(" ");
    // What was put in may itself begin like a value.
    let (text, behind) = match prose
        .split_once(": ")
        .or_else(|| Some((prose.strip_suffix(':')?, "")))
    {
        Some((text, _)) => (text.to_owned(), true),
        None => (prose, false),
    };
    let text = (!text.is_empty()).then_some(text);
    if behind {
        // The values of a sentence into which something was put may be part of that.
        return (text, BTreeMap::new(), true);
    }
    let mut values = BTreeMap::new();
    for word in fields {
        match field(word).and_then(|(name, value)| plain(name, value)) {
            Some((name, value)) => drop(values.insert(name, value)),
            None => return (text, values, true),
        }
    }
    (text, values, false)
}

/// A value with its name.
fn field(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (!name.is_empty() && name.chars().all(named)).then_some((name, value))
}

/// The value, when it is one of those that are told and has such a form.
fn plain(name: &str, value: &str) -> Option<(String, String)> {
    let value = value.trim_matches('"');
    let form = |c: char| in_word(c) || matches!(c, '.' | ':' | '@' | '[' | ']');
    let told = TOLD.contains(&name) && value.len() <= VALUE && value.chars().all(form);
    told.then(|| (name.to_owned(), value.to_owned()))
}

/// The last number that the system gave for an error, as Rust writes it.
fn os_error(text: &str) -> Option<u32> {
    let (_, behind) = text.rsplit_once("(os error ")?;
    behind.split_once(')')?.0.parse().ok()
}

/// Where a task was given up: `thread 'NAME' panicked at FILE:LINE:COLUMN:`.
fn panicked(message: &str) -> Option<Said> {
    let (_, place) = message
        .strip_prefix("thread '")?
        .split_once("panicked at ")?;
    let place = place.strip_suffix(':')?;
    let form = |c: char| in_word(c) || matches!(c, '.' | ':' | '/');
    let told = place.len() <= 4 * VALUE && place.contains(".rs:") && place.chars().all(form);
    told.then(|| Said::Panic {
        place: place.to_owned(),
    })
}

#[cfg(test)]
mod tests;
