//! Rows in memory, for tests: refuses one commit in five as if somebody else had written first, so that everything that
//! would break on a cluster store breaks here. Clones share the rows, so that they can be "opened again".

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Backend, BackendError, RawWrite, Table,
    backend::{Snapshot, Visitor},
};

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// See the module.
#[derive(Debug, Clone)]
pub struct Memory {
    rows: Arc<Mutex<Rows>>,
    dice: StdRng,
    refuses: f64,
}

impl Memory {
    /// Empty; refuses one commit in five, the same ones for the same seed.
    #[must_use]
    pub fn contended(seed: u64) -> Self {
        Self {
            rows: Arc::default(),
            dice: StdRng::seed_from_u64(seed),
            refuses: 0.2,
        }
    }

    /// Empty; never refuses.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            refuses: 0.0,
            ..Self::contended(0)
        }
    }
}

impl Backend for Memory {
    fn load(&mut self, visit: &mut Visitor<'_>) -> Result<(), BackendError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .filter(|((table, _), _)| table.is_in_view())
            .try_for_each(|((table, key), value)| visit(*table, key, value))
    }

    fn snapshot(&mut self) -> Result<Snapshot, BackendError> {
        let rows = self
            .rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(Box::new(move |visit| {
            rows.iter()
                .try_for_each(|((table, key), value)| visit(*table, key, value))
        }))
    }

    fn commit(&mut self, writes: &[RawWrite]) -> Result<(), BackendError> {
        if self.dice.random_bool(self.refuses) {
            return Err(BackendError::Conflict);
        }
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for write in writes.iter().cloned() {
            match write.value {
                Some(value) => rows.insert((write.table, write.key), value),
                None => rows.remove(&(write.table, write.key)),
            };
        }
        Ok(())
    }
}
