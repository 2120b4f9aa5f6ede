//! Chunks on their way between two programs: after a JSON frame that says what follows, parcels lie back to back.
//!
//! A parcel is the chunk's id (32 bytes), its [`Form`] (1 byte), the number of bytes that follow (`u32`, big-endian as in
//! a frame) and these bytes. The receiver unpacks and hashes them: a chunk is right when its id is, whoever sent it.

use crate::{ChunkId, ChunkSize};

/// Bytes before a parcel's content.
pub const HEAD_BYTES: usize = 32 + 1 + 4;
/// Most bytes of a parcel's content: a chunk, and what zstd adds to one it cannot compress.
pub const MAX_CONTENT_BYTES: u32 = ChunkSize::MAX + (64 << 10);
/// Parcels asked for in one request.
pub const MAX_PARCELS: usize = 256;

/// How a chunk is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The sender does not have it; no content.
    Missing,
    /// As it is on the disk.
    Raw,
    /// One zstd frame.
    Zstd,
}

/// What stands before a parcel's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which chunk.
    pub id: ChunkId,
    /// How it is packed.
    pub form: Form,
    /// Bytes of content.
    pub len: u32,
}

/// A parcel that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// A form newer than this program.
    #[error("a chunk came packed in an unknown form ({0})")]
    Form(u8),
    /// Longer than any chunk.
    #[error("a chunk of {0} bytes is longer than any chunk is")]
    TooLong(u32),
}

impl Head {
    /// The bytes of the head.
    #[must_use]
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..32].copy_from_slice(self.id.as_bytes());
        bytes[32] = match self.form {
            Form::Missing => 0,
            Form::Raw => 1,
            Form::Zstd => 2,
        };
        bytes[33..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    /// Reads a head.
    ///
    /// # Errors
    /// When it announces what no parcel holds.
    pub fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<Self, ParcelError> {
        let (id, rest) = bytes
            .split_first_chunk()
            .expect("a head is longer than an id");
        let [form, a, b, c, d] = *rest else {
            unreachable!("a head has five bytes after its id")
        };
        let form = match form {
            0 => Form::Missing,
            1 => Form::Raw,
            2 => Form::Zstd,
            other => return Err(ParcelError::Form(other)),
        };
        let len = u32::from_be_bytes([a, b, c, d]);
        if len > MAX_CONTENT_BYTES || (form == Form::Missing && len > 0) {
            return Err(ParcelError::TooLong(len));
        }
        Ok(Self {
            id: ChunkId::from_bytes(*id),
            form,
            len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back_and_wrong_ones_are_refused() {
        let head = Head {
            id: ChunkId::of(b"x"),
            form: Form::Zstd,
            len: 70_000,
        };
        assert_eq!(Head::parse(&head.encode()), Ok(head));
        let mut bytes = head.encode();
        bytes[32] = 9;
        assert_eq!(Head::parse(&bytes), Err(ParcelError::Form(9)));
        let long = Head {
            len: MAX_CONTENT_BYTES + 1,
            ..head
        };
        assert!(Head::parse(&long.encode()).is_err());
        let missing = Head {
            form: Form::Missing,
            len: 1,
            ..head
        };
        assert!(Head::parse(&missing.encode()).is_err());
    }
}
