//! Frames: four bytes of length, big-endian, then that many bytes of one [message](crate::message).

use bytes::{Buf as _, Bytes, BytesMut};

/// Largest frame on a link: the state of some thousand members, or the facts of a machine with hundreds of disks.
pub const MAX_FRAME_BYTES: usize = 1 << 20;
/// Largest frame from somebody who has proved nothing yet: facts and a certificate request fit.
pub const MAX_EARLY_FRAME_BYTES: usize = 64 << 10;

const LENGTH_BYTES: usize = 4;

/// Why a stream's bytes are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than this side takes.
    #[error("a frame of {bytes} bytes, and at most {limit} are taken")]
    TooLong {
        /// As announced.
        bytes: usize,
        /// What is taken.
        limit: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Cut,
}

/// A message's bytes with their length in front.
///
/// # Errors
/// When it is longer than [`MAX_FRAME_BYTES`].
pub fn frame(message: &[u8]) -> Result<Bytes, FrameError> {
    check(message.len(), MAX_FRAME_BYTES)?;
    let length = u32::try_from(message.len()).expect("checked above");
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + message.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    Ok(out.freeze())
}

fn check(bytes: usize, limit: usize) -> Result<(), FrameError> {
    if bytes > limit {
        Err(FrameError::TooLong { bytes, limit })
    } else {
        Ok(())
    }
}

/// Takes a stream's bytes as they come and gives whole frames.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    limit: usize,
}

impl Frames {
    /// A reader that takes frames of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
        }
    }

    /// From now on frames of at most `limit` bytes: the other side has proved itself.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame's message, or `None` until more bytes came.
    ///
    /// # Errors
    /// When the next frame is announced too long; the stream is of no use any more.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        check(length, self.limit)?;
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// What came after the last whole frame: the stream goes on with plain bytes.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// When bytes of an unfinished frame are left.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Cut)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_come_in() {
        let stream = [
            frame(b"one").unwrap(),
            frame(b"").unwrap(),
            frame(b"three").unwrap(),
        ]
        .concat();
        for step in 1..stream.len() {
            let (mut frames, mut got) = (Frames::new(16), Vec::new());
            for piece in stream.chunks(step) {
                frames.push(piece);
                while let Some(message) = frames.next_frame().unwrap() {
                    got.push(message.to_vec());
                }
            }
            assert_eq!(
                got,
                [b"one".to_vec(), Vec::new(), b"three".to_vec()],
                "in steps of {step}"
            );
            assert_eq!(frames.finish(), Ok(()));
        }
    }

    #[test]
    fn what_follows_a_frame_is_handed_on() {
        let mut frames = Frames::new(16);
        frames.push(&[&frame(b"put").unwrap()[..], b"bytes"].concat());
        assert_eq!(frames.next_frame().unwrap().unwrap(), "put");
        assert_eq!(frames.into_rest(), "bytes");
    }

    #[test]
    fn a_frame_too_long_is_refused_before_its_bytes_come() {
        let mut frames = Frames::new(16);
        frames.push(&17u32.to_be_bytes());
        assert_eq!(
            frames.next_frame(),
            Err(FrameError::TooLong {
                bytes: 17,
                limit: 16
            })
        );
        assert!(frame(&vec![0; MAX_FRAME_BYTES + 1]).is_err());
    }

    #[test]
    fn a_cut_frame_is_told_from_an_end() {
        let mut frames = Frames::new(16);
        frames.push(&[0, 0, 0, 2, b'x']);
        assert_eq!(frames.next_frame(), Ok(None));
        assert_eq!(frames.finish(), Err(FrameError::Cut));
    }
}
