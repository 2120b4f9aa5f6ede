//! A manifest's pieces, put in order while their chunks are worked on by several threads.

use std::collections::VecDeque;

use image::{Builder, ChunkId, Manifest, ManifestError};

/// What is known about pieces that an earlier one still holds up.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Holes(u64),
    Waiting,
    Done(ChunkId),
}

/// Pieces in order.
#[derive(Debug)]
pub(super) struct Order {
    builder: Builder,
    slots: VecDeque<Slot>,
    /// Slots that are in the builder already.
    passed: u64,
}

impl Order {
    pub(super) fn new(builder: Builder) -> Self {
        Self {
            builder,
            slots: VecDeque::new(),
            passed: 0,
        }
    }

    /// The next piece is a hole.
    pub(super) fn hole(&mut self) {
        match self.slots.back_mut() {
            None => self.builder.push(None),
            Some(Slot::Holes(count)) => *count += 1,
            Some(Slot::Waiting | Slot::Done(_)) => self.slots.push_back(Slot::Holes(1)),
        }
    }

    /// The next piece is worked on; [`done`](Self::done) takes the ticket.
    pub(super) fn waiting(&mut self) -> u64 {
        self.slots.push_back(Slot::Waiting);
        self.passed + self.slots.len() as u64 - 1
    }

    /// The piece of this ticket is chunk `id`.
    pub(super) fn done(&mut self, ticket: u64, id: ChunkId) {
        let at = usize::try_from(ticket - self.passed).expect("a slot that is still there");
        self.slots[at] = Slot::Done(id);
        loop {
            match self.slots.front() {
                None | Some(Slot::Waiting) => return,
                Some(Slot::Holes(count)) => self.builder.push_holes(*count),
                Some(Slot::Done(id)) => self.builder.push(Some(*id)),
            }
            self.slots.pop_front();
            self.passed += 1;
        }
    }

    /// All pieces are done.
    pub(super) fn finish(self, size: u64) -> Result<Manifest, ManifestError> {
        debug_assert!(self.slots.is_empty());
        self.builder.finish(size)
    }
}

#[cfg(test)]
mod tests {
    use image::ChunkSize;

    use super::*;

    #[test]
    fn pieces_that_are_done_out_of_order_come_out_in_order() {
        let id = |n: u8| ChunkId::of(&[n]);
        let mut order = Order::new(Builder::new(512, ChunkSize::default()).unwrap());
        order.hole();
        let first = order.waiting();
        order.hole();
        order.hole();
        let second = order.waiting();
        order.done(second, id(2));
        order.done(first, id(1));
        order.hole();
        let third = order.waiting();
        order.done(third, id(3));
        let manifest = order.finish(7 * ChunkSize::default().bytes()).unwrap();
        let ids: Vec<_> = manifest.pieces().map(|piece| piece.id).collect();
        assert_eq!(
            ids,
            [
                None,
                Some(id(1)),
                None,
                None,
                Some(id(2)),
                None,
                Some(id(3))
            ]
        );
    }
}
