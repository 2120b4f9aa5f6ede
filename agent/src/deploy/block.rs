//! A disk of this machine, or a file that stands for one: every transfer goes past the page cache (`O_DIRECT`), so that
//! what is read is what the medium holds.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use super::disk::{ALIGN, Buffer, Disk, Geometry, Memory};

/// Zeros written at once where a disk cannot make them by itself.
const ZERO_BYTES: usize = 1 << 20;

/// See the file's head.
#[derive(Debug)]
pub struct BlockDisk {
    file: File,
    geometry: Geometry,
    direct: bool,
}

impl BlockDisk {
    /// Opens a block device for us alone: the kernel refuses when something of it is mounted, or in use as swap or by a
    /// mapper (open(2), `O_EXCL`).
    ///
    /// # Errors
    /// As the system says; "busy" when it is in use.
    pub fn open(path: &Path, geometry: Geometry) -> io::Result<Self> {
        let flags = OFlags::DIRECT | OFlags::EXCL;
        let file = options(flags).open(path)?;
        let direct = true;
        Ok(Self {
            file,
            geometry,
            direct,
        })
    }

    /// Opens a file in place of a device; past the page cache where its file system can do that.
    ///
    /// # Errors
    /// As the system says.
    pub fn open_file(path: &Path, sector_size: u32) -> io::Result<Self> {
        let direct = options(OFlags::DIRECT).open(path);
        let (file, direct) = match direct {
            Ok(file) => (file, true),
            Err(_) => (options(OFlags::empty()).open(path)?, false),
        };
        let bytes = file.metadata()?.len() / u64::from(sector_size) * u64::from(sector_size);
        let geometry = Geometry { bytes, sector_size };
        Ok(Self {
            file,
            geometry,
            direct,
        })
    }

    /// Direct transfers need memory aligned to at least a sector.
    fn fits(&self, bytes: &[u8]) -> bool {
        !self.direct || bytes.as_ptr().align_offset(ALIGN) == 0
    }

    fn fallocate(&self, how: FallocateFlags, offset: u64, len: u64) -> Result<(), Errno> {
        loop {
            match fallocate(&self.file, how | FallocateFlags::KEEP_SIZE, offset, len) {
                Err(Errno::INTR) => {}
                done => return done,
            }
        }
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        let most = usize::try_from(len).map_or(ZERO_BYTES, |len| len.min(ZERO_BYTES));
        let zeros = Buffer::new(most, &Memory::default());
        let mut done = 0;
        while done < len {
            let left = usize::try_from(len - done).map_or(most, |left| left.min(most));
            self.file.write_all_at(&zeros[..left], offset + done)?;
            done += left as u64;
        }
        Ok(())
    }
}

fn options(flags: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = flags.bits().cast_signed();
    options.read(true).write(true).custom_flags(flags);
    options
}

impl Disk for BlockDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        if self.fits(into) {
            return self.file.read_exact_at(into, offset);
        }
        let mut aligned = Buffer::new(into.len(), &Memory::default());
        self.file.read_exact_at(&mut aligned, offset)?;
        into.copy_from_slice(&aligned);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.fits(bytes) {
            return self.file.write_all_at(bytes, offset);
        }
        let mut aligned = Buffer::new(bytes.len(), &Memory::default());
        aligned.copy_from_slice(bytes);
        self.file.write_all_at(&aligned, offset)
    }

    /// Linux makes a block device read as zeros either way: punched, by telling the disk that the blocks are unused when
    /// it promises zeros for those; zeroed, by the disk's own command or by writing (block/fops.c, since 4.9).
    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0
            || self
                .fallocate(FallocateFlags::PUNCH_HOLE, offset, len)
                .is_ok()
        {
            return Ok(());
        }
        if self
            .fallocate(FallocateFlags::ZERO_RANGE, offset, len)
            .is_ok()
        {
            return Ok(());
        }
        self.write_zeros(offset, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_zeroed_is_zero() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let disk = BlockDisk::open_file(file.path(), 512).unwrap();
        assert_eq!(disk.geometry().bytes, 4 << 20);
        let bytes = vec![7; 1 << 20];
        disk.write(1 << 20, &bytes).unwrap();
        disk.zero((1 << 20) + 512, 4096).unwrap();
        disk.flush().unwrap();
        let mut read = vec![1; (2 << 20) - 512];
        disk.read((1 << 20) + 512, &mut read[..(1 << 20) - 512])
            .unwrap();
        assert!(
            read[..4096].iter().all(|b| *b == 0)
                && read[4096..(1 << 20) - 512].iter().all(|b| *b == 7)
        );
        disk.write_zeros(1 << 20, 1 << 20).unwrap();
        disk.read(0, &mut read).unwrap();
        assert!(read.iter().all(|b| *b == 0));
        assert!(
            disk.read(4 << 20, &mut read[..512]).is_err(),
            "past its end"
        );
    }
}
