//! The writer's thread: what it waits for, and how many askers it takes into one commit.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::error;

use super::{
    Options,
    job::Job,
    notes::Notes,
    writer::{Control, Message, Writer},
};

/// The writer's thread: until it is told to close, or nobody can ask it any more.
pub(super) fn drive(writer: Writer, inbox: mpsc::Receiver<Message>, options: Options) {
    // A runtime of its own, so that waiting for fsync blocks nobody else's tasks.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(writer, inbox, options)),
        Err(error) => error!(%error, "the store's thread cannot start"),
    }
}

async fn serve(mut writer: Writer, mut inbox: mpsc::Receiver<Message>, options: Options) {
    let shared = writer.shared();
    let (mut last, mut due) = (Last::default(), None);
    loop {
        let (jobs, control) = match wait(&shared.notes, &mut inbox, &mut due, options).await {
            Message::Run(job) => gather(job, &mut inbox, last, options).await,
            Message::Control(control) => (Vec::new(), Some(control)),
        };
        let (size, began) = (jobs.len(), Instant::now());
        writer.run(
            jobs,
            matches!(control, Some(ref c) if !matches!(c, Control::Policy(..))),
        );
        last = Last {
            size,
            took: began.elapsed(),
        };
        match control {
            None | Some(Control::FlushDue) => {}
            Some(Control::Policy(policy, done)) => {
                writer.set_policy(*policy);
                let _ = done.send(());
            }
            Some(Control::Flush(done)) => {
                let _ = done.send(());
            }
            Some(Control::Close(done)) => {
                drop(writer);
                let _ = done.send(());
                return;
            }
            Some(Control::Abandoned) => return,
        }
    }
}

/// The next message, or that notes have waited long enough. `due` outlives the call: a batch that changes nothing leaves
/// the notes where they are.
async fn wait(
    notes: &Notes,
    inbox: &mut mpsc::Receiver<Message>,
    due: &mut Option<Instant>,
    options: Options,
) -> Message {
    loop {
        let flush = async {
            match *due {
                Some(at) => sleep_until(at).await,
                None => notes.filled.notified().await,
            }
        };
        tokio::select! {
            biased;
            () = flush => match due.take() {
                Some(_) => return Message::Control(Control::FlushDue),
                None => *due = Some(Instant::now() + options.flush_after),
            },
            message = inbox.recv() => {
                return message.unwrap_or(Message::Control(Control::Abandoned));
            }
        }
    }
}

/// The commit before this one.
#[derive(Debug, Default, Clone, Copy)]
struct Last {
    /// Transitions in it.
    size: usize,
    took: Duration,
}

/// Shorter waits are none: the timer counts milliseconds and would make one or two of them.
const WAIT_MIN: Duration = Duration::from_millis(1);

impl Last {
    /// How long to wait for as many askers again: a quarter of the commit that is saved by it. Where a commit is quick, as
    /// with the state in memory, whoever comes later is soon served by the next one.
    fn patience(self, most: Duration) -> Duration {
        let wait = most.min(self.took / 4);
        if wait < WAIT_MIN {
            Duration::ZERO
        } else {
            wait
        }
    }
}

/// What is queued behind `first`, up to a batch. A lone asker is served at once; after a slow commit of many, askers come
/// in a crowd again, and waiting for as many as last time saves every second fsync.
async fn gather(
    first: Box<dyn Job>,
    inbox: &mut mpsc::Receiver<Message>,
    last: Last,
    options: Options,
) -> (Vec<Box<dyn Job>>, Option<Control>) {
    let patience = last.patience(options.gather);
    let deadline = Instant::now() + patience;
    let mut jobs = vec![first];
    while jobs.len() < options.batch {
        let message = match inbox.try_recv() {
            Ok(message) => message,
            Err(_) if jobs.len() >= last.size || patience.is_zero() => break,
            Err(_) => match timeout_at(deadline, inbox.recv()).await {
                Ok(message) => message.unwrap_or(Message::Control(Control::Abandoned)),
                Err(_) => break,
            },
        };
        match message {
            Message::Run(job) => jobs.push(job),
            Message::Control(control) => return (jobs, Some(control)),
        }
    }
    (jobs, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_commit_is_not_waited_for_and_a_slow_one_never_longer_than_the_limit() {
        let patience = |took_ms| {
            let took = Duration::from_millis(took_ms);
            let last = Last { size: 20, took };
            last.patience(Duration::from_millis(2)).as_micros()
        };
        for (took_ms, wait_us) in [(0, 0), (1, 0), (3, 0), (4, 1000), (6, 1500), (100, 2000)] {
            assert_eq!(patience(took_ms), wait_us, "after a commit of {took_ms} ms");
        }
    }
}
