//! From packed bytes to a disk's bytes, to the very end of the stream: all members, frames and streams, and nothing after them.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

use super::{Format, IngestError, cut::Cutter, feed::Feed};

/// The most a decoder may look back, and so its memory: enough for every preset of `xz` and for `zstd` up to level 19. It
/// comes on top of the store's own buffers only for streams that were made so; the usual ones look back 8 MiB and less.
pub const MAX_WINDOW_BYTES: u32 = 64 << 20;
/// What the xz decoder needs beside the window.
const XZ_SPARE_BYTES: u32 = 1 << 20;

/// Unpacks `feed` to its end into `cutter`.
pub(super) fn unpack(
    format: Format,
    feed: &mut Feed,
    cutter: &mut Cutter,
) -> Result<(), IngestError> {
    let reader = reader(format, feed);
    read_all(
        format,
        &mut reader.map_err(|e| explain(format, &e))?,
        cutter,
    )
}

/// The plain bytes of a stream that is packed so.
pub(super) fn reader<'a>(
    format: Format,
    packed: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match format {
        Format::Raw => Box::new(packed),
        Format::Gzip => Box::new(Members(Some(GzDecoder::new(packed)))),
        Format::Zstd => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(packed)?;
            reader.window_log_max(MAX_WINDOW_BYTES.ilog2())?;
            Box::new(reader)
        }
        Format::Xz => {
            let limit_kib = (MAX_WINDOW_BYTES + XZ_SPARE_BYTES) >> 10;
            let reader = lzma_rust2::XzReader::new_mem_limit(packed, true, limit_kib);
            Box::new(reader)
        }
    })
}

/// All members of a gzip stream; `None` behind the last.
struct Members<R>(Option<GzDecoder<R>>);

/// What follows the last member is none.
#[derive(Debug, thiserror::Error)]
#[error("something follows the end of the stream")]
struct Trailing;

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.0.take() {
            let len = member.read(buffer);
            if buffer.is_empty() || !matches!(len, Ok(0)) {
                self.0 = Some(member);
                return len;
            }
            let mut packed = member.into_inner();
            match packed.fill_buf()? {
                [] => {}
                [0x1f, ..] => self.0 = Some(GzDecoder::new(packed)),
                [..] => return Err(io::Error::new(ErrorKind::InvalidData, Trailing)),
            }
        }
        Ok(0)
    }
}

fn read_all(
    format: Format,
    reader: &mut impl Read,
    cutter: &mut Cutter,
) -> Result<(), IngestError> {
    loop {
        match reader.read(cutter.spare()?) {
            Ok(0) => return Ok(()),
            Ok(len) => cutter.advance(len)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(explain(format, &error)),
        }
    }
}

pub(super) fn explain(format: Format, error: &io::Error) -> IngestError {
    // zstd's errors have only a text.
    let needs_memory =
        error.kind() == ErrorKind::OutOfMemory || error.to_string().contains("too much memory");
    let trailing = error.get_ref().is_some_and(|inner| inner.is::<Trailing>());
    match error.kind() {
        _ if trailing => IngestError::Trailing(format),
        _ if needs_memory => IngestError::Window(format),
        ErrorKind::ConnectionAborted => IngestError::Ended,
        ErrorKind::UnexpectedEof => IngestError::Truncated(format),
        _ => IngestError::Corrupt {
            format,
            reason: error.to_string(),
        },
    }
}
