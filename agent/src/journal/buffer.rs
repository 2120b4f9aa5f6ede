//! Lines that wait for a controller: numbered, bounded by lines and bytes, the oldest dropped first. Pure.

use std::collections::VecDeque;

use mesh_proto::message::link::{LogLine, MAX_LOG_LINE_BYTES, MAX_LOG_LINES};

use crate::cmdline::SECRET_WORD;

/// Bytes of text kept while no controller is there: several boots' worth of kernel messages.
const MAX_BYTES: usize = 512 << 10;
/// Lines kept; short lines cost more than their text.
const MAX_LINES: usize = 8192;
/// What stands where a secret was.
const BLANKED: &str = "[not shown]";

/// The lines of one boot that no controller has yet.
#[derive(Debug, Default)]
pub struct LogBuffer {
    lines: VecDeque<LogLine>,
    first: u64,
    bytes: usize,
}

impl LogBuffer {
    /// An empty buffer whose first line has this number.
    #[must_use]
    pub fn starting_at(first: u64) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }

    /// Adds a line and gives it back as it is kept: without control characters, secrets and what is too long.
    pub fn push(&mut self, uptime_ms: u64, source: &str, text: &str) -> &LogLine {
        let text = cleaned(text);
        self.bytes += text.len();
        self.lines.push_back(LogLine {
            uptime_ms,
            source: source.to_owned(),
            text,
        });
        while self.bytes > MAX_BYTES || self.lines.len() > MAX_LINES {
            self.drop_first();
        }
        self.lines
            .back()
            .expect("one line is far shorter than the limit")
    }

    /// The next lines to send, with the number of the first; empty when all are sent.
    #[must_use]
    pub fn chunk(&self) -> (u64, Vec<LogLine>) {
        (
            self.first,
            self.lines.iter().take(MAX_LOG_LINES).cloned().collect(),
        )
    }

    /// Lines before this number have arrived.
    pub fn acknowledge(&mut self, before: u64) {
        while self.first < before && !self.lines.is_empty() {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.text.len();
            self.first += 1;
        }
    }
}

fn cleaned(text: &str) -> String {
    let mut out = String::new();
    for c in blanked(text).chars() {
        let c = if c.is_control() { ' ' } else { c };
        if out.len() + c.len_utf8() > MAX_LOG_LINE_BYTES {
            break;
        }
        out.push(c);
    }
    out
}

/// The kernel prints its command line, and with it the boot's secret.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(SECRET_WORD) {
        let (before, from) = rest.split_at(at + SECRET_WORD.len());
        out.push_str(before);
        rest = from;
        if let Some(value) = from.strip_prefix('=') {
            out.push('=');
            out.push_str(BLANKED);
            rest = value.trim_start_matches(|c: char| !c.is_whitespace());
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_are_numbered_on_whatever_was_sent_before() {
        let mut buffer = LogBuffer::starting_at(100);
        for n in 0..MAX_LOG_LINES + 2 {
            buffer.push(1, "agent", &n.to_string());
        }
        let (first, lines) = buffer.chunk();
        assert_eq!((first, lines.len()), (100, MAX_LOG_LINES));
        assert_eq!(
            buffer.chunk().0,
            100,
            "what is not acknowledged is sent again"
        );
        buffer.acknowledge(first + lines.len() as u64);
        let (first, lines) = buffer.chunk();
        assert_eq!(first, 100 + MAX_LOG_LINES as u64);
        assert_eq!(texts(&lines), ["256", "257"]);
        buffer.acknowledge(u64::MAX);
        assert_eq!(buffer.chunk(), (102 + MAX_LOG_LINES as u64, vec![]));
        buffer.push(2, "kernel", "next");
        assert_eq!(buffer.chunk().0, 102 + MAX_LOG_LINES as u64);
    }

    #[test]
    fn without_a_controller_the_oldest_go_and_the_numbers_show_it() {
        let mut buffer = LogBuffer::default();
        let long = "x".repeat(2 * MAX_LOG_LINE_BYTES);
        for _ in 0..1000 {
            buffer.push(1, "kernel", &long);
        }
        assert_eq!(buffer.lines.len(), MAX_BYTES / MAX_LOG_LINE_BYTES);
        assert_eq!(buffer.chunk().0, 1000 - buffer.lines.len() as u64);
        let mut buffer = LogBuffer::default();
        for _ in 0..MAX_LINES + 10 {
            buffer.push(1, "kernel", "");
        }
        assert_eq!((buffer.lines.len(), buffer.chunk().0), (MAX_LINES, 10));
    }

    #[test]
    fn no_line_carries_the_boots_secret_or_a_control_character() {
        let mut buffer = LogBuffer::default();
        let secret = "00112233445566778899aabbccddeeff";
        for (text, want) in [
            (
                format!("Command line: a enforcer.secret={secret} b=c"),
                "Command line: a enforcer.secret=[not shown] b=c",
            ),
            (
                format!("enforcer.secret={secret}\nenforcer.secret={secret}"),
                "enforcer.secret=[not shown] enforcer.secret=[not shown]",
            ),
            (
                "enforcer.secret: none \x1b[2J".to_owned(),
                "enforcer.secret: none  [2J",
            ),
        ] {
            assert_eq!(buffer.push(1, "kernel", &text).text, want);
        }
    }
}
