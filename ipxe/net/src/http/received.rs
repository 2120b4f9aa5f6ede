//! Which bytes of an activation's files each boot has received: firmware may fetch a file in ranges.
//!
//! Kept in memory only. A restart forgets half-received files, and their machine simply boots the config again: the
//! direction in which nothing is lost.

use std::{collections::HashMap, ops::Range};

use super::NonceReceived;

/// Half-received files remembered; past that the table starts anew.
const MAX: usize = 4096;
/// Separate pieces of one file; a client that scatters more is not believed.
const MAX_PIECES: usize = 64;

/// A file of one boot: nonce, name, session.
type Key = (String, String, String);

/// The memory.
#[derive(Debug, Default)]
pub struct ReceivedFiles {
    partial: HashMap<Key, Vec<Range<u64>>>,
}

impl ReceivedFiles {
    /// Takes in a received piece; true when the file is whole now.
    pub fn add(&mut self, piece: &NonceReceived) -> bool {
        let key = (
            piece.nonce.clone(),
            piece.name.clone(),
            piece.session.clone(),
        );
        if piece.bytes == (0..piece.size) {
            self.partial.remove(&key);
            return true;
        }
        if self.partial.len() >= MAX {
            self.partial.clear();
        }
        let pieces = self.partial.entry(key.clone()).or_default();
        merge(pieces, piece.bytes.clone());
        let whole = matches!(pieces.as_slice(), [all] if *all == (0..piece.size));
        if whole || pieces.len() > MAX_PIECES {
            self.partial.remove(&key);
        }
        whole
    }
}

/// Adds a range to sorted, disjoint ones.
fn merge(pieces: &mut Vec<Range<u64>>, new: Range<u64>) {
    pieces.push(new);
    pieces.sort_by_key(|r| r.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(pieces.len());
    for piece in pieces.drain(..) {
        match merged.last_mut() {
            Some(last) if piece.start <= last.end => last.end = last.end.max(piece.end),
            _ => merged.push(piece),
        }
    }
    *pieces = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: Range<u64>, session: &str) -> NonceReceived {
        NonceReceived {
            nonce: "n".into(),
            name: "f".into(),
            session: session.into(),
            bytes,
            size: 100,
        }
    }

    #[test]
    fn a_file_is_whole_when_its_ranges_cover_it_within_one_boot() {
        let mut received = ReceivedFiles::default();
        assert!(!received.add(&piece(50..100, "a")));
        assert!(
            !received.add(&piece(0..50, "b")),
            "another boot's half does not count"
        );
        assert!(!received.add(&piece(0..49, "a")));
        assert!(received.add(&piece(49..60, "a")));
        assert!(received.add(&piece(0..100, "c")));
    }
}
