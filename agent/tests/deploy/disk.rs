//! A disk in memory with a volatile cache, whose power can be cut and whose bits can flip; and the machine around it.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use enforcer_agent::deploy::{Disk, Geometry, Host, Part};
use mesh_proto::facts;

/// Runs out at the operation it was set to, for everything that hangs on it.
#[derive(Debug)]
pub(crate) struct Power {
    used: AtomicU64,
    cut_at: AtomicU64,
}

impl Default for Power {
    /// Never runs out.
    fn default() -> Self {
        Self {
            used: AtomicU64::new(0),
            cut_at: AtomicU64::new(u64::MAX),
        }
    }
}

impl Power {
    /// Never runs out.
    pub(crate) fn steady() -> Arc<Self> {
        Self::cut_at(u64::MAX)
    }

    pub(crate) fn cut_at(operation: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            cut_at: AtomicU64::new(operation),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// Draws power for one operation.
    pub(crate) fn draw(&self) -> io::Result<()> {
        if self.used.fetch_add(1, Ordering::SeqCst) >= self.cut_at.load(Ordering::SeqCst) {
            return Err(io::Error::other("the power is out"));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
struct Cells {
    /// What reads see.
    live: Vec<u8>,
    /// Old content of what was written since the last flush.
    unflushed: Vec<(usize, Vec<u8>)>,
}

/// A disk that keeps its cells when the machine is gone. Clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct MemoryDisk {
    cells: Arc<Mutex<Cells>>,
    sector_size: u32,
    power: Arc<Power>,
    /// Flips this bit of the disk whenever it is written.
    pub(crate) bad_bit: Option<u64>,
}

impl MemoryDisk {
    pub(crate) fn with(content: Vec<u8>, sector_size: u32) -> Self {
        let cells = Cells {
            live: content,
            unflushed: Vec::new(),
        };
        Self {
            cells: Arc::new(Mutex::new(cells)),
            sector_size,
            power: Power::steady(),
            bad_bit: None,
        }
    }

    /// The same disk in a machine with another power supply.
    pub(crate) fn on(&self, power: &Arc<Power>) -> Self {
        Self {
            power: Arc::clone(power),
            ..self.clone()
        }
    }

    /// The power was cut, and the disk had nothing of its cache on the medium.
    pub(crate) fn lose_all_of_the_cache(&self) {
        let mut cells = self.cells.lock().unwrap();
        let unflushed = std::mem::take(&mut cells.unflushed);
        for (at, old) in unflushed.into_iter().rev() {
            cells.live[at..at + old.len()].copy_from_slice(&old);
        }
    }

    /// The power was cut: of what was not flushed, some sectors are on the medium and some are not.
    pub(crate) fn lose_cache(&self, mut seed: u64) {
        let mut cells = self.cells.lock().unwrap();
        let sector = self.sector_size as usize;
        let unflushed = std::mem::take(&mut cells.unflushed);
        for (at, old) in unflushed.into_iter().rev() {
            for (n, old) in old.chunks(sector).enumerate() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if seed >> 63 == 1 {
                    let at = at + n * sector;
                    cells.live[at..at + old.len()].copy_from_slice(old);
                }
            }
        }
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.cells.lock().unwrap().live.clone()
    }

    fn place(&self, offset: u64, len: usize, all: usize) -> io::Result<Range<usize>> {
        let sector = u64::from(self.sector_size);
        assert_eq!(
            (offset % sector, len as u64 % sector),
            (0, 0),
            "whole sectors"
        );
        let at = usize::try_from(offset).unwrap();
        match at + len <= all {
            true => Ok(at..at + len),
            false => Err(io::Error::other("past the end")),
        }
    }

    fn change(&self, offset: u64, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<()> {
        self.power.draw()?;
        let mut cells = self.cells.lock().unwrap();
        let place = self.place(offset, len, cells.live.len())?;
        let old = cells.live[place.clone()].to_vec();
        cells.unflushed.push((place.start, old));
        fill(&mut cells.live[place.clone()]);
        if let Some(bit) = self.bad_bit {
            let byte = usize::try_from(bit / 8).unwrap();
            if place.contains(&byte) {
                cells.live[byte] ^= 1 << (bit % 8);
            }
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn geometry(&self) -> Geometry {
        Geometry {
            bytes: self.cells.lock().unwrap().live.len() as u64,
            sector_size: self.sector_size,
        }
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.power.draw()?;
        let cells = self.cells.lock().unwrap();
        let place = self.place(offset, into.len(), cells.live.len())?;
        into.copy_from_slice(&cells.live[place]);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(offset, bytes.len(), |place| place.copy_from_slice(bytes))
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.change(offset, usize::try_from(len).unwrap(), |place| place.fill(0))
    }

    fn flush(&self) -> io::Result<()> {
        self.power.draw()?;
        self.cells.lock().unwrap().unflushed.clear();
        Ok(())
    }
}

/// A machine with these disks.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) disks: HashMap<String, MemoryDisk>,
    /// What the file systems do not use, by partition number.
    pub(crate) unused: HashMap<u32, Vec<Range<u64>>>,
    pub(crate) said: Mutex<Vec<String>>,
    pub(crate) asked_boot_order: Mutex<Vec<u32>>,
}

impl Machine {
    pub(crate) fn with(disk: &MemoryDisk) -> Self {
        Self {
            disks: HashMap::from([("vda".to_owned(), disk.clone())]),
            ..Self::default()
        }
    }
}

impl Host for Machine {
    fn disks(&self) -> Vec<facts::Disk> {
        let disk = |(name, disk): (&String, &MemoryDisk)| {
            let geometry = disk.geometry();
            facts::Disk {
                name: name.clone(),
                bytes: geometry.bytes,
                logical_sector_bytes: geometry.sector_size,
                physical_sector_bytes: geometry.sector_size,
                rotational: false,
                removable: name.starts_with("usb"),
                model: Some("Pretended".to_owned()),
                serial: Some(format!("SN-{name}")),
                by_path: None,
            }
        };
        self.disks.iter().map(disk).collect()
    }

    fn open(&self, disk: &facts::Disk) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(self.disks[&disk.name].clone()))
    }

    fn unused(&self, _: &facts::Disk, part: &Part, _: &str) -> Option<Vec<Range<u64>>> {
        self.unused.get(&part.number).cloned()
    }

    fn sanitize(&self, _: &facts::Disk) -> Result<(), String> {
        Err("the disk has no such command".to_owned())
    }

    fn boot_order(&self, esp: &Part, _: u32) -> Result<bool, String> {
        self.asked_boot_order.lock().unwrap().push(esp.number);
        Ok(true)
    }

    fn say(&self, text: &str) {
        self.said.lock().unwrap().push(text.to_owned());
    }
}
