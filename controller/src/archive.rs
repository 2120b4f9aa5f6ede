//! Tar archives (POSIX.1-1988 ustar) of regular files, which `tar` reads, too. What is read back has to be what was written, to
//! the bit: a header with anything else in it, a padding that is not zero, bytes behind the end are damage.

use std::{
    fs::File,
    io::{self, Read, Write},
};

const BLOCK: usize = 512;
/// Longer names have no place in the header.
const LONGEST_NAME: usize = 99;
/// Eleven octal digits.
const LARGEST: u64 = (1 << 33) - 1;
/// Read and written at once, bytes.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path: relative, without `..`.
    pub(crate) name: String,
    /// Its length, bytes.
    pub(crate) size: u64,
}

/// What makes an archive none of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ends too early, or bits of it are others.
    #[error("{0}")]
    Damaged(&'static str),
    /// A file cannot go into it.
    #[error("{0} cannot be put into an archive: its name or its bytes are too long")]
    TooLong(String),
}

/// Whether a name can be unpacked below a folder and nowhere else.
fn is_plain(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    name.len() <= LONGEST_NAME && name.split('/').all(part) && !name.contains(char::is_control)
}

/// A file's header; everything in it follows from name and length.
fn header(entry: &Entry) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, entry.name.as_bytes());
    put(100, b"0000600");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{:011o}", entry.size).as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// Writes an archive.
pub(crate) struct Writer<W>(W);

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self(out)
    }

    /// Adds a file of `size` bytes, which come from `bytes`; `see` is shown them on their way.
    pub(crate) fn add(
        &mut self,
        name: &str,
        size: u64,
        bytes: &mut dyn Read,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        if !is_plain(name) || size > LARGEST {
            return Err(ArchiveError::TooLong(name.to_owned()));
        }
        let entry = Entry {
            name: name.to_owned(),
            size,
        };
        self.0.write_all(&header(&entry))?;
        copy(bytes, size, &mut |piece| {
            see(piece);
            Ok(self.0.write_all(piece)?)
        })?;
        Ok(self.0.write_all(&[0; BLOCK][..padding(size)])?)
    }

    /// The same of bytes in memory.
    pub(crate) fn add_bytes(
        &mut self,
        name: &str,
        bytes: &[u8],
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        self.add(name, bytes.len() as u64, &mut &bytes[..], see)
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> Result<W, ArchiveError> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        self.0.flush()?;
        Ok(self.0)
    }
}

/// Moves exactly `size` bytes.
fn copy(
    from: &mut dyn Read,
    size: u64,
    to: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; CHUNK];
    let mut left = size;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let got = match from.read(&mut buffer[..want]) {
            Ok(0) => return Err(ArchiveError::Damaged("it ends too early")),
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e.into()),
        };
        to(&buffer[..got])?;
        left -= got as u64;
    }
    Ok(())
}

/// Reads an archive, file after file.
pub(crate) struct Reader<R>(R);

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self(from)
    }

    /// The next file, whose bytes [`Reader::bytes`] then has to take; `None` at the end, behind which there must be nothing.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let block = self.block()?;
        if block == [0; BLOCK] {
            let second = self.block()?;
            let behind = self.0.read(&mut [0])?;
            return match second == [0; BLOCK] && behind == 0 {
                true => Ok(None),
                false => Err(ArchiveError::Damaged("there is something behind its end")),
            };
        }
        let damaged = || ArchiveError::Damaged("the head of a file in it is none");
        let text = |range: std::ops::Range<usize>| {
            let field = &block[range];
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            std::str::from_utf8(&field[..end]).ok()
        };
        let name = text(0..100).ok_or_else(damaged)?.to_owned();
        let size = text(124..136).and_then(|digits| u64::from_str_radix(digits, 8).ok());
        let entry = Entry {
            name,
            size: size.ok_or_else(damaged)?,
        };
        if !is_plain(&entry.name) || entry.size > LARGEST || header(&entry) != block {
            return Err(damaged());
        }
        Ok(Some(entry))
    }

    /// Shows the bytes of the file that came last.
    pub(crate) fn bytes(
        &mut self,
        entry: &Entry,
        see: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        copy(&mut self.0, entry.size, &mut |piece| Ok(see(piece)?))?;
        let mut zeros = [0; BLOCK];
        let padding = padding(entry.size);
        self.fill(&mut zeros[..padding])?;
        match zeros == [0; BLOCK] {
            true => Ok(()),
            false => Err(ArchiveError::Damaged(
                "bits between its files are not as they were written",
            )),
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.0.read_exact(bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Damaged("it ends too early"),
            _ => e.into(),
        })
    }
}

/// A file's bytes and how many there are now.
pub(crate) fn sized(file: File) -> io::Result<(File, u64)> {
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Vec<u8>)> {
        let sizes = [0, 1, 511, 512, 513, 70_000];
        let file =
            |(n, size): (usize, &usize)| (format!("folder-{n}/file"), vec![n as u8 + 1; *size]);
        sizes.iter().enumerate().map(file).collect()
    }

    fn written() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (name, bytes) in files() {
            writer.add_bytes(&name, &bytes, &mut |_| {}).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let (mut reader, mut all) = (Reader::new(bytes), Vec::new());
        while let Some(entry) = reader.next()? {
            let mut bytes = Vec::new();
            reader.bytes(&entry, &mut |piece| io::Write::write_all(&mut bytes, piece))?;
            all.push((entry.name, bytes));
        }
        Ok(all)
    }

    #[test]
    fn what_was_written_is_read_and_tar_reads_it_too() {
        let archive = written();
        assert_eq!(read(&archive).unwrap(), files());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, &archive).unwrap();
        let tar = std::process::Command::new("tar")
            .arg("-xf")
            .arg(&path)
            .arg("-C")
            .arg(folder.path())
            .status();
        assert!(tar.unwrap().success());
        for (name, bytes) in files() {
            assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), bytes);
        }
    }

    #[test]
    fn every_flipped_bit_outside_the_files_and_every_cut_is_seen() {
        let archive = written();
        let whole = files();
        for at in (0..archive.len()).filter(|at| at % 61 < 3 || *at < 2048) {
            let mut spoiled = archive.clone();
            spoiled[at] ^= 1 << (at % 8);
            // Inside a file it is the sums' work.
            assert!(
                read(&spoiled).map_or(true, |files| files != whole),
                "bit of byte {at}"
            );
        }
        for cut in (0..archive.len()).filter(|at| at % 127 == 0) {
            assert!(read(&archive[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [&archive[..], b"x"].concat();
        assert!(read(&longer).is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_names() {
        for name in [
            "/etc/passwd",
            "../x",
            "a/../x",
            "a//b",
            "",
            "a\nb",
            &"x".repeat(100),
        ] {
            let mut writer = Writer::new(Vec::new());
            assert!(writer.add_bytes(name, b"", &mut |_| {}).is_err(), "{name}");
            let entry = Entry {
                name: name.chars().take(99).collect(),
                size: 0,
            };
            let archive = [&header(&entry)[..], &[0; 1024]].concat();
            assert!(name.len() > 99 || read(&archive).is_err(), "{name}");
        }
    }
}
