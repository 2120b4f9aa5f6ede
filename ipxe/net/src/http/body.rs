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

/// Read at a time, bytes: large enough that a read costs little beside the copy, small enough that it is still in the
/// processor's cache when the socket takes it, and that a thousand downloads at once fit a small board.
const PIECE: usize = 64 * 1024;

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
            BootFile::Disk { .. } | BootFile::Arriving(_) => Self::File(FileBody {
                readable: match &file {
                    BootFile::Arriving(_) => 0,
                    BootFile::Memory(_) | BootFile::Disk { .. } => file.size(),
                },
                file,
                range,
                buffer: BytesMut::new(),
                reading: None,
                waiting: None,
            }),
        }
    }
}

/// A file being sent.
pub(super) struct FileBody {
    file: BootFile,
    range: Range<u64>,
    /// One allocation that is used again as soon as the socket has taken the piece before.
    buffer: BytesMut,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Up to where it may be read: a file that is still on its way is sent as it comes.
    readable: u64,
    waiting: Option<Waiting>,
}

/// Waits for more of a file that is on its way.
type Waiting = Pin<Box<dyn Future<Output = io::Result<u64>> + Send>>;

impl FileBody {
    /// Length of the next piece, bytes.
    fn next_len(&self) -> usize {
        let left = self.range.end.min(self.readable) - self.range.start;
        usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))
    }

    /// The next piece if the page cache has it: most of a popular file is there, and a thread would cost more than the copy.
    fn read_cached(&mut self) -> Option<Bytes> {
        let len = self.next_len();
        self.buffer.resize(len, 0);
        let n = self.file.read_cached(&mut self.buffer, self.range.start)?;
        Some(self.buffer.split_to(n).freeze())
    }

    /// Starts reading the next piece on a thread that may block on the disk.
    fn read_next(&self) -> JoinHandle<io::Result<Bytes>> {
        let (file, at, len) = (self.file.clone(), self.range.start, self.next_len());
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

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (file, at) = (&self.file, self.range.start);
        let waiting = self.waiting.get_or_insert_with(|| {
            let file = file.clone();
            Box::pin(async move { file.readable_behind(at).await })
        });
        let Poll::Ready(until) = waiting.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.waiting = None;
        Poll::Ready(until.map(|until| self.readable = until))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        if self.range.start >= self.readable {
            match self.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Some(Err(e))),
                Poll::Pending => return Poll::Pending,
            }
        }
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => match self.read_cached() {
                Some(piece) => {
                    self.range.start += piece.len() as u64;
                    return Poll::Ready(Some(Ok(piece)));
                }
                None => self.read_next(),
            },
        };
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_file_of_many_pieces_arrives_whole_and_a_range_of_it_exact() {
        let path = std::env::temp_dir().join(format!("enforcer-body-{}", std::process::id()));
        let content: Vec<u8> = (0..3 * PIECE + 77).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = BootFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for range in [0..content.len(), 5..2 * PIECE + 9, 7..8] {
            let body = BootBody::file(file.clone(), range.start as u64..range.end as u64);
            let got = body.collect().await.unwrap().to_bytes();
            assert!(got == content[range.clone()], "{range:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error_and_not_a_short_answer() {
        let path = std::env::temp_dir().join(format!("enforcer-short-{}", std::process::id()));
        std::fs::write(&path, vec![1; 2 * PIECE]).unwrap();
        let file = BootFile::open(&path).unwrap();
        std::fs::write(&path, vec![1; PIECE]).unwrap();
        std::fs::remove_file(&path).unwrap();
        let body = BootBody::file(file, 0..2 * PIECE as u64);
        assert!(body.collect().await.is_err());
    }
}
