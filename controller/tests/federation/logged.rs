//! What the federation logs, for claims about single lines: all tests of this program log into one list.

use std::{
    io,
    sync::{Mutex, Once},
    time::Duration,
};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes the lines of the federation.
struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains("enforcer::federation") {
            LINES.lock().unwrap().push(line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines are kept from now on.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(|| Sink);
        tracing::subscriber::set_global_default(lines.finish()).unwrap();
    });
}

/// How many lines have all these words.
pub(crate) fn count(words: &[&str]) -> usize {
    let lines = LINES.lock().unwrap();
    let fits = |line: &&String| words.iter().all(|word| line.contains(word));
    lines.iter().filter(fits).count()
}

/// Waits for more than `before` of them, after `what` happened.
pub(crate) async fn more(what: &str, before: usize, words: &[&str]) {
    let more = async {
        while count(words) <= before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let logged = tokio::time::timeout(Duration::from_secs(20), more).await;
    assert!(logged.is_ok(), "{what}: no line with {words:?}");
}
