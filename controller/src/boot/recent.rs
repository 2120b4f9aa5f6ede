//! A bounded memory of what strangers say: what was said longest ago makes room.
//!
//! Anybody on the segment can fill it with invented names, so that making room must not take longer when it is full
//! (measured when it did: from the 16,385th station on, DHCP answered half as many).

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// Entries kept: four times as many stations as may be pending.
const MAX: usize = 16_384;

/// The memory.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    /// With the turn in which each was said.
    entries: HashMap<K, (u64, V)>,
    turns: BTreeMap<u64, K>,
    turn: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Remembers `value`, instead of what was said of `key` before.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.turn += 1;
        if let Some((before, _)) = self.entries.insert(key, (self.turn, value)) {
            self.turns.remove(&before);
        }
        self.turns.insert(self.turn, key);
        if self.entries.len() > MAX
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    /// What was said of `key` last.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_longest_ago_makes_room() {
        let mut memory = Recent::default();
        (0..MAX).for_each(|n| memory.insert(n, n));
        memory.insert(0, 7); // said again
        memory.insert(MAX, 1);
        assert_eq!((memory.get(&0), memory.get(&MAX)), (Some(&7), Some(&1)));
        assert_eq!((memory.get(&1), memory.get(&2)), (None, Some(&2)));
    }

    #[test]
    fn a_flood_takes_bounded_room() {
        let mut memory = Recent::default();
        for n in 0..3 * MAX {
            memory.insert(n, ());
            memory.insert(n / 2, ());
        }
        assert_eq!((memory.entries.len(), memory.turns.len()), (MAX, MAX));
    }
}
