//! Writes to every console the kernel was given. `/dev/console` alone is only the last one: a person at the screen and
//! a reader of the serial line should both see what happens.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Clears a screen and goes to its upper left corner (ECMA-48 ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Every way out to a person; clones write to the same ones.
#[derive(Clone)]
pub(super) struct Consoles(Arc<Mutex<Vec<Output>>>);

struct Output {
    file: File,
    /// A screen shows one page; a serial line is also a log, which must not be cleared.
    is_screen: bool,
}

impl Consoles {
    /// Opens what `/sys/class/tty/console/active` names; standard output remains when nothing can be opened.
    pub(super) fn open() -> Self {
        let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
        let outputs = active.split_whitespace().filter_map(output).collect();
        Self(Arc::new(Mutex::new(outputs)))
    }

    /// Status lines for people.
    pub(super) fn lines(&self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }

    /// One status line for people.
    pub(super) fn line(&self, line: &str) {
        self.bare(&format!("enforcer: {line}"));
    }

    /// One line as it is, in one write each so that kernel messages do not split it.
    pub(super) fn bare(&self, line: &str) {
        self.write("", &format!("{line}\r\n"));
    }

    /// A page: instead of what a screen shows, below it on a serial line.
    pub(super) fn page(&self, lines: &[String]) {
        self.write(CLEAR, &(lines.join("\r\n") + "\r\n"));
    }

    fn write(&self, for_screens: &str, text: &str) {
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if outputs.is_empty() {
            print!("{text}");
        }
        // A console that went away must not stop the machine's work.
        outputs.retain_mut(|output| {
            let before = if output.is_screen { for_screens } else { "" };
            output
                .file
                .write_all(format!("{before}{text}").as_bytes())
                .is_ok()
        });
    }
}

fn output(name: &str) -> Option<Output> {
    let file = OpenOptions::new()
        .write(true)
        .open(format!("/dev/{name}"))
        .ok()?;
    let number = name.strip_prefix("tty");
    Some(Output {
        file,
        is_screen: number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())),
    })
}
