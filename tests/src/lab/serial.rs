//! What a machine says on its serial line, with the time of each byte since power-on.
//!
//! A thread reads QEMU's console as it comes, so a hit's time is the time it was printed, not the time somebody looked. Escape sequences that
//! firmware writes are removed; what is left is plain ASCII lines.

use super::process::tail;
use super::space::RunFolder;
use anyhow::{Result, bail};
use regex_lite::Regex;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What to look for: a plain text, or a regular expression made by [`re`].
#[derive(Debug, Clone)]
pub enum Pattern {
    /// These very characters.
    Text(String),
    /// A regular expression; `^` and `$` match at lines. One with groups matches only when its line is complete.
    Regex(Regex),
}

/// A regular expression. Panics when it does not compile: that is a mistake in the story itself.
#[expect(
    clippy::panic,
    reason = "a malformed pattern is a bug in the test that wrote it"
)]
pub fn re(pattern: &str) -> Pattern {
    match Regex::new(&format!("(?m){pattern}")) {
        Ok(regex) => Pattern::Regex(regex),
        Err(error) => panic!("pattern {pattern:?}: {error}"),
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

impl Pattern {
    /// Start, end and groups of the first match in `text[from..]`.
    fn find(&self, text: &str, from: usize) -> Option<(usize, usize, Vec<String>)> {
        match self {
            Self::Text(wanted) => text[from..]
                .find(wanted)
                .map(|at| (from + at, from + at + wanted.len(), Vec::new())),
            Self::Regex(regex) => {
                let captures = regex.captures(&text[from..])?;
                let (start, end) = captures
                    .get(0)
                    .map(|whole| (from + whole.start(), from + whole.end()))?;
                // a group may still grow while its line is being printed
                if captures.len() > 1 && !text[end..].contains('\n') {
                    return None;
                }
                let group = |index| {
                    captures
                        .get(index)
                        .map_or_else(String::new, |found| found.as_str().to_owned())
                };
                Some((start, end, (1..captures.len()).map(group).collect()))
            }
        }
    }
}

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

/// Removes escape sequences and control characters, also when one is split over two reads.
#[derive(Debug, Default)]
enum AnsiFilter {
    #[default]
    Text,
    Escape,
    /// Inside `ESC [`, until a letter.
    Sequence,
    /// After `ESC (` and its like: one more character belongs to it.
    OneMore,
}

impl AnsiFilter {
    fn push(&mut self, bytes: &[u8], text: &mut String) {
        for &byte in bytes {
            *self = match (&*self, byte) {
                (_, 0x1b) => Self::Escape,
                (Self::Escape, b'[') => Self::Sequence,
                (Self::Escape, b'(' | b')') => Self::OneMore,
                (Self::Escape | Self::OneMore, _) => Self::Text,
                (Self::Sequence, b'0'..=b'9' | b';' | b'?') => Self::Sequence,
                (Self::Sequence, _) => Self::Text,
                (Self::Text, b'\n' | b'\t' | b' '..=b'~') => {
                    text.push(char::from(byte));
                    Self::Text
                }
                (Self::Text, 0x80..) => {
                    text.push('?');
                    Self::Text
                }
                (Self::Text, _) => Self::Text,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_removed_even_when_split_between_reads() {
        let (mut filter, mut text) = (AnsiFilter::default(), String::new());
        for part in ["a\x1b[2", "J\x1b[01;0", "1Hb\x1b(", "Bc\r\n\x08\0d"] {
            filter.push(part.as_bytes(), &mut text);
        }
        assert_eq!(text, "abc\nd");
    }

    #[test]
    fn a_regular_expression_gives_its_groups_and_matches_at_lines() {
        let found = re("^up (\\w+) fw=(\\w+)$").find("x\nup a fw=bios\ny", 0);
        assert_eq!(
            found,
            Some((2, 14, vec!["a".to_owned(), "bios".to_owned()]))
        );
    }
}
