//! Response bodies: a short text, or a file that is read piece by piece as the client takes it.

use std::{
    future::Future,
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::BootFile;

/// Read at a time, bytes: large enough that a read costs little beside the copy, small enough that a thousand downloads
/// at once fit a small board.
const PIECE: usize = 128 * 1024;

/// A response body.
pub(super) enum BootBody {
    /// All there at once.
    Text(Option<Bytes>),
    /// A file's bytes, as they are read.
    File(FileBody),
}

impl BootBody {
    /// A short body.
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()).filter(|b| !b.is_empty()))
    }

    /// Bytes `range` of `file`.
    pub(super) fn file(file: BootFile, range: Range<u64>) -> Self {
        match file {
            // Firmware is in memory: a slice of it costs nothing.
            BootFile::Memory(bytes) => {
                let at = |n: u64| usize::try_from(n).map_or(bytes.len(), |n| n.min(bytes.len()));
                Self::text(bytes.slice(at(range.start)..at(range.end)))
            }
            BootFile::Disk { .. } => Self::File(FileBody {
                file,
                range,
                reading: None,
            }),
        }
    }
}

/// A file being sent.
pub(super) struct FileBody {
    file: BootFile,
    range: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// Starts reading the next piece on a thread that may block on the disk.
    fn read_next(&self) -> JoinHandle<io::Result<Bytes>> {
        let (file, at) = (self.file.clone(), self.range.start);
        let len = usize::try_from(self.range.end - at).map_or(PIECE, |left| left.min(PIECE));
        tokio::task::spawn_blocking(move || {
            let mut piece = BytesMut::zeroed(len);
            let n = file.read_at(&mut piece, at)?;
            if n == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter while it was sent",
                ));
            }
            piece.truncate(n);
            Ok(piece.freeze())
        })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        let reading = self.reading.take();
        let mut reading = reading.unwrap_or_else(|| self.read_next());
        match Pin::new(&mut reading).poll(cx) {
            Poll::Pending => {
                self.reading = Some(reading);
                Poll::Pending
            }
            Poll::Ready(Ok(Ok(piece))) => {
                self.range.start += piece.len() as u64;
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Ok(Err(e))) => Poll::Ready(Some(Err(e))),
            Poll::Ready(Err(e)) => Poll::Ready(Some(Err(io::Error::other(e)))),
        }
    }
}

impl Body for BootBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(Ok)),
            Self::File(file) => file.poll_piece(cx),
        };
        piece.map(|p| p.map(|p| p.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::File(file) => file.range.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Text(text) => text.as_ref().map_or(0, |t| t.len() as u64),
            Self::File(file) => file.range.end - file.range.start,
        })
    }
}
