//! The agent's log of this boot: what the agent says and what the kernel says, numbered, kept until a controller has it.
//! Whoever speaks holds a [`Journal`]; whoever has a link takes chunks and acknowledges them.

mod buffer;
pub(crate) mod kernel;

use std::sync::{Arc, Mutex, PoisonError};

use mesh_proto::message::link::LogLine;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

pub use buffer::LogBuffer;

/// A handle to the log; clones speak into the same one.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

/// Where a line is shown besides being kept.
type Echo = Box<dyn Fn(&str) + Send + Sync>;

struct Shared {
    buffer: Mutex<LogBuffer>,
    news: Notify,
    echo: Echo,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// A log that begins with this number and shows the agent's own lines through `echo`.
    #[must_use]
    pub fn new(first: u64, echo: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            buffer: Mutex::new(LogBuffer::starting_at(first)),
            news: Notify::new(),
            echo: Box::new(echo),
        }))
    }

    /// The agent says something: a sentence without its end.
    pub fn say(&self, text: &str) {
        let line = self.note(uptime_ms(), "agent", text);
        (self.0.echo)(&line.text);
    }

    /// Keeps a line without showing it.
    pub fn note(&self, uptime_ms: u64, source: &str, text: &str) -> LogLine {
        let line = self.with(|buffer| buffer.push(uptime_ms, source, text).clone());
        self.0.news.notify_one();
        line
    }

    /// The next lines a controller does not have, with the first one's number; waits until there are some.
    pub async fn chunk(&self) -> (u64, Vec<LogLine>) {
        loop {
            let (first, lines) = self.with(|buffer| buffer.chunk());
            if !lines.is_empty() {
                return (first, lines);
            }
            self.0.news.notified().await;
        }
    }

    /// A controller has the lines before this number.
    pub fn acknowledge(&self, before: u64) {
        self.with(|buffer| buffer.acknowledge(before));
    }

    fn with<T>(&self, act: impl FnOnce(&mut LogBuffer) -> T) -> T {
        // A panic while a line was pushed leaves at worst one line less.
        act(&mut self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Milliseconds since the machine's kernel started, time asleep included.
#[must_use]
pub fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let whole = u64::try_from(now.tv_sec).unwrap_or(0) * 1000;
    whole + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiting_sender_is_woken_and_what_it_lost_is_sent_again() {
        let journal = Journal::new(5, |_| {});
        let speaker = journal.clone();
        let (chunk, ()) = tokio::join!(journal.chunk(), async { speaker.say("hello") });
        assert_eq!(
            (
                chunk.0,
                chunk.1[0].text.as_str(),
                chunk.1[0].source.as_str()
            ),
            (5, "hello", "agent")
        );
        assert_eq!(journal.chunk().await, chunk);
        journal.acknowledge(6);
        speaker.note(1, "kernel", "next");
        assert_eq!(journal.chunk().await.0, 6);
    }
}
