//! The one writer: runs transitions on a working copy of the view, commits what they write as one transaction, publishes
//! the view, then answers. [`Writer`] is the whole logic, without threads; `drive` is the thread around it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::{
    Audit, Backend, BackendError, Clock, RawWrite, Snapshot, StoreError,
    audit::{Ledger, Sheet},
    handle::{Counts, Shared},
    job::Job,
    load::load,
    notes::{Batch, Notes},
    tables,
};
use crate::state::{
    Changes, Key, Record, Timestamp, View, Write,
    event::{Draft, Event, Recorded},
    policy::Policy,
    view::MAX_EVENTS,
};

/// How often transitions are run again when the backend says that somebody else wrote first. One refusal in five, as the
/// memory backend has it, reaches this once in 10^11 commits.
const MAX_RUNS: usize = 16;
/// How many events are deleted at once when there are too many: a commit in some hundred pays for it.
const RETENTION_BATCH: usize = 256;

/// What the writer is asked.
pub(super) enum Message {
    Run(Box<dyn Job>),
    Control(Control),
}

/// What is done between two batches.
pub(super) enum Control {
    /// Publish these rules.
    Policy(Box<Policy>, oneshot::Sender<()>),
    /// Commit the notes, then tell.
    Flush(oneshot::Sender<()>),
    /// Commit the notes, then give the rows of this moment.
    Snapshot(oneshot::Sender<Result<Snapshot, StoreError>>),
    /// Commit the notes, then give the audit of this moment.
    Audit(oneshot::Sender<Result<Audit, StoreError>>),
    /// Commit the notes because they are old enough.
    FlushDue,
    /// Commit the notes and let the backend go, then tell.
    Close(oneshot::Sender<()>),
    /// The same; nobody is left to be told.
    Abandoned,
}

/// The writer, to be called from one thread.
pub(super) struct Writer {
    backend: Box<dyn Backend>,
    shared: Arc<Shared>,
    /// What is durable and published.
    view: View,
    /// The same of the audit.
    ledger: Ledger,
    /// Whether the last commit failed; to tell the log once, not once a second.
    failing: bool,
}

/// What a batch makes of the view, and the rows to write for it.
struct Plan {
    view: View,
    rows: BTreeMap<Key, Option<Record>>,
    sheet: Sheet,
}

impl Writer {
    /// Loads all rows.
    pub(super) fn open(
        mut backend: Box<dyn Backend>,
        policy: Policy,
        clock: Box<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let view = load(&mut *backend, Arc::new(policy))?;
        let ledger = Ledger::load(&mut *backend)?;
        let shared = Arc::new(Shared {
            view: ArcSwap::from_pointee(view.clone()),
            clock,
            notes: Notes::default(),
            newest: watch::Sender::new(view.next_event() - 1),
            counts: Counts::default(),
        });
        Ok(Self {
            backend,
            shared,
            view,
            ledger,
            failing: false,
        })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Runs the asked transitions as one transaction, with what was noted, and answers. When nothing changes and nobody
    /// wants the notes flushed there is no transaction.
    pub(super) fn run(&mut self, mut asked: Vec<Box<dyn Job>>, flush: bool) {
        let kept = self.try_run(&mut asked, flush);
        self.report(&kept);
        let kept = kept.map(drop);
        let counts = &self.shared.counts;
        counts
            .transitions
            .fetch_add(asked.len() as u64, Ordering::Relaxed);
        for job in asked {
            job.settle(kept.clone());
        }
    }

    /// Whether anything had to be committed.
    fn try_run(&mut self, asked: &mut [Box<dyn Job>], flush: bool) -> Result<bool, StoreError> {
        if !flush && self.change_nothing(asked) {
            return Ok(false);
        }
        let mut noted = self.shared.notes.take();
        let kept = self.commit(&mut noted, asked);
        if kept.is_err() {
            self.shared.notes.restore(noted);
        }
        kept
    }

    /// Whether all of them leave the view as it is; those behind the first that does not are not asked.
    fn change_nothing(&self, asked: &mut [Box<dyn Job>]) -> bool {
        let now = self.shared.clock.now();
        let mut jobs = asked.iter_mut();
        jobs.all(|job| job.run(&self.view, now).is_empty())
    }

    /// The rows as they are now.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, StoreError> {
        Ok(self.backend.snapshot()?)
    }

    /// The audit as it is now.
    pub(super) fn audit(&mut self) -> Result<Audit, StoreError> {
        Ok(Audit::new(self.backend.scan()?))
    }

    /// Publishes other rules.
    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.view.policy = Arc::new(policy);
        self.publish();
    }

    fn commit(
        &mut self,
        noted: &mut Batch,
        asked: &mut [Box<dyn Job>],
    ) -> Result<bool, StoreError> {
        for _ in 0..MAX_RUNS {
            let plan = self.plan(noted, asked);
            if plan.rows.is_empty() {
                return Ok(false);
            }
            match self.backend.commit(&plan.raw()?) {
                Ok(()) => {
                    self.view = plan.view;
                    self.keep_account(&plan.sheet);
                    self.shared.counts.commits.fetch_add(1, Ordering::Relaxed);
                    self.publish();
                    return Ok(true);
                }
                Err(BackendError::Conflict) => {
                    self.shared.counts.conflicts.fetch_add(1, Ordering::Relaxed);
                    self.view = load(&mut *self.backend, self.view.policy.clone())?;
                    self.ledger = Ledger::load(&mut *self.backend)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }

    fn plan(&self, noted: &mut Batch, asked: &mut [Box<dyn Job>]) -> Plan {
        let now = self.shared.clock.now();
        let mut plan = Plan {
            view: self.view.clone(),
            rows: BTreeMap::new(),
            sheet: self.ledger.sheet(),
        };
        for (at, draft) in &noted.drafts {
            plan.record(draft.clone(), *at);
        }
        for job in noted.changes.values_mut().chain(asked) {
            let changes = job.run(&plan.view, now);
            plan.take(changes, now);
        }
        plan.retain();
        if !plan.rows.is_empty() {
            self.ledger.close(&mut plan.sheet);
        }
        plan
    }

    /// The audit's bounds are looked after; what cannot be looked at now is looked at after the next commit.
    fn keep_account(&mut self, sheet: &Sheet) {
        let (retention, now) = (self.view.policy.audit, self.shared.clock.now());
        let looked = self
            .ledger
            .written(sheet, &mut *self.backend, retention, now);
        if let Err(error) = looked {
            warn!(%error, "the audit's oldest lines cannot be read");
        }
    }

    fn publish(&self) {
        self.shared.view.store(Arc::new(self.view.clone()));
        let newest = self.view.next_event() - 1;
        self.shared
            .newest
            .send_if_modified(|seq| std::mem::replace(seq, newest) != newest);
    }

    fn report(&mut self, kept: &Result<bool, StoreError>) {
        match kept {
            Ok(true) if self.failing => {
                info!("the store keeps changes again");
                self.failing = false;
            }
            Ok(_) => {}
            Err(error) => {
                self.shared.counts.failures.fetch_add(1, Ordering::Relaxed);
                if !self.failing {
                    error!(%error, "the store cannot keep changes");
                }
                self.failing = true;
            }
        }
    }
}

impl Plan {
    fn take(&mut self, changes: Changes, now: Timestamp) {
        for write in changes.writes {
            self.write(write);
        }
        for draft in changes.events {
            self.record(draft, now);
        }
    }

    fn record(&mut self, draft: Draft, at: Timestamp) {
        let seq = self.view.next_event();
        let event = Event { seq, at, draft };
        self.sheet.write(&event);
        self.write(Write::Put(Record::Event(event.into())));
    }

    fn write(&mut self, write: Write) {
        self.view.absorb(&write);
        match write {
            Write::Put(record) => self.rows.insert(record.key(), Some(record)),
            Write::Delete(key) => self.rows.insert(key, None),
        };
    }

    /// The rows of the transaction.
    fn raw(&self) -> Result<Vec<RawWrite>, BackendError> {
        let rows = self.rows.iter();
        let mut rows = rows
            .map(|(key, record)| tables::encode(key, record.as_ref()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| BackendError::corrupt("a new row", e))?;
        rows.extend_from_slice(self.sheet.rows());
        Ok(rows)
    }

    /// Deletes the oldest events when there are too many.
    fn retain(&mut self) {
        let count = self.view.event_count();
        if count <= MAX_EVENTS {
            return;
        }
        let surplus = count - MAX_EVENTS + RETENTION_BATCH;
        let oldest: Vec<u64> = self
            .view
            .events_after(0)
            .take(surplus)
            .map(Recorded::seq)
            .collect();
        for seq in oldest {
            self.write(Write::Delete(Key::Event(seq)));
        }
    }
}
