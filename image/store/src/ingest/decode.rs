//! From packed bytes to a disk's bytes, to the very end of the stream: all members, frames and streams, and nothing after them.

use std::io::{self, BufRead, ErrorKind, Read};

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
    match format {
        Format::Raw => read_all(format, feed, cutter),
        Format::Gzip => gzip(feed, cutter),
        Format::Zstd => zstd(feed, cutter),
        Format::Xz => {
            let limit_kib = (MAX_WINDOW_BYTES + XZ_SPARE_BYTES) >> 10;
            let mut reader = lzma_rust2::XzReader::new_mem_limit(feed, true, limit_kib);
            read_all(format, &mut reader, cutter)
        }
    }
}

fn gzip(feed: &mut Feed, cutter: &mut Cutter) -> Result<(), IngestError> {
    let explain = |error| explain(Format::Gzip, &error);
    loop {
        read_all(
            Format::Gzip,
            &mut flate2::bufread::GzDecoder::new(&mut *feed),
            cutter,
        )?;
        match feed.fill_buf().map_err(explain)? {
            [] => return Ok(()),
            [0x1f, ..] => {}
            [..] => return Err(IngestError::Trailing(Format::Gzip)),
        }
    }
}

fn zstd(feed: &mut Feed, cutter: &mut Cutter) -> Result<(), IngestError> {
    let explain = |error| explain(Format::Zstd, &error);
    let mut reader = zstd::stream::read::Decoder::with_buffer(feed).map_err(explain)?;
    reader
        .window_log_max(MAX_WINDOW_BYTES.ilog2())
        .map_err(explain)?;
    read_all(Format::Zstd, &mut reader, cutter)
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

fn explain(format: Format, error: &io::Error) -> IngestError {
    // zstd's errors have only a text.
    let needs_memory =
        error.kind() == ErrorKind::OutOfMemory || error.to_string().contains("too much memory");
    match error.kind() {
        _ if needs_memory => IngestError::Window(format),
        ErrorKind::ConnectionAborted => IngestError::Ended,
        ErrorKind::UnexpectedEof => IngestError::Truncated(format),
        _ => IngestError::Corrupt {
            format,
            reason: error.to_string(),
        },
    }
}
