//! The terminal: lines of several sources in the order in which things happened, a moment after they did.
//!
//! Serial lines come at once, the controller's events within a second (its record is flushed that often). So every line waits a little and
//! is then put in its place. Plain text without cursor movements: the same in a terminal and in a log.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

/// Longer than the controller's record may lag behind.
const HOLD: Duration = Duration::from_millis(1_300);
/// How often waiting lines are looked at; nobody sees the difference.
const LOOK: Duration = Duration::from_millis(100);

/// Something that happened.
#[derive(Debug)]
struct Line {
    at: SystemTime,
    text: String,
}

/// Where lines are handed in, from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Screen(Sender<Line>);

/// The thread that prints; ends when every [`Screen`] is dropped.
#[derive(Debug)]
pub(crate) struct Printer(JoinHandle<()>);

/// A screen and its printer.
pub(crate) fn open() -> (Screen, Printer) {
    let (lines, inbox) = channel();
    (Screen(lines), Printer(thread::spawn(move || print(&inbox))))
}

impl Screen {
    /// A line of `who` ("bios", "uefi", "enforcer"), `since` its power-on.
    pub(crate) fn show(
        &self,
        at: SystemTime,
        since: Option<Duration>,
        who: &str,
        text: impl fmt::Display,
    ) {
        let since = since.map_or_else(String::new, |s| format!("{:.1} s", s.as_secs_f64()));
        let text = format!("{since:>8}  {}  {text}", coloured(who));
        // The printer lives as long as we do; were it gone, nobody would be there to read.
        let _ = self.0.send(Line { at, text });
    }

    /// A sentence between the lines, now.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        let text = format!("\n{text}");
        let at = SystemTime::now();
        let _ = self.0.send(Line { at, text });
    }
}

impl Printer {
    /// Waits until all is printed.
    pub(crate) fn finish(self) {
        let _ = self.0.join();
    }
}

fn print(inbox: &Receiver<Line>) {
    let mut waiting: Vec<Line> = Vec::new();
    loop {
        let open = match inbox.recv_timeout(LOOK) {
            Ok(line) => {
                waiting.push(line);
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        };
        // A stable sort: what came in order at one moment stays so.
        waiting.sort_by_key(|line| line.at);
        let ripe = |line: &Line| !open || line.at.elapsed().is_ok_and(|age| age >= HOLD);
        let count = waiting.iter().take_while(|line| ripe(line)).count();
        for line in waiting.drain(..count) {
            let _ = writeln!(io::stdout(), "{}", line.text);
        }
        if !open {
            return;
        }
    }
}

/// The name in a column, in its own colour on a terminal.
fn coloured(who: &str) -> String {
    let colour = match who {
        "bios" => 36,
        "uefi" => 33,
        _ => 2,
    };
    if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{colour}m{who:<9}\x1b[0m")
    } else {
        format!("{who:<9}")
    }
}
