//! Writes to every console the kernel was given. `/dev/console` alone is only the last one: a person at the screen and
//! a reader of the serial line should both see what happens.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

/// Every way out to a person.
pub(super) struct Consoles {
    outputs: Vec<File>,
}

impl Consoles {
    /// Opens what `/sys/class/tty/console/active` names; standard output remains when nothing can be opened.
    pub(super) fn open() -> Self {
        let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
        let open = |name: &str| {
            OpenOptions::new()
                .write(true)
                .open(format!("/dev/{name}"))
                .ok()
        };
        Self {
            outputs: active.split_whitespace().filter_map(open).collect(),
        }
    }

    /// Status lines for people.
    pub(super) fn lines(&mut self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }

    /// One status line for people.
    pub(super) fn line(&mut self, line: &str) {
        self.bare(&format!("enforcer: {line}"));
    }

    /// One line as it is, in one write each so that kernel messages do not split it.
    pub(super) fn bare(&mut self, line: &str) {
        let text = format!("{line}\r\n");
        if self.outputs.is_empty() {
            println!("{line}");
        }
        // A console that went away must not stop the machine's work.
        self.outputs
            .retain_mut(|output| output.write_all(text.as_bytes()).is_ok());
    }
}
