//! A disk in a file, raw or packed, read as the disk's own bytes: for a program that cuts and sends it itself.

use std::io::{self, BufRead, Read};

use super::{Format, IngestError, decode, format};

/// See the file's head.
pub struct DiskReader {
    format: Format,
    plain: Box<dyn Read + Send>,
    begun: bool,
}

impl DiskReader {
    /// Looks at the first bytes. `packed` has a buffer of some KiB.
    ///
    /// # Errors
    /// When these cannot be read, or its decoder has no memory.
    pub fn new(mut packed: impl BufRead + Send + 'static) -> Result<Self, IngestError> {
        let head = packed.fill_buf();
        let format = format::packed_as(head.map_err(|e| decode::explain(Format::Raw, &e))?);
        let plain = decode::reader(format, packed).map_err(|e| decode::explain(format, &e))?;
        let begun = false;
        Ok(Self {
            format,
            plain,
            begun,
        })
    }

    /// How it is packed.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Fills the buffer, or what of it is left of the disk; zero at the end.
    ///
    /// # Errors
    /// When the file can be no image, or cannot be read.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, IngestError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.plain.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(decode::explain(self.format, &error)),
            }
        }
        if !std::mem::replace(&mut self.begun, true) {
            match format::foreign(&buffer[..filled]) {
                _ if filled == 0 => return Err(IngestError::Empty),
                Some(what) => return Err(IngestError::Foreign(what)),
                None => {}
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    /// Everything that is in it, or why not, read in pieces that fit nothing.
    fn read(bytes: &[u8]) -> Result<Vec<u8>, IngestError> {
        let mut reader = DiskReader::new(Cursor::new(bytes.to_vec())).unwrap();
        let (mut all, mut piece) = (Vec::new(), vec![0; 1777]);
        loop {
            let len = reader.fill(&mut piece)?;
            all.extend_from_slice(&piece[..len]);
            if len < piece.len() {
                return Ok(all);
            }
        }
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(plain).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn a_disk_is_read_to_the_end_of_the_last_member() {
        let disk: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        let (first, second) = disk.split_at(30_001);
        assert_eq!(read(&disk).unwrap(), disk);
        assert_eq!(read(&[gzip(first), gzip(second)].concat()).unwrap(), disk);
        let frames = [first, second].map(|p| zstd::bulk::compress(p, 1).unwrap());
        assert_eq!(read(&frames.concat()).unwrap(), disk);
    }

    #[test]
    fn what_is_no_whole_disk_is_named() {
        let disk = vec![7; 9000];
        let packed = gzip(&disk);
        let cut = read(&packed[..packed.len() - 9]);
        assert!(
            matches!(cut, Err(IngestError::Truncated(Format::Gzip))),
            "{cut:?}"
        );
        let more = read(&[packed.clone(), b"more".to_vec()].concat());
        assert!(
            matches!(more, Err(IngestError::Trailing(Format::Gzip))),
            "{more:?}"
        );
        let twice = read(&gzip(&packed));
        assert!(matches!(twice, Err(IngestError::Foreign(_))), "{twice:?}");
        assert!(matches!(read(&[]), Err(IngestError::Empty)));
        assert!(matches!(read(b"QFI\xfb etc"), Err(IngestError::Foreign(_))));
    }
}
