//! Where somebody is killed: at a number of operations of a job, counted over its disk, its words with the controller and
//! the chunks that come.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use enforcer_agent::mesh::Power;

/// What a boot of the management OS comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It said that the machine goes down so.
    Power(Power),
    /// The fuse is blown: kill now.
    Blown,
}

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The job's own process, or its machine: nothing it does works any more.
    Agent,
    /// The controller: the job waits at that point until it is dead, and goes on.
    Controller,
    /// Nobody: the machine stands still, as one with a disk that hangs, until it is let go.
    Nobody,
}

/// Counts operations; clones by `Arc`.
pub(crate) struct Fuse {
    used: AtomicU64,
    at: u64,
    victim: Victim,
    tell: Mutex<Option<Sender<Came>>>,
    killed: Mutex<bool>,
    released: Condvar,
}

/// Longest wait for the killer: a test that forgets to kill fails.
const PATIENCE: Duration = Duration::from_secs(60);

impl Fuse {
    /// Never blows.
    pub(crate) fn none() -> Arc<Self> {
        Self::at(u64::MAX, Victim::Agent)
    }

    pub(crate) fn at(operation: u64, victim: Victim) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            at: operation,
            victim,
            tell: Mutex::default(),
            killed: Mutex::new(false),
            released: Condvar::new(),
        })
    }

    /// Who hears of it.
    pub(crate) fn tells(&self, tell: Sender<Came>) {
        *self.tell.lock().unwrap() = Some(tell);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// The victim is dead.
    pub(crate) fn release(&self) {
        *self.killed.lock().unwrap() = true;
        self.released.notify_all();
    }

    /// Whoever worked here is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.victim == Victim::Agent && *self.killed.lock().unwrap()
    }

    /// One operation.
    pub(crate) fn spend(&self) -> io::Result<()> {
        let used = self.used.fetch_add(1, Ordering::SeqCst);
        if used < self.at {
            return Ok(());
        }
        if used == self.at
            && let Some(tell) = &*self.tell.lock().unwrap()
        {
            let _nobody_kills = tell.send(Came::Blown);
        }
        if used == self.at || self.victim != Victim::Controller {
            let killed = self.killed.lock().unwrap();
            let waited = self
                .released
                .wait_timeout_while(killed, PATIENCE, |killed| !*killed);
            drop(waited);
        }
        match self.victim {
            Victim::Agent => Err(io::Error::other("killed")),
            Victim::Controller | Victim::Nobody => Ok(()),
        }
    }
}
