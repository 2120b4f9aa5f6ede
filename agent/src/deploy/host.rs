//! The machine a job is done on, behind a trait: its disks, and the tools for what a program cannot do by itself.

use std::io;
use std::ops::Range;

use mesh_proto::facts;

use super::disk::Disk;
use super::kexec::Starter;

/// A partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number in the table.
    pub number: u32,
    /// Its bytes on the disk.
    pub range: Range<u64>,
    /// Its own id in a GUID table, as it lies there.
    pub id: Option<[u8; 16]>,
    /// Its name in a GUID table.
    pub name: Option<String>,
    /// It holds the firmware's boot programs.
    pub is_esp: bool,
}

/// A machine.
pub trait Host: Send + Sync {
    /// Its disks, as they are now.
    fn disks(&self) -> Vec<facts::Disk>;

    /// Opens a disk for this job alone.
    ///
    /// # Errors
    /// When something of it is in use.
    fn open(&self, disk: &facts::Disk) -> io::Result<Box<dyn Disk>>;

    /// What the file system in this partition does not use, from the partition's start; `None` when nobody knows.
    fn unused(&self, disk: &facts::Disk, part: &Part, file_system: &str)
    -> Option<Vec<Range<u64>>>;

    /// Makes the disk erase itself.
    ///
    /// # Errors
    /// Why it cannot, for people.
    fn sanitize(&self, disk: &facts::Disk) -> Result<(), String>;

    /// Puts the network first in the firmware's boot order and this partition's loader second; true when the firmware
    /// has a boot order and it is so now.
    ///
    /// # Errors
    /// What the firmware did not take, for people.
    fn boot_order(&self, esp: &Part, sector_size: u32) -> Result<bool, String>;

    /// What starts its kernels, where something can.
    fn starter(&self) -> Option<&dyn Starter> {
        None
    }

    /// A word for the log.
    fn say(&self, text: &str);
}
