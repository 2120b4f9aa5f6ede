//! What machines proved while the controller was away: kept on the disk until it is told, oldest first.
//!
//! Each piece is idempotent at the controller, so that one told twice, after a crash in between, changes nothing.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use mesh_proto::{json, message::boot::BootAsk};

/// Pieces kept; a room that boots for days without its controller has fewer. What comes then is refused: the machine says
/// it again.
const MAX: usize = 4096;
/// The end of the name of a piece that is not whole.
const PART: &str = ".part";

/// The folder.
#[derive(Debug)]
pub(super) struct Outbox {
    folder: PathBuf,
    /// The number of the next piece, and how many there are.
    next: Mutex<(u64, usize)>,
}

impl Outbox {
    /// Opens the folder and makes it when it is not there.
    ///
    /// # Errors
    /// As the disk fails.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let numbers = numbers(folder)?;
        let next = numbers.last().map_or(0, |last| last + 1);
        Ok(Self {
            folder: folder.to_owned(),
            next: Mutex::new((next, numbers.len())),
        })
    }

    /// Keeps a piece; it is on the disk when this returns.
    ///
    /// # Errors
    /// As the disk fails, or when there are too many.
    pub(super) fn keep(&self, piece: &BootAsk) -> io::Result<()> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.1 >= MAX {
            return Err(io::Error::other("too much waits for the controller"));
        }
        let bytes = serde_json::to_vec(piece)?;
        let path = self.path(next.0);
        let part = path.with_extension("part");
        let mut file = fs::File::create(&part)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        fs::File::open(&self.folder)?.sync_all()?;
        *next = (next.0 + 1, next.1 + 1);
        Ok(())
    }

    /// The oldest piece. One that cannot be read any more is dropped.
    pub(super) fn oldest(&self) -> Option<(u64, BootAsk)> {
        loop {
            let number = *numbers(&self.folder).ok()?.first()?;
            let piece = fs::read(self.path(number)).ok();
            match piece.and_then(|bytes| json::from_slice(&bytes).ok()) {
                Some(piece) => return Some((number, piece)),
                None => self.told(number).ok()?,
            }
        }
    }

    /// The controller has it.
    ///
    /// # Errors
    /// As the disk fails: it will be told again.
    pub(super) fn told(&self, number: u64) -> io::Result<()> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        fs::remove_file(self.path(number))?;
        next.1 = next.1.saturating_sub(1);
        Ok(())
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.1 == 0
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}"))
    }
}

/// The numbers of all pieces, oldest first; halves of an earlier run go.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(PART)
            && let Ok(number) = name.parse()
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(nonce: &str) -> BootAsk {
        BootAsk::Callback {
            nonce: nonce.to_owned(),
            failure: None,
        }
    }

    #[test]
    fn what_was_kept_is_there_after_a_crash_in_order_until_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        (0..12).for_each(|n| outbox.keep(&piece(&n.to_string())).unwrap());
        fs::write(folder.path().join("0000000000000099.part"), "{").unwrap();
        fs::write(outbox.path(0), "torn").unwrap();
        drop(outbox);
        let outbox = Outbox::open(folder.path()).unwrap();
        outbox.keep(&piece("last")).unwrap();
        let mut said = Vec::new();
        while let Some((number, piece)) = outbox.oldest() {
            assert_eq!(outbox.oldest(), Some((number, piece.clone())), "until told");
            outbox.told(number).unwrap();
            said.push(piece);
        }
        let whole = (1..12).map(|n| piece(&n.to_string()));
        assert_eq!(said, whole.chain([piece("last")]).collect::<Vec<_>>());
        assert!(outbox.is_empty());
    }
}
