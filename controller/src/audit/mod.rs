//! Copies of the audit outside the database: a file of JSON lines, and the journal. Each is written by a task of its own that
//! follows the record, so that nobody waits for a copy; one that cannot be written is told of once and tried again.

mod file;
mod journal;

use std::{io, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::{JoinSet, spawn_blocking},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{file::File, journal::Journal};
use crate::{
    config::AuditSettings,
    http::api::audit::AuditDoc,
    metrics::{Counter, Metrics},
    state::{View, audit::Book},
    store::{Store, StoreError},
};

/// Events looked at for one write.
const BATCH: usize = 256;
/// The pause after a write that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Where lines are copied to.
trait Target: Send + Sync + 'static {
    /// For people: `the file /var/log/audit.jsonl`.
    fn name(&self) -> String;

    /// The word of the metric.
    fn label(&self) -> &'static str;

    /// The number of the last line that is there, if that can be known.
    fn last(&mut self) -> Option<u64>;

    /// Adds lines: all of them or, as far as can be seen, none.
    fn add(&mut self, lines: &[AuditDoc]) -> io::Result<()>;

    /// Lets go of what may have been moved away.
    fn reopen(&mut self) {}
}

/// Starts the copies that the configuration wants.
pub fn start(
    settings: &AuditSettings,
    store: &Store,
    metrics: &Arc<Metrics>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) {
    let mut copies: Vec<Box<dyn Target>> = Vec::new();
    if let Some(path) = &settings.file {
        copies.push(Box::new(File::new(path.clone())));
    }
    if settings.journal {
        copies.push(Box::new(Journal::of_this_host()));
    }
    for copy in copies {
        let (store, metrics) = (store.clone(), Arc::clone(metrics));
        let mirror = Mirror::new(store, metrics, copy);
        tasks.spawn(mirror.run(stop.clone()).boxed());
    }
}

/// One copy and what it is made of.
struct Mirror {
    store: Store,
    metrics: Arc<Metrics>,
    /// `None` only while it is being written.
    copy: Option<Box<dyn Target>>,
    /// Grows with the record, and where it stood at the start.
    newest: watch::Receiver<u64>,
    start: u64,
    failing: bool,
    /// After a write that failed; [`PAUSE`].
    pause: Duration,
}

/// What to write next.
struct Piece {
    lines: Vec<AuditDoc>,
    /// The last number that was looked at.
    seen: u64,
}

impl Mirror {
    /// What happens from now on is copied.
    fn new(store: Store, metrics: Arc<Metrics>, copy: Box<dyn Target>) -> Self {
        let newest = store.subscribe();
        let start = *newest.borrow();
        Self {
            newest,
            start,
            store,
            metrics,
            copy: Some(copy),
            failing: false,
            pause: PAUSE,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "SIGHUP cannot be heard; a moved audit file is noticed all the same"))
            .ok();
        let mut newest = self.newest.clone();
        let mut cursor = self.begin(self.start).await;
        loop {
            newest.borrow_and_update();
            let failed = match self.piece(cursor).await {
                Ok(piece) if piece.seen == cursor => false,
                Ok(piece) => {
                    let seen = piece.seen;
                    if self.add(piece.lines).await {
                        cursor = seen;
                        continue;
                    }
                    true
                }
                Err(StoreError::Closed) => return,
                Err(_) => true,
            };
            let pause_after = self.pause;
            let pause = async {
                match failed {
                    true => tokio::time::sleep(pause_after).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return self.finish(cursor).await,
                // While it fails the pause alone counts: the record may grow at each moment.
                changed = newest.changed(), if !failed => if changed.is_err() { return },
                () = pause => {}
                () = hung_up(hangup.as_mut()) => self.with(|copy| copy.reopen()).await.unwrap_or_default(),
            }
        }
    }

    /// Where to go on: behind the last line that is there, or with what happens from now on.
    async fn begin(&mut self, newest: u64) -> u64 {
        let last = self.with(|copy| copy.last()).await.flatten();
        // A record that is younger than the copy is a restored backup.
        last.filter(|last| *last <= newest).unwrap_or(newest)
    }

    /// What was noted until the stop is copied, if that can be done at once.
    async fn finish(mut self, mut cursor: u64) {
        while let Ok(piece) = self.piece(cursor).await {
            let seen = piece.seen;
            if seen == cursor || !self.add(piece.lines).await {
                return;
            }
            cursor = seen;
        }
    }

    /// From the view; from the database what is no longer there.
    async fn piece(&self, cursor: u64) -> Result<Piece, StoreError> {
        let view = self.store.view();
        if view
            .oldest_event()
            .is_none_or(|oldest| oldest <= cursor + 1)
        {
            return Ok(recent(&view, cursor));
        }
        let audit = self.store.audit().await?;
        let page = spawn_blocking(move || audit.after(cursor, BATCH, &|_| true)).await;
        let page = page.map_err(|_| StoreError::Panicked)??;
        let newest = view.next_event() - 1;
        Ok(Piece {
            lines: page.events.iter().map(|e| AuditDoc::of(e, &view)).collect(),
            seen: page.next.unwrap_or(newest).max(cursor),
        })
    }

    /// Whether they are written.
    async fn add(&mut self, lines: Vec<AuditDoc>) -> bool {
        if lines.is_empty() {
            return true;
        }
        let count = lines.len() as u64;
        let written = self
            .with(move |copy| (copy.add(&lines), copy.name(), copy.label()))
            .await;
        let Some((written, name, label)) = written else {
            return false;
        };
        match written {
            Ok(()) => {
                self.metrics.add(Counter::AuditMirror, label, count);
                if std::mem::take(&mut self.failing) {
                    info!("the audit is copied again, and nothing is missing: {name}");
                }
                true
            }
            Err(error) => {
                self.metrics.count(Counter::AuditMirror, "failed");
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(%error, "the audit cannot be copied; it is tried again, and the database has it all the same: {name}: {}", cure(&error));
                }
                false
            }
        }
    }

    /// Does what may wait for a disk, on a thread for that. `None` when that thread died, or the copy with it.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Target) -> T + Send + 'static,
    ) -> Option<T> {
        let mut copy = self.copy.take()?;
        let done = spawn_blocking(move || {
            let done = work(&mut *copy);
            (done, copy)
        });
        let (done, copy) = done.await.ok()?;
        self.copy = Some(copy);
        Some(done)
    }
}

fn recent(view: &View, cursor: u64) -> Piece {
    let mut piece = Piece {
        lines: Vec::new(),
        seen: cursor,
    };
    for event in view.events_after(cursor).take(BATCH) {
        piece.seen = event.seq;
        if Book::of(&event.draft).is_some() {
            piece.lines.push(AuditDoc::of(event, view));
        }
    }
    piece
}

async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn cure(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => "its disk is full: make room on it",
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            "let the daemon's user write there, or name another file in `[audit] file`"
        }
        Kind::NotFound | Kind::NotADirectory => "make its folder",
        _ => "look at what is there",
    }
}

#[cfg(test)]
mod tests;
