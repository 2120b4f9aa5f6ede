//! Writes to every console the kernel was given. `/dev/console` alone is only the last one: a person at the screen and
//! a reader of the serial line should both see what happens. A serial line whose other end holds it up (XOFF, an
//! unplugged console server) would stop whoever writes to it, so each console has a thread that may be stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Clears a screen and goes to its upper left corner (ECMA-48 ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Texts that wait for a slow line. The facts take seconds at 115,200 baud; beyond this, texts are dropped.
const WAITING: usize = 1024;

/// A writer needs no more; the default of 2 MiB is never touched, but counts where memory is counted by address space.
const STACK_BYTES: usize = 64 << 10;

/// Every way out to a person; clones write to the same ones.
#[derive(Clone)]
pub(super) struct Consoles(Vec<Console>);

#[derive(Clone)]
struct Console {
    texts: SyncSender<Piece>,
    /// A screen shows one page; a serial line is also a log, which must not be cleared.
    is_screen: bool,
}

enum Piece {
    Text(String),
    /// Everything before this is written when it is taken.
    Written(SyncSender<()>),
}

impl Consoles {
    /// Opens what `/sys/class/tty/console/active` names; standard output remains when nothing can be opened.
    pub(super) fn open() -> Self {
        let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
        let consoles: Vec<Console> = active.split_whitespace().filter_map(console).collect();
        if consoles.is_empty() {
            return Self(writer(io::stdout(), false).into_iter().collect());
        }
        Self(consoles)
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

    /// Waits until everything is written, at most this long on each console: the machine is about to go down.
    pub(super) fn flush(&self, limit: Duration) {
        for console in &self.0 {
            let (written, done) = sync_channel(1);
            if console.texts.try_send(Piece::Written(written)).is_ok() {
                let _too_slow = done.recv_timeout(limit);
            }
        }
    }

    fn write(&self, for_screens: &str, text: &str) {
        for console in &self.0 {
            let before = if console.is_screen { for_screens } else { "" };
            // A console that is slower than the machine loses texts, and the machine loses no time.
            let _full = console
                .texts
                .try_send(Piece::Text(format!("{before}{text}")));
        }
    }
}

fn console(name: &str) -> Option<Console> {
    let file = OpenOptions::new()
        .write(true)
        .open(format!("/dev/{name}"))
        .ok()?;
    let number = name.strip_prefix("tty");
    let is_screen = number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    writer::<File>(file, is_screen)
}

fn writer<W: Write + Send + 'static>(out: W, is_screen: bool) -> Option<Console> {
    let (texts, waiting) = sync_channel(WAITING);
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    // Ends with the process: what it waits for may never come.
    thread.spawn(move || write_all(out, &waiting)).ok()?;
    Some(Console { texts, is_screen })
}

fn write_all(mut out: impl Write, waiting: &Receiver<Piece>) {
    for piece in waiting {
        match piece {
            // A console that went away must not stop the machine's work.
            Piece::Text(text) if out.write_all(text.as_bytes()).is_err() => return,
            Piece::Text(_) => {}
            Piece::Written(done) => {
                let _gave_up = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A line that takes nothing until it is let go.
    struct Held(Receiver<()>);

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _let_go = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_screen_is_cleared_for_a_page_and_a_serial_line_is_not() {
        let (screen, serial) = (Paper::default(), Paper::default());
        let consoles = Consoles(vec![
            writer(screen.clone(), true).unwrap(),
            writer(serial.clone(), false).unwrap(),
        ]);
        consoles.line("started");
        consoles.page(&["a".into(), "b".into()]);
        consoles.flush(Duration::from_secs(10));
        let text = |paper: &Paper| String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text(&serial), "enforcer: started\r\na\r\nb\r\n");
        assert_eq!(
            text(&screen),
            format!("enforcer: started\r\n{CLEAR}a\r\nb\r\n")
        );
    }

    #[test]
    fn a_line_that_is_held_up_holds_up_nobody() {
        let (let_go, held) = sync_channel(0);
        let consoles = Consoles(vec![writer(Held(held), false).unwrap()]);
        for _ in 0..2 * WAITING {
            consoles.line("said to nobody");
        }
        consoles.flush(Duration::ZERO);
        drop(let_go);
    }
}
