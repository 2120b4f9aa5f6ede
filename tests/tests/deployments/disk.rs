//! A file that stands for a machine's disk: with a cache that a power cut loses, and bits that flip.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use enforcer_agent::deploy::{BlockDisk, Disk, Geometry};

use crate::fuse::Fuse;

/// What was in a disk's sectors before they were written, since the last flush; by place.
type Unflushed = BTreeMap<u64, Vec<u8>>;

/// The medium, which outlives the boots of its machine.
#[derive(Clone)]
pub(crate) struct Medium {
    pub(crate) path: PathBuf,
    pub(crate) sector_size: u32,
    unflushed: Arc<Mutex<Unflushed>>,
    /// These bits of the disk flip whenever they are written; ascending.
    pub(crate) bad_bits: Arc<Vec<u64>>,
    /// It says that it has flushed, and has not.
    pub(crate) lies: bool,
}

impl Medium {
    pub(crate) fn with(path: &Path, content: &[u8], sector_size: u32) -> Self {
        fs::write(path, content).unwrap();
        Self {
            path: path.to_owned(),
            sector_size,
            unflushed: Arc::default(),
            bad_bits: Arc::default(),
            lies: false,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// In a machine of which a job's every operation counts.
    pub(crate) fn in_machine(&self, fuse: &Arc<Fuse>) -> FileDisk {
        FileDisk {
            medium: self.clone(),
            inner: BlockDisk::open_file(&self.path, self.sector_size).unwrap(),
            fuse: Arc::clone(fuse),
        }
    }

    /// The power was cut: of what was not flushed, some sectors are on the medium and some are not.
    pub(crate) fn lose_cache(&self, mut seed: u64) {
        // Nobody writes meanwhile, and nobody afterwards who was killed.
        let mut unflushed = self.unflushed.lock().unwrap();
        let lost = std::mem::take(&mut *unflushed);
        let disk = BlockDisk::open_file(&self.path, self.sector_size).unwrap();
        for (at, old) in lost {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if seed >> 63 == 1 {
                disk.write(at, &old).unwrap();
            }
        }
    }

    /// The machine went down in order, or only a process died: nothing of the cache is lost.
    pub(crate) fn keep_cache(&self) {
        self.unflushed.lock().unwrap().clear();
    }
}

/// See [`Medium::in_machine`].
pub(crate) struct FileDisk {
    medium: Medium,
    inner: BlockDisk,
    fuse: Arc<Fuse>,
}

impl FileDisk {
    /// Remembers what is about to be overwritten, sector by sector: of two writes to one, the first one's.
    fn remember(&self, unflushed: &mut Unflushed, offset: u64, len: u64) -> io::Result<()> {
        let sector = u64::from(self.medium.sector_size);
        assert_eq!((offset % sector, len % sector), (0, 0), "whole sectors");
        let mut old = vec![0; usize::try_from(len).unwrap()];
        self.inner.read(offset, &mut old)?;
        for (at, old) in (offset..)
            .step_by(sector as usize)
            .zip(old.chunks(sector as usize))
        {
            unflushed.entry(at).or_insert_with(|| old.to_vec());
        }
        Ok(())
    }

    fn change(
        &self,
        offset: u64,
        len: u64,
        write: impl FnOnce(&BlockDisk) -> io::Result<()>,
    ) -> io::Result<()> {
        self.fuse.spend()?;
        let mut unflushed = self.medium.unflushed.lock().unwrap();
        if self.fuse.is_dead() {
            return Err(io::Error::other("killed"));
        }
        self.remember(&mut unflushed, offset, len)?;
        write(&self.inner)?;
        let bad = &self.medium.bad_bits;
        let first = bad.partition_point(|bit| bit / 8 < offset);
        for bit in bad[first..]
            .iter()
            .take_while(|bit| *bit / 8 < offset + len)
        {
            self.flip(*bit)?;
        }
        Ok(())
    }

    fn flip(&self, bit: u64) -> io::Result<()> {
        let sector = u64::from(self.medium.sector_size);
        let at = bit / 8 / sector * sector;
        let mut bytes = vec![0; usize::try_from(sector).unwrap()];
        self.inner.read(at, &mut bytes)?;
        bytes[usize::try_from(bit / 8 - at).unwrap()] ^= 1 << (bit % 8);
        self.inner.write(at, &bytes)
    }
}

impl Disk for FileDisk {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.fuse.spend()?;
        self.inner.read(offset, into)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(offset, bytes.len() as u64, |disk| disk.write(offset, bytes))
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.change(offset, len, |disk| disk.zero(offset, len))
    }

    fn flush(&self) -> io::Result<()> {
        self.fuse.spend()?;
        let mut unflushed = self.medium.unflushed.lock().unwrap();
        self.inner.flush()?;
        if !self.medium.lies {
            unflushed.clear();
        }
        Ok(())
    }
}

/// Bytes of a mebibyte.
pub(crate) const MIB: usize = 1 << 20;

/// A disk of which every 64 KiB differ from all others and shrink well, with holes, and a sector that a BIOS would boot.
pub(crate) fn filled(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    for (n, chunk) in (1_u64..).zip(content.chunks_mut(64 << 10)) {
        if n % 7 != 0 {
            chunk.fill(n as u8 | 1);
            let name = (seed << 32 | n).to_le_bytes();
            chunk[..8].copy_from_slice(&name);
        }
    }
    content[510..512].copy_from_slice(&[0x55, 0xAA]);
    content
}

/// What a disk with `before` on it holds when an image without a partition table was written: the end is wiped.
pub(crate) fn written_over(before: &[u8], image: &[u8]) -> Vec<u8> {
    let mut all = before.to_vec();
    let end = all.len() - MIB;
    all[end..].fill(0);
    all[..image.len()].copy_from_slice(image);
    all
}
