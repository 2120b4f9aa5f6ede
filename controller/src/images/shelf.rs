//! Memory for chunks on their way out, used again and again: what the kernel gives anew it clears first, page by page, which
//! costs as much as to read the chunk.

use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;

use super::lock;

/// Buffers kept while none is needed: what is on its way over one link.
const KEPT: usize = 8;

/// Buffers to be used again. It lives while something is on its way: who gives nothing out keeps no memory for it.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Vec<Vec<u8>>>);

/// A buffer that goes back when nobody needs its bytes any more.
struct Lent {
    bytes: Vec<u8>,
    shelf: Arc<Shelf>,
}

impl Shelf {
    /// The one that is in use, or a new one.
    pub(super) fn shared(place: &Mutex<Weak<Self>>) -> Arc<Self> {
        let mut place = lock(place);
        place.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *place = Arc::downgrade(&new);
            new
        })
    }

    /// A buffer that was used before, or a new one.
    pub(super) fn take(&self) -> Vec<u8> {
        lock(&self.0).pop().unwrap_or_default()
    }

    /// These bytes; their memory comes back.
    pub(super) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        let shelf = Arc::clone(self);
        Bytes::from_owner(Lent { bytes, shelf })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = lock(&self.shelf.0);
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_bytes_are_gone_and_no_memory_stays_when_all_are() {
        let place = Mutex::default();
        let shelf = Shelf::shared(&place);
        let bytes = shelf.lend(vec![7; 1000]);
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(shelf.take().capacity(), 0, "a part of it is still needed");
        drop(part);
        assert_eq!(Shelf::shared(&place).take().capacity(), 1000);
        drop(shelf.lend(vec![7; 1000]));
        drop(shelf);
        assert_eq!(Shelf::shared(&place).take().capacity(), 0);
    }

    #[test]
    fn no_more_is_kept_than_one_link_needs() {
        let shelf = Arc::new(Shelf::default());
        let lent: Vec<_> = (0..KEPT + 3).map(|_| shelf.lend(vec![7; 10])).collect();
        drop(lent);
        assert_eq!(lock(&shelf.0).len(), KEPT);
    }
}
