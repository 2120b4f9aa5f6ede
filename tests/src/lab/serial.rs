//! What a machine says on its serial line, with the time of each byte since power-on.
//!
//! A thread reads QEMU's console as it comes, so a hit's time is the time it was printed, not the time somebody looked. Escape sequences that
//! firmware writes are removed; what is left is plain ASCII lines.

mod ansi;
mod pattern;

pub use pattern::{Pattern, re};

use super::folder::RunFolder;
use super::process::tail;
use ansi::AnsiFilter;
use anyhow::{Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A pattern that was seen.
#[derive(Debug, Clone)]
pub struct Hit {
    /// When the last byte of the match was printed, since power-on.
    pub at: Duration,
    /// The line, trimmed; as far as it was printed when the match was complete.
    pub line: String,
    /// The groups of a regular expression; an unmatched one is empty.
    pub groups: Vec<String>,
}

#[derive(Debug, Default)]
struct Console {
    text: String,
    /// (length of `text`, time) after each chunk.
    chunks: Vec<(usize, Duration)>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    console: Mutex<Console>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Console> {
        self.console.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One machine's serial line since its last power-on. Expectations are met in order: each starts where the one before was met.
#[derive(Debug)]
pub struct Serial {
    shared: Arc<Shared>,
    folder: Arc<RunFolder>,
    log: PathBuf,
    power_on: Instant,
    cursor: usize,
    forbidden: Vec<Pattern>,
}

impl Serial {
    /// Follows `console`, writing what comes to `log` unchanged.
    pub(super) fn follow(
        mut console: impl Read + Send + 'static,
        log: PathBuf,
        folder: Arc<RunFolder>,
        power_on: Instant,
    ) -> Result<Self> {
        let mut file = File::create(&log)?;
        let shared = Arc::new(Shared::default());
        let sink = shared.clone();
        thread::spawn(move || {
            let mut filter = AnsiFilter::default();
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = console.read(&mut buffer) {
                let at = power_on.elapsed();
                let _ = file.write_all(&buffer[..length]);
                let mut state = sink.lock();
                filter.push(&buffer[..length], &mut state.text);
                let end = state.text.len();
                state.chunks.push((end, at));
                sink.news.notify_all();
            }
            sink.lock().closed = true;
            sink.news.notify_all();
        });
        Ok(Self {
            shared,
            folder,
            log,
            power_on,
            cursor: 0,
            forbidden: Vec::new(),
        })
    }

    /// The raw log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All that was said, without escape sequences.
    pub fn text(&self) -> String {
        self.shared.lock().text.clone()
    }

    /// From now on this pattern fails every expectation at once.
    pub fn forbid(&mut self, pattern: impl Into<Pattern>) -> &mut Self {
        self.forbidden.push(pattern.into());
        self
    }

    /// Forget what was said so far: the next expectation looks only at what comes from here, e.g. for a second boot.
    pub fn from_here(&mut self) -> &mut Self {
        self.cursor = self.shared.lock().text.len();
        self
    }

    /// Waits until `pattern` is printed; `limit` counts from this call. Fails at once on a forbidden pattern or when the machine is gone.
    pub fn expect(&mut self, pattern: impl Into<Pattern>, limit: Duration) -> Result<Hit> {
        self.await_pattern(&pattern.into(), Instant::now() + limit)
    }

    /// As [`Self::expect`], but the deadline counts from power-on.
    pub fn expect_by(
        &mut self,
        pattern: impl Into<Pattern>,
        since_power_on: Duration,
    ) -> Result<Hit> {
        let end = self.power_on + since_power_on;
        self.await_pattern(&pattern.into(), end)
    }

    /// All patterns in order, within `limit` in all.
    pub fn expect_all(&mut self, patterns: &[&str], limit: Duration) -> Result<Vec<Hit>> {
        let end = Instant::now() + limit;
        patterns
            .iter()
            .map(|pattern| self.await_pattern(&Pattern::from(*pattern), end))
            .collect()
    }

    /// Watches for `window`: an error as soon as `pattern` shows up after the last hit.
    pub fn refuse(&mut self, pattern: impl Into<Pattern>, window: Duration) -> Result<()> {
        let (pattern, end) = (pattern.into(), Instant::now() + window);
        let mut console = self.shared.lock();
        loop {
            if pattern.find(&console.text, self.cursor).is_some() {
                let error = self.failure(
                    &console,
                    &format!("{pattern} was printed, which must not be"),
                );
                bail!(error);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            console = self
                .shared
                .news
                .wait_timeout(console, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn await_pattern(&mut self, pattern: &Pattern, end: Instant) -> Result<Hit> {
        let shared = self.shared.clone();
        let mut console = shared.lock();
        loop {
            let found = pattern.find(&console.text, self.cursor);
            let until = found
                .as_ref()
                .map_or(console.text.len(), |(start, ..)| *start);
            if let Some(bad) = self
                .forbidden
                .iter()
                .find(|bad| bad.find(&console.text[..until], self.cursor).is_some())
            {
                bail!(self.failure(
                    &console,
                    &format!("forbidden {bad} while waiting for {pattern}")
                ));
            }
            if let Some((start, stop, groups)) = found {
                self.cursor = stop;
                return Ok(console.hit(start, stop, groups));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(self.failure(&console, &format!("{pattern} did not come in time")));
            }
            if console.closed {
                bail!(self.failure(
                    &console,
                    &format!("the machine is off, and {pattern} had not come")
                ));
            }
            console = shared
                .news
                .wait_timeout(console, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// What a reader of a failed test needs: what, when, the last lines, and where the rest is (the folder is kept).
    fn failure(&self, console: &Console, what: &str) -> String {
        self.folder.keep();
        let seconds = self.power_on.elapsed().as_secs_f32();
        format!(
            "{what} ({seconds:.1} s after power-on)\nlast output:\n{}\nlogs: {}",
            tail(&console.text),
            self.folder.path().display()
        )
    }
}

impl Console {
    fn hit(&self, start: usize, stop: usize, groups: Vec<String>) -> Hit {
        let first = self.text[..start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let last = self.text[stop..]
            .find('\n')
            .map_or(self.text.len(), |newline| stop + newline);
        let chunk = self.chunks.partition_point(|(end, _)| *end < stop);
        let at = self.chunks.get(chunk).map_or(Duration::ZERO, |(_, at)| *at);
        Hit {
            at,
            line: self.text[first..last].trim().to_owned(),
            groups,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::wait_until;
    use super::*;
    use std::io::{PipeWriter, pipe};

    const LONG: Duration = Duration::from_secs(20);

    /// A serial line that the test itself prints on.
    fn line() -> (PipeWriter, Serial) {
        let (console, machine) = pipe().unwrap();
        let folder = Arc::new(RunFolder::create("serial").unwrap());
        let log = folder.file("log");
        (
            machine,
            Serial::follow(console, log, folder, Instant::now()).unwrap(),
        )
    }

    fn failure(result: Result<Hit>, folder: &Arc<RunFolder>) -> String {
        let text = result.unwrap_err().to_string();
        assert!(
            text.contains(&folder.path().display().to_string()),
            "{text}"
        );
        let _ = std::fs::remove_dir_all(folder.path());
        text
    }

    #[test]
    fn expectations_are_met_in_order_and_each_text_only_once() {
        let (mut machine, mut serial) = line();
        machine.write_all(b"one\ntwo\r\none more\n").unwrap();
        let hits = serial.expect_all(&["one", "two", "one"], LONG).unwrap();
        assert_eq!(
            hits.iter().map(|hit| hit.line.as_str()).collect::<Vec<_>>(),
            ["one", "two", "one more"]
        );
        let folder = serial.folder.clone();
        let text = failure(serial.expect("two", Duration::from_millis(30)), &folder);
        assert!(
            text.contains("\"two\" did not come in time") && text.contains("one more"),
            "{text}"
        );
    }

    #[test]
    fn a_forbidden_text_before_the_expected_one_fails_and_after_it_does_not() {
        let (mut machine, mut serial) = line();
        serial.forbid("panic");
        machine.write_all(b"ready panic done").unwrap();
        serial.expect("ready", LONG).unwrap();
        let folder = serial.folder.clone();
        let text = failure(serial.expect("done", LONG), &folder);
        assert!(text.contains("forbidden \"panic\""), "{text}");
    }

    #[test]
    fn a_machine_that_goes_off_fails_the_expectation_at_once() {
        let (machine, mut serial) = line();
        drop(machine);
        let folder = serial.folder.clone();
        let text = failure(serial.expect("never", LONG), &folder);
        assert!(text.contains("the machine is off"), "{text}");
    }

    #[test]
    fn from_here_forgets_the_first_boot_and_refuse_sees_only_what_comes_after() {
        let (mut machine, mut serial) = line();
        machine.write_all(b"boot\n").unwrap();
        serial.expect("bo", LONG).unwrap();
        machine.write_all(b"up\n").unwrap();
        let printed = || Ok(serial.text().contains("up").then_some(()));
        wait_until("the second line", LONG, printed).unwrap();
        serial
            .from_here()
            .refuse("up", Duration::from_millis(30))
            .unwrap();
        machine.write_all(b"up again\n").unwrap();
        assert!(serial.refuse("up", LONG).is_err());
        let _ = std::fs::remove_dir_all(serial.folder.path());
    }
}
