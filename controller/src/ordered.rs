//! Sorting and collecting in an order, by code that is in the program once. What the standard library makes is four kilobytes for
//! each type of a list; and `collect` into a map or a set sorts a list first.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    mem,
};

/// Sorts a list; equals keep their places.
pub(crate) fn sort_by<T>(list: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let places = places(list.len(), &|a, b| compare(&list[a], &list[b]));
    for (a, b) in swaps(places) {
        list.swap(a, b);
    }
}

/// Where the entry for each place stands now.
fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|a, b| compare(*a, *b));
    places
}

/// The swaps that bring each to its place: circle by circle, fewer than there are places.
fn swaps(mut places: Vec<usize>) -> Vec<(usize, usize)> {
    let mut swaps = Vec::new();
    for start in 0..places.len() {
        let mut at = start;
        loop {
            let from = mem::replace(&mut places[at], at);
            if from == start {
                break;
            }
            swaps.push((at, from));
            at = from;
        }
    }
    swaps
}

/// A map or a set that is in order.
pub(crate) trait Ordered: Default {
    /// What is put into it.
    type Entry;

    /// Puts an entry to the others. Of those with the same key a map keeps the last.
    fn put(&mut self, entry: Self::Entry);
}

impl<K: Ord, V> Ordered for BTreeMap<K, V> {
    type Entry = (K, V);

    fn put(&mut self, (key, value): (K, V)) {
        self.insert(key, value);
    }
}

impl<T: Ord> Ordered for BTreeSet<T> {
    type Entry = T;

    fn put(&mut self, entry: T) {
        self.insert(entry);
    }
}

/// What `collect` does, entry by entry.
pub(crate) trait Gather: Iterator + Sized {
    /// All entries.
    fn gather<C: Ordered<Entry = Self::Item>>(self) -> C {
        let mut all = C::default();
        for entry in self {
            all.put(entry);
        }
        all
    }

    /// All entries, or the first error.
    ///
    /// # Errors
    /// As an entry says.
    fn try_gather<C: Ordered, E>(self) -> Result<C, E>
    where
        Self: Iterator<Item = Result<C::Entry, E>>,
    {
        let mut all = C::default();
        for entry in self {
            all.put(entry?);
        }
        Ok(all)
    }
}

impl<I: Iterator> Gather for I {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(keys: Vec<u8>) {
            let mut ours: Vec<(u8, usize)> = keys.into_iter().zip(0..).collect();
            let mut theirs = ours.clone();
            sort_by(&mut ours, |a, b| a.0.cmp(&b.0));
            theirs.sort_by_key(|pair| pair.0);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn a_map_is_gathered_as_it_is_collected(pairs: Vec<(u8, u16)>) {
            let ours: BTreeMap<u8, u16> = pairs.iter().copied().gather();
            let theirs: BTreeMap<u8, u16> = pairs.into_iter().collect();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn the_first_that_fails_is_told() {
        let of = |all: &[&str]| -> Result<BTreeSet<u8>, String> {
            let read = |text: &&str| text.parse().map_err(|_| (*text).to_owned());
            all.iter().map(read).try_gather()
        };
        assert_eq!(of(&["2", "1", "2"]), Ok(BTreeSet::from([1, 2])));
        assert_eq!(of(&["1", "x", "y"]), Err("x".to_owned()));
    }
}
