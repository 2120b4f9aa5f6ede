//! What machines say while they run: a file for each boot of each machine, bounded, in the state folder's `logs/`.
//!
//! Agents number their lines in each boot; a chunk that is sent twice is kept once. A file that is full is set aside
//! and a new one begun, so that of a long boot the newest lines are kept.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use mesh_proto::json;
use mesh_proto::message::link::{LogChunk, LogLine, MAX_LOG_LINE_BYTES, MAX_LOG_LINES};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{ordered::sort_by, state::machine::MachineId};

/// A file's size at which it is set aside, bytes; twice this is kept of one boot. A boot that works says some kilobytes.
const MAX_FILE_BYTES: u64 = 512 << 10;
/// Boots kept of one machine: last week's, when it is booted every day.
const MAX_BOOTS: usize = 8;
/// Boots whose next number is remembered; the others are counted again from their file.
const MAX_REMEMBERED: usize = 4096;

/// A line as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in its boot.
    pub n: u64,
    /// What was said.
    #[serde(flatten)]
    pub line: LogLine,
}

/// A boot of which there is a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Its kernel's boot id.
    pub id: String,
    /// When its last line came, Unix seconds.
    pub last_unix_s: i64,
}

/// All logs; clones are the same.
#[derive(Debug, Clone)]
pub struct Logs {
    folder: PathBuf,
    next: Arc<Mutex<HashMap<(String, String), u64>>>,
    grown: watch::Sender<u64>,
}

impl Logs {
    /// Logs in `state`'s folder.
    #[must_use]
    pub fn open(state: &Path) -> Self {
        Self {
            folder: state.join("logs"),
            next: Arc::default(),
            grown: watch::channel(0).0,
        }
    }

    /// Keeps the lines that are new. Blocks for a write.
    ///
    /// # Errors
    /// When the disk refuses; nothing of the chunk counts as kept then.
    pub fn append(&self, machine: &MachineId, chunk: &LogChunk) -> io::Result<()> {
        let folder = self.folder.join(machine.as_str());
        let path = file(&folder, &chunk.boot_id)?;
        let key = (machine.to_string(), chunk.boot_id.clone());
        let mut known = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match known.get(&key) {
            Some(next) => *next,
            None => begin(&folder, &path)?,
        };
        let fresh: Vec<Line> = numbered(chunk).filter(|l| l.n >= next).collect();
        if let Some(last) = fresh.last() {
            write(&path, &fresh)?;
            if known.len() >= MAX_REMEMBERED {
                known.clear();
            }
            known.insert(key, last.n + 1);
        }
        drop(known);
        self.grown.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Wakes up whenever a line was kept.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// The boots there are logs of, the newest last.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn boots(&self, machine: &MachineId) -> io::Result<Vec<Boot>> {
        boots(&self.folder.join(machine.as_str()))
    }

    /// The lines of a boot from number `from` on. Blocks for a read.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn lines(&self, machine: &MachineId, boot: &str, from: u64) -> io::Result<Vec<Line>> {
        let path = file(&self.folder.join(machine.as_str()), boot)?;
        let mut lines = read(&path.with_extension("old"))?;
        lines.extend(read(&path)?);
        lines.retain(|l| l.n >= from);
        Ok(lines)
    }

    /// Drops all logs of a machine.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget(&self, machine: &MachineId) -> io::Result<()> {
        let mut known = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _), _| of != machine.as_str());
        match fs::remove_dir_all(self.folder.join(machine.as_str())) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// The lines of a chunk within their limits: what a stranger's agent sends is cut, not believed.
fn numbered(chunk: &LogChunk) -> impl Iterator<Item = Line> {
    let lines = (chunk.first..).zip(&chunk.lines).take(MAX_LOG_LINES);
    lines.map(|(n, line)| Line {
        n,
        line: LogLine {
            uptime_ms: line.uptime_ms,
            source: clean(&line.source, 32),
            text: clean(&line.text, MAX_LOG_LINE_BYTES),
        },
    })
}

fn clean(text: &str, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().filter(|c| !c.is_control()).collect()
}

/// The file of a boot. A boot id becomes a file's name: nothing but one may.
fn file(folder: &Path, boot: &str) -> io::Result<PathBuf> {
    let good =
        (1..=64).contains(&boot.len()) && boot.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if good {
        Ok(folder.join(format!("{boot}.log")))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is no boot id",
        ))
    }
}

/// The next number of a boot whose file was not written since the start; a new boot makes room for itself.
fn begin(folder: &Path, path: &Path) -> io::Result<u64> {
    let kept = [path.to_owned(), path.with_extension("old")];
    for path in &kept {
        if let Some(last) = read(path)?.last() {
            return Ok(last.n + 1);
        }
    }
    fs::create_dir_all(folder)?;
    let boots = boots(folder)?;
    for boot in &boots[..boots.len().saturating_sub(MAX_BOOTS - 1)] {
        let path = file(folder, &boot.id)?;
        fs::remove_file(path.with_extension("old")).or_else(absent)?;
        fs::remove_file(&path).or_else(absent)?;
    }
    Ok(0)
}

fn write(path: &Path, lines: &[Line]) -> io::Result<()> {
    let mut text = Vec::new();
    for line in lines {
        // In front: what a power cut or a full disk tore before must not swallow this line too.
        text.push(b'\n');
        serde_json::to_writer(&mut text, line)?;
    }
    let size = path.metadata().map_or(0, |m| m.len());
    if size > 0 && size + text.len() as u64 > MAX_FILE_BYTES {
        fs::rename(path, path.with_extension("old"))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?
        .write_all(&text)
}

/// What can be read of a file: a line that a power cut tore is left out.
fn read(path: &Path) -> io::Result<Vec<Line>> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let lines = bytes.split(|b| *b == b'\n');
    Ok(lines.filter_map(|l| json::from_slice(l).ok()).collect())
}

fn boots(folder: &Path) -> io::Result<Vec<Boot>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let Some(id) = path
            .file_stem()
            .and_then(|s| s.to_str())
            .filter(|_| path.extension().is_some_and(|e| e == "log"))
        else {
            continue;
        };
        let since = entry
            .metadata()?
            .modified()?
            .duration_since(std::time::UNIX_EPOCH);
        let at = since.unwrap_or_default();
        found.push((
            at,
            Boot {
                id: id.to_owned(),
                last_unix_s: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            },
        ));
    }
    // The clock of a disk ticks every few milliseconds.
    sort_by(&mut found, |a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
    Ok(found.into_iter().map(|(_, boot)| boot).collect())
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "0b4f3f9e-1111-4222-8333-944444444444";

    fn chunk(boot: &str, first: u64, texts: &[&str]) -> LogChunk {
        let line = |text: &&str| LogLine {
            uptime_ms: 5,
            source: "agent".to_owned(),
            text: (*text).to_owned(),
        };
        LogChunk {
            boot_id: boot.to_owned(),
            first,
            lines: texts.iter().map(line).collect(),
        }
    }

    fn texts(logs: &Logs, boot: &str) -> Vec<String> {
        let lines = logs.lines(&machine(), boot, 0).unwrap();
        lines
            .into_iter()
            .map(|l| format!("{} {}", l.n, l.line.text))
            .collect()
    }

    fn machine() -> MachineId {
        MachineId::from_random(7)
    }

    #[test]
    fn a_chunk_sent_twice_is_kept_once_also_over_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let logs = Logs::open(state.path());
        logs.append(&machine(), &chunk(BOOT, 0, &["a", "b"]))
            .unwrap();
        logs.append(&machine(), &chunk(BOOT, 0, &["a", "b"]))
            .unwrap();
        let logs = Logs::open(state.path());
        logs.append(&machine(), &chunk(BOOT, 1, &["b", "c"]))
            .unwrap();
        assert_eq!(texts(&logs, BOOT), ["0 a", "1 b", "2 c"]);
    }

    #[test]
    fn a_boot_id_cannot_leave_the_folder() {
        let state = tempfile::tempdir().unwrap();
        let logs = Logs::open(state.path());
        for bad in ["../../etc/cron", "", "a/b", "..", "x"] {
            assert!(
                logs.append(&machine(), &chunk(bad, 0, &["a"])).is_err(),
                "{bad}"
            );
            assert!(logs.lines(&machine(), bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn control_characters_and_endless_lines_are_cut() {
        let state = tempfile::tempdir().unwrap();
        let logs = Logs::open(state.path());
        let long = "é".repeat(MAX_LOG_LINE_BYTES);
        logs.append(&machine(), &chunk(BOOT, 0, &["a\u{1b}[2J\nb", &long]))
            .unwrap();
        let kept = logs.lines(&machine(), BOOT, 0).unwrap();
        assert_eq!(kept[0].line.text, "a[2Jb");
        assert_eq!(kept[1].line.text.len(), MAX_LOG_LINE_BYTES);
    }

    #[test]
    fn a_log_without_end_keeps_its_newest_lines_in_bounded_space() {
        let state = tempfile::tempdir().unwrap();
        let logs = Logs::open(state.path());
        let text = "x".repeat(1000);
        let many = vec![text.as_str(); MAX_LOG_LINES];
        let chunks = 10;
        for at in 0..chunks {
            logs.append(&machine(), &chunk(BOOT, at * MAX_LOG_LINES as u64, &many))
                .unwrap();
        }
        let lines = logs.lines(&machine(), BOOT, 0).unwrap();
        assert_eq!(lines.last().unwrap().n, chunks * MAX_LOG_LINES as u64 - 1);
        assert!(lines.windows(2).all(|w| w[0].n + 1 == w[1].n));
        let bytes: u64 = fs::read_dir(state.path().join("logs").join(machine().as_str()))
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 2 * MAX_FILE_BYTES, "{bytes}");
    }

    #[test]
    fn of_many_boots_the_newest_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let logs = Logs::open(state.path());
        let ids: Vec<String> = (0..20).map(|n| format!("{n:08x}")).collect();
        for id in &ids {
            logs.append(&machine(), &chunk(id, 0, &["a"])).unwrap();
        }
        let kept = logs.boots(&machine()).unwrap();
        assert_eq!(kept.len(), MAX_BOOTS);
        assert_eq!(kept.last().map(|b| &b.id), ids.last());
        logs.forget(&machine()).unwrap();
        assert_eq!(logs.boots(&machine()).unwrap(), []);
    }

    #[test]
    fn a_torn_last_line_costs_only_itself() {
        let state = tempfile::tempdir().unwrap();
        let logs = Logs::open(state.path());
        logs.append(&machine(), &chunk(BOOT, 0, &["a"])).unwrap();
        let path = file(&state.path().join("logs").join(machine().as_str()), BOOT).unwrap();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"\n{\"n\":1,\"upt")
            .unwrap();
        logs.append(&machine(), &chunk(BOOT, 1, &["b"])).unwrap();
        assert_eq!(texts(&logs, BOOT), ["0 a", "1 b"]);
    }
}
