//! The cloneable handle that everybody has: the two verbs, the notes, and how the store fares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Audit, Backend, BackendError, Behalf, Clock, Snapshot, drive,
    job::{Asked, Job, Made},
    notes::{Notes, Subject},
    writer::{Control, Message, Writer},
};
use crate::state::{Timestamp, Transition, View, event::Draft, policy::Policy};

/// Transitions that may wait for the writer; a full queue makes its askers wait. Four full commits.
const QUEUE: usize = 1_024;

/// Why a transition was not kept. The view stays as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The place that keeps the rows refused.
    #[error(transparent)]
    Backend(#[from] Arc<BackendError>),
    /// Others kept changing the same place.
    #[error("others kept changing the store at the same time; ask again")]
    Contended,
    /// The writer is gone.
    #[error("enforcer is shutting down; ask again when it is up")]
    Closed,
    /// A mistake of ours.
    #[error("this change failed inside enforcer, nothing was kept; please report it with the log")]
    Panicked,
}

impl From<BackendError> for StoreError {
    fn from(error: BackendError) -> Self {
        Self::Backend(Arc::new(error))
    }
}

/// What can be tuned, with the defaults that DESIGN §3 names.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Transitions in one commit. Default 256.
    pub batch: usize,
    /// How long a commit waits at most for as many askers as the last one had. Default 2 ms; a quarter of what the last
    /// commit took if that is less, and a lone asker never waits.
    pub gather: Duration,
    /// How long a note may wait for its commit. Default 1 s.
    pub flush_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch: 256,
            gather: Duration::from_millis(2),
            flush_after: Duration::from_secs(1),
        }
    }
}

/// Counters for `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed.
    pub commits: u64,
    /// Transitions answered.
    pub transitions: u64,
    /// Commits that somebody else's write made us run again.
    pub conflicts: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Notes dropped because their buffer was full.
    pub dropped_notes: u64,
}

/// What handle and writer share.
pub(super) struct Shared {
    pub(super) view: ArcSwap<View>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) notes: Notes,
    pub(super) newest: watch::Sender<u64>,
    pub(super) counts: Counts,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) commits: AtomicU64,
    pub(super) transitions: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// The store; clones are the same one. When the last clone is dropped the notes are flushed and the writer ends.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Message>,
}

impl Store {
    /// Loads all that `backend` keeps and starts the writer.
    ///
    /// # Errors
    /// When rows cannot be read, or no thread can be started.
    pub fn open(
        backend: impl Backend,
        policy: Policy,
        clock: impl Clock,
    ) -> Result<Self, StoreError> {
        Self::open_with(backend, policy, clock, Options::default())
    }

    /// As [`Store::open`], tuned.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(
        backend: impl Backend,
        policy: Policy,
        clock: impl Clock,
        options: Options,
    ) -> Result<Self, StoreError> {
        let writer = Writer::open(Box::new(backend), policy, Box::new(clock))?;
        let shared = writer.shared();
        let (queue, inbox) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || drive::drive(writer, inbox, options))
            .map_err(|e| BackendError::from_io("the store's thread", e))?;
        Ok(Self { shared, queue })
    }

    /// What is known now: everything that was ever acknowledged is in it.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.shared.view.load_full()
    }

    /// The store's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Runs `transition` after all that were asked for before it. When this returns its changes are durable and in the
    /// view; a transition that changes nothing costs no commit. Once asked for it happens, also when the asker goes away.
    ///
    /// # Errors
    /// When the changes could not be made durable; then they are not in the view.
    pub fn apply<T: Transition>(
        &self,
        transition: T,
    ) -> impl Future<Output = Result<T::Outcome, StoreError>> + Send {
        let (reply, answer) = oneshot::channel();
        let made = self.run(Box::new(Asked::new(transition, reply)), answer);
        async { Ok(*made.await?.downcast().expect("what this transition makes")) }
    }

    /// Replaces the site's rules, which are not stored; the view has them when this returns.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(
            Message::Control(Control::Policy(Box::new(policy), reply)),
            answer,
        )
        .await
    }

    /// Records an event without waiting for its commit, which comes within a second; a crash may lose it, and so does
    /// a full buffer, which is counted.
    pub fn note(&self, mut draft: Draft) {
        if let Some(behalf) = Behalf::of_this_task() {
            draft.asked_by(behalf.origin());
            behalf.note();
        }
        self.shared.notes.event(self.now(), draft);
    }

    /// Applies a small change without waiting for its commit, on the same terms. A later change of the same type about
    /// the same station or machine replaces an earlier one that is still waiting.
    pub fn note_change<T: Transition<Outcome = ()>>(&self, about: impl Into<Subject>, change: T) {
        self.shared.notes.change(about.into(), change);
    }

    /// The number of the newest event, and a wake-up at each newer one; see [`View::events_after`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    /// Commits what was noted so far. Returns also when that failed; the notes then wait for the next commit.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Message::Control(Control::Flush(reply)), answer)
            .await
    }

    /// The rows as they are now, with all that was ever acknowledged. Commits go on while they are read.
    ///
    /// # Errors
    /// When they cannot be read, or the store is closed.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let (reply, answer) = oneshot::channel();
        let asked = Message::Control(Control::Snapshot(reply));
        self.ask(asked, answer).await?
    }

    /// The audit as it is now, with all that was noted so far.
    ///
    /// # Errors
    /// When it cannot be read, or the store is closed.
    pub async fn audit(&self) -> Result<Audit, StoreError> {
        let (reply, answer) = oneshot::channel();
        let asked = Message::Control(Control::Audit(reply));
        self.ask(asked, answer).await?
    }

    /// Finishes what is queued, commits the notes and lets the backend go: it can be opened again when this returns.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        // Already closed is as good.
        let _ = self
            .ask(Message::Control(Control::Close(reply)), answer)
            .await;
    }

    /// How the store fares.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = &self.shared.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            commits: read(&counts.commits),
            transitions: read(&counts.transitions),
            conflicts: read(&counts.conflicts),
            failures: read(&counts.failures),
            dropped_notes: self.shared.notes.dropped(),
        }
    }

    async fn run(
        &self,
        job: Box<dyn Job>,
        answer: oneshot::Receiver<Result<Made, StoreError>>,
    ) -> Result<Made, StoreError> {
        self.ask(Message::Run(job), answer).await?
    }

    async fn ask<A>(
        &self,
        message: Message,
        answer: oneshot::Receiver<A>,
    ) -> Result<A, StoreError> {
        self.queue
            .send(message)
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
