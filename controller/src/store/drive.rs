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
    let (mut rhythm, mut due) = (Rhythm::default(), None);
    let mut ended = Instant::now();
    loop {
        let (jobs, control) = match wait(&shared.notes, &mut inbox, &mut due, options).await {
            Message::Run(job) => {
                rhythm.idle = ended.elapsed();
                gather(job, &mut inbox, &mut rhythm, options).await
            }
            Message::Control(control) => (Vec::new(), Some(control)),
        };
        let (size, began) = (jobs.len(), Instant::now());
        writer.run(
            jobs,
            matches!(control, Some(ref c) if !matches!(c, Control::Policy(..))),
        );
        ended = Instant::now();
        rhythm.committed(size, ended - began);
        match control {
            None | Some(Control::FlushDue) => {}
            Some(Control::Policy(policy, done)) => {
                writer.set_policy(*policy);
                let _ = done.send(());
            }
            Some(Control::Flush(done)) => {
                let _ = done.send(());
            }
            Some(Control::Snapshot(reply)) => {
                let _ = reply.send(writer.snapshot());
            }
            Some(Control::Audit(reply)) => {
                let _ = reply.send(writer.audit());
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

/// Shorter waits are none: the timer counts milliseconds and would make one or two of them.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// So many askers are worth a wait on a quick disk. At 5,000 leases a second they come while one commit runs and in the
/// millisecond after it; a commit of each on its own took all of the one core of a small board, and commits of four a tenth
/// more of it than these.
const CROWD: usize = 8;
/// A wait that brought no more than these was in vain.
const FEW: usize = 3;
/// Commits without a wait after one that was in vain.
const DISCOURAGED: u32 = 16;

/// What the last commits tell about how many askers will come soon.
#[derive(Debug, Default, Clone, Copy)]
struct Rhythm {
    /// Transitions in the last commit.
    size: usize,
    /// How long the last commit took.
    took: Duration,
    /// How long the writer had nothing to do after it.
    idle: Duration,
    /// Commits to go without a wait.
    discouraged: u32,
}

/// A wait for more askers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience {
    wait: Duration,
    /// So many are enough.
    enough: usize,
}

impl Rhythm {
    fn committed(&mut self, size: usize, took: Duration) {
        (self.size, self.took) = (size, took);
        self.discouraged = self.discouraged.saturating_sub(1);
    }

    /// Whether, and how long, to wait for more before the next commit.
    ///
    /// After a slow commit of many, askers come in a crowd again: a quarter of it is waited for as many, which saves every
    /// second fsync. After a quick one whoever comes later is soon served by the next; but when the writer works more than
    /// it rests, commits of one or two eat a processor that a small board does not have.
    fn patience(&self, most: Duration) -> Option<Patience> {
        let wait = most.min(self.took / 4);
        if wait >= WAIT_MIN {
            let enough = self.size;
            return Some(Patience { wait, enough });
        }
        let busy = self.idle < self.took && most >= WAIT_MIN;
        (busy && self.discouraged == 0).then_some(Patience {
            wait: WAIT_MIN,
            enough: CROWD,
        })
    }

    /// A wait ended with so many askers. A few that ask again only after they were answered never make a crowd.
    fn waited(&mut self, jobs: usize) {
        if jobs <= FEW {
            self.discouraged = DISCOURAGED;
        }
    }
}

/// What is queued behind `first`, up to a batch; see [`Rhythm::patience`]. A lone asker is served at once.
async fn gather(
    first: Box<dyn Job>,
    inbox: &mut mpsc::Receiver<Message>,
    rhythm: &mut Rhythm,
    options: Options,
) -> (Vec<Box<dyn Job>>, Option<Control>) {
    let patience = rhythm.patience(options.gather);
    let deadline = patience.map(|p| (Instant::now() + p.wait, p.enough));
    let mut jobs = vec![first];
    while jobs.len() < options.batch {
        let message = match (inbox.try_recv(), deadline) {
            (Ok(message), _) => message,
            (Err(_), Some((deadline, enough))) if jobs.len() < enough => {
                let Ok(message) = timeout_at(deadline, inbox.recv()).await else {
                    rhythm.waited(jobs.len());
                    break;
                };
                message.unwrap_or(Message::Control(Control::Abandoned))
            }
            (Err(_), _) => break,
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

    const MOST: Duration = Duration::from_millis(2);

    fn after(size: usize, took_us: u64, idle_us: u64) -> Rhythm {
        let mut rhythm = Rhythm::default();
        rhythm.committed(size, Duration::from_micros(took_us));
        rhythm.idle = Duration::from_micros(idle_us);
        rhythm
    }

    #[test]
    fn after_a_slow_commit_a_quarter_of_it_is_waited_for_as_many_and_never_longer_than_the_limit() {
        for (took_ms, wait_us) in [(4, 1000), (6, 1500), (100, 2000)] {
            let patience = after(20, took_ms * 1000, 1_000_000).patience(MOST);
            let wait = Duration::from_micros(wait_us);
            assert_eq!(
                patience,
                Some(Patience { wait, enough: 20 }),
                "{took_ms} ms"
            );
        }
    }

    #[test]
    fn after_a_quick_commit_only_a_writer_that_works_more_than_it_rests_waits() {
        assert_eq!(after(1, 200, 300).patience(MOST), None);
        let enough = |size| after(size, 200, 100).patience(MOST).map(|p| p.enough);
        assert_eq!(enough(1), Some(CROWD));
        // Not as many as last time: whoever waited for those made the next commit larger still.
        assert_eq!(enough(30), Some(CROWD));
        assert_eq!(after(1, 200, 100).patience(Duration::ZERO), None);
    }

    #[test]
    fn a_wait_in_vain_is_not_repeated_soon() {
        let mut rhythm = after(1, 200, 100);
        rhythm.waited(FEW + 1);
        assert!(rhythm.patience(MOST).is_some());
        rhythm.waited(FEW);
        let commits = (0..).take_while(|_| {
            let waits = rhythm.patience(MOST).is_some();
            rhythm.committed(1, Duration::from_micros(200));
            !waits
        });
        assert_eq!(commits.count() as u32, DISCOURAGED);
    }
}
