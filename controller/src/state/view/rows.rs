//! Tables and indices of what there is little of, or what is seldom asked: one type of map for all tables, and one of set for
//! all indices.
//!
//! A map that shares structure is ten to twenty kilobytes of program for each pair of types in it, and there are dozens.
//! What every packet, boot or lease asks for has maps of its own types beside these.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::state::{
    Key, Record, machine::MachineId, matching::Mark, notify::HookName, record::Kept,
};
use ipxe::MacAddr;

/// A table: its records in the order of their keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rows(OrdMap<Key, Record>);

impl Rows {
    /// The record, as the type that this table is of.
    pub(super) fn get<T: Kept>(&self, key: &Key) -> Option<&Arc<T>> {
        T::of(self.record(key)?)
    }

    /// The record.
    pub(super) fn record(&self, key: &Key) -> Option<&Record> {
        self.0.get(key)
    }

    /// All records, by key.
    pub(super) fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.0.values()
    }

    /// All records as the type that this table is of, by key.
    pub(super) fn all<T: Kept>(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> {
        self.records().filter_map(T::of)
    }

    /// The record with the largest key.
    pub(super) fn last<T: Kept>(&self) -> Option<&Arc<T>> {
        self.all().next_back()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Inserts or replaces.
    pub(super) fn put(&mut self, record: Record) {
        self.0.insert(record.key(), record);
    }

    /// Removes; what was there.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Record> {
        self.0.remove(key)
    }
}

/// What a list of an index is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Under {
    /// Nothing in particular: the index is one list.
    All,
    /// A machine.
    Machine(MachineId),
    /// What tells machines apart.
    Mark(Mark),
    /// A webhook.
    Hook(HookName),
    /// A network card.
    Mac(MacAddr),
}

/// What stands for any key at the ends of a list: between two ranks no key counts.
const ANY: Key = Key::Ring;

/// Lists of keys, each by rank and then by key. A rank is a time in nanoseconds, a place in a queue, or [`UNRANKED`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Index(OrdSet<(Under, i128, Key)>);

/// The rank of what is in the order of its keys alone.
pub(super) const UNRANKED: i128 = 0;

impl Index {
    /// Adds a key to a list. Ranks are never the two ends of their type.
    pub(super) fn insert(&mut self, under: Under, rank: i128, key: Key) {
        self.0.insert((under, rank, key));
    }

    /// Takes a key from a list.
    pub(super) fn remove(&mut self, under: Under, rank: i128, key: Key) {
        self.0.remove(&(under, rank, key));
    }

    /// The keys of a list.
    pub(super) fn list(&self, under: Under) -> impl DoubleEndedIterator<Item = &Key> + use<'_> {
        let start = (under.clone(), i128::MIN, ANY);
        let end = (under, i128::MAX, ANY);
        self.0.range(start..end).map(|(.., key)| key)
    }

    /// How many keys there are in all lists.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::deployment::DeploymentId;

    fn deployment(id: u64) -> Key {
        Key::Deployment(DeploymentId(id))
    }

    #[test]
    fn a_list_is_in_the_order_of_ranks_and_then_of_keys_and_has_nothing_of_others() {
        let (a, b) = (MacAddr([1; 6]), MacAddr([2; 6]));
        let mut index = Index::default();
        let ranks = [i128::from(i64::MIN), -1, UNRANKED, i128::from(i64::MAX)];
        for (id, rank) in [1, 2, 3, 4].into_iter().zip(ranks).rev() {
            index.insert(Under::Mac(a), rank, deployment(id));
        }
        index.insert(Under::Mac(a), UNRANKED, deployment(9));
        index.insert(Under::Mac(b), UNRANKED, deployment(5));
        index.insert(Under::All, UNRANKED, deployment(6));
        let list = |index: &Index, under| index.list(under).cloned().collect::<Vec<_>>();
        let want = [1, 2, 3, 9, 4].map(deployment);
        assert_eq!(list(&index, Under::Mac(a)), want);
        assert_eq!(list(&index, Under::Mac(b)), [deployment(5)]);
        assert_eq!(list(&index, Under::All), [deployment(6)]);
        assert_eq!(index.list(Under::Mac(a)).next_back(), Some(&deployment(4)));

        index.remove(Under::Mac(a), UNRANKED, deployment(9));
        index.remove(Under::Mac(b), UNRANKED, deployment(5));
        assert_eq!(list(&index, Under::Mac(a)).len(), 4);
        assert_eq!((list(&index, Under::Mac(b)).len(), index.len()), (0, 5));
    }
}
