//! A pretend disk that does what disks do when the power goes: what was written but not synced is lost, kept or torn,
//! sector by sector and in any order. It can also lie about syncing, fail a sync, or be full.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{Rng, rngs::StdRng};
use redb::StorageBackend;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A pretend disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    seen: Vec<u8>,
    /// What the medium has for certain.
    safe: Vec<u8>,
    /// What was done since the last sync.
    unsynced: Vec<Op>,
    faults: Faults,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Syncs answer without doing anything.
    pub sync_lies: bool,
    /// The next sync fails, once.
    pub sync_fails: bool,
    /// The power goes after so many further writes and syncs.
    pub power_for: Option<u32>,
    /// Bytes that fit.
    pub capacity: Option<u64>,
}

#[derive(Debug)]
enum Op {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Disk {
    /// From now on, this goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Whether the power went.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.lock().faults.power_for == Some(0)
    }

    /// Cuts the power: the disk as it is when the power comes back, with no faults. Of what was not synced, each sector is
    /// kept or lost by the roll of `dice`; a third of the cuts keeps all, or nothing.
    #[must_use]
    pub fn after_power_cut(&self, dice: &mut StdRng) -> Self {
        let state = self.lock();
        let luck = *[0.0, 0.1, 0.5, 0.5, 0.9, 1.0]
            .get(dice.random_range(0..6_usize))
            .unwrap_or(&0.5);
        let mut medium = state.safe.clone();
        for op in &state.unsynced {
            match op {
                Op::SetLen(len) if dice.random_bool(luck) => medium.resize(*len, 0),
                Op::SetLen(_) => {}
                Op::Write(offset, bytes) => tear(&mut medium, *offset, bytes, luck, dice),
            }
        }
        Self(Arc::new(Mutex::new(State {
            seen: medium.clone(),
            safe: medium,
            ..State::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps some sectors of a write. What lies behind the file's end, because its growth was lost, is lost too.
fn tear(medium: &mut [u8], offset: usize, bytes: &[u8], luck: f64, dice: &mut StdRng) {
    let mut at = offset;
    let end = (offset + bytes.len()).min(medium.len());
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if dice.random_bool(luck) {
            medium[at..next].copy_from_slice(&bytes[at - offset..next - offset]);
        }
        at = next;
    }
}

impl State {
    /// Counts an operation; after the last one everything fails.
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.faults.power_for {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn sync(&mut self) {
        for op in self.unsynced.drain(..) {
            match op {
                Op::SetLen(len) => self.safe.resize(len, 0),
                Op::Write(offset, bytes) => {
                    self.safe[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        let start = offset as usize;
        let bytes = state.seen.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.spend()?;
        if state.faults.capacity.is_some_and(|room| len > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.seen.resize(len as usize, 0);
        state.unsynced.push(Op::SetLen(len as usize));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.spend()?;
        let (start, end) = (offset as usize, offset as usize + data.len());
        // A sparse file: room is taken when its bytes are written.
        if state.faults.capacity.is_some_and(|room| end as u64 > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let place = state.seen.get_mut(start..end);
        place
            .ok_or(io::ErrorKind::InvalidInput)?
            .copy_from_slice(data);
        state.unsynced.push(Op::Write(start, data.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.spend()?;
        if std::mem::take(&mut state.faults.sync_fails) {
            return Err(io::Error::other("the disk could not sync"));
        }
        if !state.faults.sync_lies {
            state.sync();
        }
        Ok(())
    }
}
