//! A file that is served while it comes: its first bytes leave when they are here, its last ones when all are known to be right.
//!
//! What a machine must not run is known only at the end, when the sum of all bytes is. So the last [`HELD_BACK`] bytes wait for
//! that: a client that was promised the whole length takes nothing shorter for the file, and a wrong one ends as a
//! connection that breaks.

use std::{fs::File, io, sync::Arc};

use tokio::sync::watch;

/// Bytes at the end that leave only when the file is known to be right. A file that is not longer leaves as a whole.
pub const HELD_BACK: u64 = 64 << 10;

/// How far a file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Arrival {
    Coming(u64),
    Whole,
    Broken(String),
}

/// The file, as readers have it; clones are the same.
#[derive(Debug, Clone)]
pub struct Arriving {
    pub(crate) file: Arc<File>,
    size: u64,
    arrival: watch::Receiver<Arrival>,
}

/// Who writes the file tells here how far it has come. Dropped before the last word, the file is broken.
#[derive(Debug)]
pub struct Arrivals(watch::Sender<Arrival>);

impl Arrivals {
    /// So many bytes, from the first one on, can be read.
    pub fn came(&self, bytes: u64) {
        self.0.send_replace(Arrival::Coming(bytes));
    }

    /// All of them came, and they are right.
    pub fn whole(self) {
        self.0.send_replace(Arrival::Whole);
    }

    /// It will never be whole, or it is another file.
    pub fn broken(self, why: impl Into<String>) {
        self.0.send_replace(Arrival::Broken(why.into()));
    }
}

impl Arriving {
    /// A file of `size` bytes that is being written; `file` reads what is written.
    #[must_use]
    pub fn new(file: File, size: u64) -> (Self, Arrivals) {
        let (tell, arrival) = watch::channel(Arrival::Coming(0));
        let arriving = Self {
            file: Arc::new(file),
            size,
            arrival,
        };
        (arriving, Arrivals(tell))
    }

    /// Length of the whole, bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Up to where it may be read now.
    ///
    /// # Errors
    /// When it is broken.
    pub fn readable(&self) -> io::Result<u64> {
        let gone = self.arrival.has_changed().is_err();
        self.up_to(&self.arrival.borrow(), gone)
    }

    fn up_to(&self, arrival: &Arrival, gone: bool) -> io::Result<u64> {
        match arrival {
            Arrival::Whole => Ok(self.size),
            Arrival::Coming(_) if gone => Err(io::Error::other("who wrote it stopped")),
            Arrival::Coming(bytes) => Ok((*bytes).min(self.size.saturating_sub(HELD_BACK))),
            Arrival::Broken(why) => Err(io::Error::other(why.clone())),
        }
    }

    /// Waits until there is something behind `offset` that may be read, or nothing will be; says up to where.
    ///
    /// # Errors
    /// When it is broken, or breaks.
    pub async fn readable_behind(&self, offset: u64) -> io::Result<u64> {
        let mut arrival = self.arrival.clone();
        loop {
            let until = self.up_to(&arrival.borrow_and_update(), false)?;
            if until > offset || until == self.size {
                return Ok(until);
            }
            if arrival.changed().await.is_err() {
                return self.up_to(&arrival.borrow(), true);
            }
        }
    }

    /// Waits until all of it is here and known to be right.
    ///
    /// # Errors
    /// When it breaks.
    pub async fn whole(&self) -> io::Result<()> {
        let mut arrival = self.arrival.clone();
        let told = arrival.wait_for(|a| !matches!(a, Arrival::Coming(_))).await;
        match told {
            Ok(told) => self.up_to(&told, false).map(drop),
            Err(_) => Err(io::Error::other("who wrote it stopped")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arriving(size: u64) -> (Arriving, Arrivals) {
        Arriving::new(File::open("/dev/null").unwrap(), size)
    }

    #[tokio::test]
    async fn the_last_bytes_wait_for_the_last_word() {
        let (file, arrivals) = arriving(HELD_BACK + 1000);
        assert_eq!(file.readable().unwrap(), 0);
        arrivals.came(600);
        assert_eq!(file.readable_behind(0).await.unwrap(), 600);
        arrivals.came(HELD_BACK + 1000);
        assert_eq!(file.readable_behind(600).await.unwrap(), 1000);
        let last = tokio::spawn({
            let file = file.clone();
            async move { file.readable_behind(1000).await }
        });
        tokio::task::yield_now().await;
        assert!(
            !last.is_finished(),
            "all came, and nobody has said that it is right"
        );
        arrivals.whole();
        assert_eq!(last.await.unwrap().unwrap(), HELD_BACK + 1000);
        file.whole().await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_file_and_one_that_nobody_writes_any_more_are_errors_to_who_waits() {
        let (file, arrivals) = arriving(100);
        arrivals.came(100);
        arrivals.broken("the bytes have another sum");
        let error = file.readable_behind(0).await.unwrap_err();
        assert_eq!(error.to_string(), "the bytes have another sum");
        assert!(file.readable().is_err() && file.whole().await.is_err());
        let (file, arrivals) = arriving(100);
        drop(arrivals);
        assert!(file.readable().is_err() && file.whole().await.is_err());
    }

    #[tokio::test]
    async fn a_file_of_nothing_is_whole_at_its_last_word() {
        let (file, arrivals) = arriving(0);
        arrivals.whole();
        file.whole().await.unwrap();
    }
}
