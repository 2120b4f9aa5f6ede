//! A line on the terminal that is written over and over: how far, how fast, how long still. Nothing where there is no
//! terminal, so that logs stay short.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use super::output::{clean, size};

/// It is drawn this often.
const EVERY: Duration = Duration::from_millis(200);
/// Blocks of the bar itself.
const BLOCKS: u64 = 24;

/// See the module.
pub(super) struct Bar {
    name: String,
    done: u64,
    total: u64,
    /// More words, behind the numbers.
    pub(super) note: String,
    started: Instant,
    shown: Option<Instant>,
    drawn: usize,
}

impl Bar {
    /// About `total` bytes; zero where it is not known.
    pub(super) fn new(name: &str, total: u64) -> Self {
        let now = Instant::now();
        Self {
            name: clean(name),
            done: 0,
            total,
            note: String::new(),
            started: now,
            shown: io::stderr().is_terminal().then_some(now),
            drawn: 0,
        }
    }

    /// So many bytes more.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if let Some(at) = self.shown
            && at.elapsed() >= EVERY
        {
            self.shown = Some(Instant::now());
            self.draw();
        }
    }

    /// The first bytes were done before: they do not count for the rate.
    pub(super) fn skip(&mut self, bytes: u64) {
        self.done += bytes;
    }

    /// The last line stays.
    pub(super) fn end(&mut self) {
        if self.shown.is_some() {
            self.draw();
            eprintln!();
        }
    }

    fn draw(&mut self) {
        let took = self.started.elapsed().as_millis();
        let rate = u128::from(self.done) * 1000 / took.max(1);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let line = line(&self.name, self.done, self.total, rate, &self.note);
        self.drawn = over(&line, self.drawn);
    }
}

/// Writes `line` over the one before, which had `before` characters; how many it has.
pub(super) fn over(line: &str, before: usize) -> usize {
    let len = line.chars().count();
    eprint!("\r{line}{}", " ".repeat(before.saturating_sub(len)));
    len
}

/// `debian.raw [=====>      ] 1.2 GiB of 4.0 GiB, 210.0 MiB/s, 14s left`.
pub(super) fn line(name: &str, done: u64, total: u64, rate: u64, note: &str) -> String {
    let note = match note {
        "" => String::new(),
        note => format!(", {note}"),
    };
    let speed = match rate {
        0 => String::new(),
        rate => format!(", {}/s", size(rate)),
    };
    if total == 0 {
        return format!("{name} {}{speed}{note}", size(done));
    }
    let filled = BLOCKS * done.min(total) / total;
    let bar: String = (0..BLOCKS)
        .map(|n| match n.cmp(&filled) {
            std::cmp::Ordering::Less => '=',
            std::cmp::Ordering::Equal => '>',
            std::cmp::Ordering::Greater => ' ',
        })
        .collect();
    let left = match total.saturating_sub(done).checked_div(rate) {
        Some(s) if done < total => format!(", {} left", span(s)),
        _ => String::new(),
    };
    format!(
        "{name} [{bar}] {} of {}{speed}{left}{note}",
        size(done),
        size(total)
    )
}

/// Seconds as people read them.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        s => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_tells_how_far_how_fast_and_how_long_still() {
        let half = line("x", 2 << 20, 4 << 20, 1 << 20, "1.0 MiB sent");
        let told =
            "x [============>           ] 2.0 MiB of 4.0 MiB, 1.0 MiB/s, 2s left, 1.0 MiB sent";
        assert_eq!(half, told);
        assert_eq!(
            line("x", 4, 4, 0, ""),
            format!("x [{}] 4 B of 4 B", "=".repeat(24))
        );
        assert_eq!(line("x", 5 << 20, 0, 0, ""), "x 5.0 MiB");
        assert_eq!([span(59), span(61), span(3700)], ["59s", "1m01s", "1h01m"]);
    }
}
