//! The facts' digests that ride on gossip: which facts each node would send now, so that whoever keeps facts asks only
//! when something changed. The facts themselves travel over the link.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    codec::CodecError,
    identity::{Identity, NodeId},
    membership::MAX_MEMBERS,
};

/// The first 16 bytes of a digest over a node's facts: enough to see a change.
pub type FactsDigest = [u8; 16];

/// "My facts have this digest." The order of the fields is part of the gossip's wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsNote {
    /// Whose facts.
    pub node: NodeId,
    /// The node's generation when it said so.
    pub generation: u32,
    /// Counts up inside the generation.
    pub revision: u32,
    /// Of the facts.
    pub digest: FactsDigest,
}

impl FactsNote {
    /// Whether this note was written after `other`, which is about the same node.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.generation, self.revision) > (other.generation, other.revision)
    }
}

/// A newer note about a node takes the place of an older one in the queue of what is still to be told.
#[derive(Debug)]
pub(crate) struct NoteKey(NodeId);

impl foca::Invalidates for NoteKey {
    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The newest note of each node. Membership and foca each hold one end: foca gives no way back to its handler.
#[derive(Debug, Clone, Default)]
pub(crate) struct FactsBoard(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    newest: HashMap<NodeId, FactsNote>,
    /// Learned since the last look. Emptied after each datagram, which holds some thirty notes at most.
    news: VecDeque<FactsNote>,
}

impl FactsBoard {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Nothing in here panics half-way, and both ends are in one task.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn newest(&self, node: NodeId) -> Option<FactsNote> {
        self.notes().newest.get(&node).copied()
    }

    pub(crate) fn next_news(&self) -> Option<FactsNote> {
        self.notes().news.pop_front()
    }

    /// Drops what is known of nodes that nobody remembers.
    pub(crate) fn retain(&self, known: impl Fn(NodeId) -> bool) {
        self.notes().newest.retain(|node, _| known(*node));
    }

    /// Whether the note was new.
    fn put_up(&self, note: FactsNote) -> bool {
        let mut notes = self.notes();
        let full = notes.newest.len() >= MAX_MEMBERS;
        match notes.newest.entry(note.node) {
            Entry::Occupied(mut known) if note.is_newer_than(known.get()) => {
                known.insert(note);
            }
            Entry::Vacant(unknown) if !full => {
                unknown.insert(note);
            }
            Entry::Occupied(_) | Entry::Vacant(_) => return false,
        }
        notes.news.push_back(note);
        true
    }
}

impl foca::BroadcastHandler<Identity> for FactsBoard {
    type Key = NoteKey;
    type Error = CodecError;

    fn receive_item(
        &mut self,
        data: &[u8],
        _sender: Option<&Identity>,
    ) -> Result<Option<NoteKey>, CodecError> {
        let note = FactsNote::from_bytes(data)?;
        Ok(self.put_up(note).then_some(NoteKey(note.node)))
    }
}

#[cfg(test)]
mod tests {
    use foca::BroadcastHandler;

    use super::*;

    fn note(node: u64, generation: u32, revision: u32) -> FactsNote {
        FactsNote {
            node: NodeId(node),
            generation,
            revision,
            digest: [7; 16],
        }
    }

    fn receive(board: &mut FactsBoard, note: FactsNote) -> bool {
        let told = board.receive_item(&note.to_bytes(), None);
        told.expect("a good note").is_some()
    }

    #[test]
    fn the_newest_note_of_a_node_wins_and_is_told_once() {
        let mut board = FactsBoard::default();
        for (told, news) in [
            (note(1, 1, 1), true),
            (note(1, 1, 1), false),
            (note(1, 1, 3), true),
            (note(1, 1, 2), false),
            (note(1, 2, 1), true),
            (note(1, 1, 9), false),
            (note(2, 1, 1), true),
        ] {
            assert_eq!(receive(&mut board, told), news, "{told:?}");
            assert_eq!(board.next_news(), news.then_some(told));
        }
        assert_eq!(board.newest(NodeId(1)), Some(note(1, 2, 1)));
    }

    #[test]
    fn the_board_is_bounded_and_forgets_whom_nobody_knows() {
        let mut board = FactsBoard::default();
        for node in 0..MAX_MEMBERS as u64 {
            assert!(receive(&mut board, note(node, 1, 1)));
        }
        assert!(
            !receive(&mut board, note(u64::MAX, 1, 1)),
            "one more than it holds"
        );
        assert!(receive(&mut board, note(0, 1, 2)), "known nodes go on");
        board.retain(|node| node == NodeId(0));
        assert!(receive(&mut board, note(u64::MAX, 1, 1)));
    }

    #[test]
    fn a_note_with_a_tail_is_refused() {
        let mut bytes = note(1, 1, 1).to_bytes();
        bytes.push(0);
        assert!(FactsBoard::default().receive_item(&bytes, None).is_err());
    }
}
