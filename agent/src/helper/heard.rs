//! Which stations another boot server was heard to answer, and when.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ipxe::MacAddr;
use tokio::time::Instant;

/// Stations remembered; what was heard counts for seconds only, so that a full table starts anew.
const MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<HashMap<MacAddr, Instant>>);

impl Heard {
    /// Another offers this station something to boot.
    pub(super) fn note(&self, station: MacAddr, now: Instant) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= MAX {
            heard.clear();
        }
        heard.insert(station, now);
    }

    /// Whether another has offered it something since `began`.
    pub(super) fn since(&self, station: MacAddr, began: Instant) -> bool {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&station).is_some_and(|at| *at >= began)
    }
}
