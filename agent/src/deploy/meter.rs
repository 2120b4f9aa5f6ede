//! How far a job is: counted by many lanes, told to the controller and the screen at most twice a second.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mesh_proto::message::job::{JobProgress, Step};

use super::controller::{Controller, Trouble};
use super::fault::Fault;
use super::patience::Patience;

/// At most two reports a second (DESIGN §8).
const BETWEEN_REPORTS: Duration = Duration::from_millis(500);

/// Hears of each report, for the screen.
pub type Watcher<'a> = &'a (dyn Fn(&JobProgress) + Send + Sync);

/// The counter of one job.
pub(super) struct Meter<'a> {
    job: u64,
    controller: &'a dyn Controller,
    patience: Patience,
    watcher: Watcher<'a>,
    done: AtomicU64,
    wire: AtomicU64,
    stopped: AtomicBool,
    last: Mutex<Last>,
}

struct Last {
    step: Step,
    total: u64,
    told: Instant,
}

impl<'a> Meter<'a> {
    pub(super) fn new(
        job: u64,
        controller: &'a dyn Controller,
        patience: Patience,
        watcher: Watcher<'a>,
    ) -> Self {
        Self {
            job,
            controller,
            patience,
            watcher,
            done: AtomicU64::new(0),
            wire: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            last: Mutex::new(Last {
                step: Step::Fetching,
                total: 0,
                told: Instant::now(),
            }),
        }
    }

    /// A new step of so many bytes. It is written down at the controller when this returns: a job that was cancelled
    /// meanwhile touches nothing more.
    pub(super) fn begin(&self, step: Step, total: u64) -> Result<(), Fault> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.done.store(0, Ordering::Relaxed);
        *last = Last {
            step,
            total,
            told: Instant::now(),
        };
        let progress = self.progress(&last);
        (self.watcher)(&progress);
        self.patience.ask(|| self.controller.progress(&progress))
    }

    /// So many more bytes of the step are done.
    pub(super) fn add(&self, bytes: u64) -> Result<(), Fault> {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Fault::Cancelled("another lane was told".to_owned()));
        }
        // Whoever finds the time to be up tells it; the others go on with their work.
        let Ok(mut last) = self.last.try_lock() else {
            return Ok(());
        };
        if last.told.elapsed() < BETWEEN_REPORTS {
            return Ok(());
        }
        last.told = Instant::now();
        let progress = self.progress(&last);
        (self.watcher)(&progress);
        match self.controller.progress(&progress) {
            Err(Trouble::Unwanted(why)) => {
                self.stopped.store(true, Ordering::Relaxed);
                Err(Fault::Cancelled(why))
            }
            // A report that got lost is followed by another.
            Ok(()) | Err(Trouble::Away(_) | Trouble::Refused(_)) => Ok(()),
        }
    }

    /// So many bytes went over the wire.
    pub(super) fn add_wire(&self, bytes: u64) {
        self.wire.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes over the wire so far.
    pub(super) fn wire(&self) -> u64 {
        self.wire.load(Ordering::Relaxed)
    }

    fn progress(&self, last: &Last) -> JobProgress {
        JobProgress {
            job: self.job,
            step: last.step,
            done_bytes: self.done.load(Ordering::Relaxed),
            total_bytes: last.total,
            wire_bytes: self.wire(),
        }
    }
}
