//! A table in markdown, one line as soon as it is measured, and whether every figure was reached.

use anyhow::{Result, ensure};
use std::{fs, thread};

/// Prints lines and remembers what was missed.
#[derive(Debug, Default)]
pub struct Table {
    missed: Vec<String>,
}

impl Table {
    /// Prints the title, what the host is doing, and the head of the table.
    pub fn new(title: &str) -> Self {
        println!(
            "\n### {title}\n\n{}\n\n| measured | limits | ours | beside | figure | |\n|---|---|---|---|---|---|",
            host_line()
        );
        Self::default()
    }

    /// A line without a figure to reach.
    pub fn note(&self, measured: &str, limits: &str, ours: &str, beside: &str) {
        println!("| {measured} | {limits} | {ours} | {beside} | | |");
    }

    /// A line with a figure.
    pub fn judge(
        &mut self,
        measured: &str,
        limits: &str,
        ours: &str,
        beside: &str,
        (figure, met): (&str, bool),
    ) {
        let word = if met { "met" } else { "**missed**" };
        println!("| {measured} | {limits} | {ours} | {beside} | {figure} | {word} |");
        if !met {
            self.missed
                .push(format!("{measured} ({limits}): {ours}, {figure}"));
        }
    }

    /// Prints what the host was doing at the end.
    ///
    /// # Errors
    /// When a figure was missed.
    pub fn end(self) -> Result<()> {
        println!("\nAt the end: {}", host_line());
        ensure!(self.missed.is_empty(), "missed: {}", self.missed.join("; "));
        Ok(())
    }
}

/// What else the host does: a figure without it says little.
pub fn host_line() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, load average {}", load.join(" "))
}

/// `a / b` as text; a peer that did nothing gives no ratio.
pub fn ratio(a: f64, b: f64) -> String {
    if b > 0.0 {
        format!("{:.2}", a / b)
    } else {
        "–".to_owned()
    }
}
