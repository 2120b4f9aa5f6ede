//! Which pulls run, wait and have ended; in memory only: what a pull brought is in the store, and asked for again it goes on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{PullError, Wanted};
use crate::{
    federation::lock,
    state::{Timestamp, image::VersionId, number::PullId},
};

/// Pulls at work at once: a line between sites is full with one, and a site that is slow must not hold up another.
const AT_ONCE: usize = 2;
/// Pulls remembered; those that ended first are forgotten first.
const MAX: usize = 64;

/// A pull.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Its number.
    pub id: PullId,
    /// What was asked for.
    pub wanted: Wanted,
    /// The version there, once it is known.
    pub version: Option<u32>,
    /// Where it stands.
    pub state: PullState,
    /// Chunks that are here, and how many the image has.
    pub chunks: (u64, u64),
    /// Bytes that the store had to add, compressed.
    pub new_bytes: u64,
    /// Since when.
    pub since: Timestamp,
}

/// Where a pull stands.
#[derive(Debug, Clone)]
pub enum PullState {
    /// Others are before it.
    Waiting,
    /// It is at work.
    Running,
    /// It is this version here.
    Done(VersionId),
    /// It is not here.
    Failed(Arc<PullError>),
}

impl PullState {
    /// Whether it goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Waiting | Self::Running => true,
            Self::Done(_) | Self::Failed(_) => false,
        }
    }
}

/// The book of them.
#[derive(Debug)]
pub(in crate::federation) struct Pulls {
    all: Mutex<BTreeMap<PullId, (Pull, CancellationToken)>>,
    turns: Semaphore,
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

impl Pulls {
    /// The pull of what is wanted; with a token when it is a new one, which the caller has to begin.
    pub(super) fn begin(
        &self,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<(Pull, Option<CancellationToken>), PullError> {
        let mut all = lock(&self.all);
        let same = |p: &Pull| p.state.is_open() && p.wanted == wanted;
        if let Some((pull, _)) = all.values().find(|(p, _)| same(p)) {
            return Ok((pull.clone(), None));
        }
        if all.len() >= MAX {
            let ended = all.iter().find(|(_, (p, _))| !p.state.is_open());
            let ended = *ended.ok_or(PullError::Busy)?.0;
            all.remove(&ended);
        }
        let pull = Pull {
            id: PullId(all.keys().next_back().map_or(1, |last| last.0 + 1)),
            wanted,
            version: None,
            state: PullState::Waiting,
            chunks: (0, 0),
            new_bytes: 0,
            since: now,
        };
        let cancel = CancellationToken::new();
        all.insert(pull.id, (pull.clone(), cancel.clone()));
        Ok((pull, Some(cancel)))
    }

    /// Its turn; held while it is at work.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.turns.acquire().await.ok()
    }

    pub(super) fn change(&self, id: PullId, change: impl FnOnce(&mut Pull)) {
        if let Some((pull, _)) = lock(&self.all).get_mut(&id) {
            change(pull);
        }
    }

    pub(super) fn all(&self) -> Vec<Pull> {
        lock(&self.all).values().map(|(p, _)| p.clone()).collect()
    }

    pub(super) fn cancel(&self, id: PullId) -> bool {
        let all = lock(&self.all);
        let known = all.get(&id);
        known.inspect(|(_, cancel)| cancel.cancel()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::user::Asker;

    fn wanted(n: usize) -> Wanted {
        Wanted {
            site: "hq".parse().unwrap(),
            image: format!("image{n}").parse().unwrap(),
            name: "here".parse().unwrap(),
            asker: Asker {
                caller: "ann".to_owned(),
                admin: false,
            },
            owner: None,
        }
    }

    #[test]
    fn what_is_on_its_way_is_not_begun_twice_and_the_ended_make_room() {
        let pulls = Pulls::default();
        let now = Timestamp::UNIX_EPOCH;
        let (first, begun) = pulls.begin(wanted(0), now).unwrap();
        assert!(begun.is_some());
        let (again, begun) = pulls.begin(wanted(0), now).unwrap();
        assert_eq!((again.id, begun.is_some()), (first.id, false));
        for n in 1..MAX {
            pulls.begin(wanted(n), now).unwrap();
        }
        assert!(matches!(
            pulls.begin(wanted(MAX), now),
            Err(PullError::Busy)
        ));
        let failed = PullState::Failed(Arc::new(PullError::Cancelled));
        pulls.change(first.id, |p| p.state = failed);
        let (next, begun) = pulls.begin(wanted(0), now).unwrap();
        assert!(
            begun.is_some() && next.id > first.id,
            "a failed one is tried again"
        );
        assert_eq!(pulls.all().len(), MAX);
        assert!(!pulls.cancel(first.id), "it was forgotten");
        assert!(pulls.cancel(next.id));
    }
}
