//! A partition as a disk of its own: nothing that is done to it reaches beyond it.

use std::io;
use std::ops::Range;

use mesh_proto::message::job::{ImageRef, PartitionRule};

use super::disk::{Disk, Geometry, Memory};
use super::fault::Fault;
use super::host::Part;
use super::parts;

/// See the file's head.
pub(super) struct Slice {
    disk: Box<dyn Disk>,
    range: Range<u64>,
}

impl Slice {
    /// The partition that is meant, when this image fits into it.
    pub(super) fn of(
        disk: Box<dyn Disk>,
        rule: &PartitionRule,
        image: Option<&ImageRef>,
        memory: &Memory,
    ) -> Result<Self, Fault> {
        let parts = parts::list(&*disk, memory)?;
        let meant = |part: &&Part| match rule {
            PartitionRule::Name(name) => part.name.as_ref() == Some(name),
            PartitionRule::Number(number) => part.number == *number,
        };
        let fitting: Vec<&Part> = parts.iter().filter(meant).collect();
        let [part] = fitting[..] else {
            let (count, there) = (fitting.len(), list(&parts));
            let text = format!("{count} partitions are called {rule}; there are: {there}");
            return Err(Fault::Partition(text));
        };
        let range = part.range.clone();
        let (bytes, sector) = (range.end - range.start, disk.geometry().sector_size);
        if let Some(image) = image {
            if image.size > bytes {
                let text = format!("{rule} has {bytes} bytes, the image needs {}", image.size);
                return Err(Fault::Partition(text));
            }
            if image.sector_size != sector {
                let needed = image.sector_size;
                let text = format!("sectors of {sector} bytes, the image was made for {needed}");
                return Err(Fault::Partition(text));
            }
        }
        Ok(Self { disk, range })
    }

    /// Where that is on the disk.
    fn place(&self, offset: u64, len: u64) -> io::Result<u64> {
        let end = offset.checked_add(len);
        match end.is_some_and(|end| end <= self.range.end - self.range.start) {
            true => Ok(self.range.start + offset),
            false => Err(io::Error::other("outside of the partition")),
        }
    }
}

fn list(parts: &[Part]) -> String {
    let words = |part: &Part| match &part.name {
        Some(name) => format!("#{} {name}", part.number),
        None => format!("#{}", part.number),
    };
    let all: Vec<String> = parts.iter().map(words).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

impl Disk for Slice {
    fn geometry(&self) -> Geometry {
        Geometry {
            bytes: self.range.end - self.range.start,
            ..self.disk.geometry()
        }
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.disk.read(self.place(offset, into.len() as u64)?, into)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = self.place(offset, bytes.len() as u64)?;
        self.disk.write(at, bytes)
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.zero(self.place(offset, len)?, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.disk.flush()
    }
}
