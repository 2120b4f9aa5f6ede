//! Enrolments that wait for a person. When there are too many, the one that was silent for longest goes.

use std::{collections::HashMap, sync::Mutex};

use quinn::Connection;

use super::{
    lock,
    pulse::{Epoch, Pulse},
};

/// Who waits.
pub(super) struct Pending {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last: u64,
    waiting: HashMap<u64, Waiting>,
}

struct Waiting {
    connection: Connection,
    pulse: Pulse,
}

impl Pending {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            table: Mutex::default(),
        }
    }

    /// Takes a place, which [`leave`](Self::leave) gives back, and says whom that crowded out.
    pub(super) fn enter(&self, connection: &Connection, epoch: Epoch) -> (u64, Option<Connection>) {
        let mut table = lock(&self.table);
        let crowded_out = if table.waiting.len() >= self.most {
            table.longest_silent(&epoch)
        } else {
            None
        };
        table.last += 1;
        let place = table.last;
        let waiting = Waiting {
            connection: connection.clone(),
            pulse: Pulse::new(&epoch, connection),
        };
        table.waiting.insert(place, waiting);
        (place, crowded_out)
    }

    pub(super) fn leave(&self, place: u64) {
        lock(&self.table).waiting.remove(&place);
    }

    pub(super) fn sample(&self, epoch: &Epoch) {
        for waiting in lock(&self.table).waiting.values() {
            waiting.pulse.sample(epoch, &waiting.connection);
        }
    }
}

impl Table {
    /// Of those that were silent equally long, the oldest.
    fn longest_silent(&mut self, epoch: &Epoch) -> Option<Connection> {
        let silent = self
            .waiting
            .iter()
            .min_by_key(|(place, waiting)| (waiting.pulse.heard(epoch), **place));
        let place = *silent?.0;
        self.waiting
            .remove(&place)
            .map(|waiting| waiting.connection)
    }
}
