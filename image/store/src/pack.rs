//! The file of a chunk: how it is packed, how long it is when unpacked, a checksum, and the packed bytes.
//!
//! `form u8` (1 raw, 2 one zstd frame), `plain length u32`, `CRC-32 u32` of id, form, length and content, then the content;
//! numbers little-endian. The checksum finds a flipped bit without unpacking, also one that would not change the plain
//! bytes (zstd ignores some bits); against malice the id itself stands.

use std::{fmt, io};

use image::{ChunkId, ChunkSize, packing, parcel::Form};
use zstd::{
    bulk,
    zstd_safe::{self, CParameter},
};

use crate::{Result, StoreError};

/// Bytes before the content of a chunk's file.
pub(crate) const HEAD_BYTES: usize = 1 + 4 + 4;

/// A chunk as it is stored and as it travels; its bytes are its own, or a packer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed<C = Vec<u8>> {
    /// Which chunk.
    pub id: ChunkId,
    /// How it is packed; never [`Form::Missing`].
    pub form: Form,
    /// Bytes when unpacked.
    pub plain_len: u32,
    /// The packed bytes: what a parcel carries.
    pub content: C,
}

impl<C: AsRef<[u8]>> Packed<C> {
    /// What stands before the content in the chunk's file.
    pub(crate) fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[0] = byte_of(self.form);
        head[1..5].copy_from_slice(&self.plain_len.to_le_bytes());
        head[5..].copy_from_slice(&self.checksum().to_le_bytes());
        head
    }

    fn checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(self.id.as_bytes());
        crc.update(&[byte_of(self.form)]);
        crc.update(&self.plain_len.to_le_bytes());
        crc.update(self.content.as_ref());
        crc.finalize()
    }
}

impl Packed {
    /// Reads the file of chunk `id` behind its head.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn read(id: ChunkId, head: &[u8; HEAD_BYTES], content: Vec<u8>) -> Result<Self> {
        let (form, plain_len) = read_head(id, head)?;
        let packed = Self {
            id,
            form,
            plain_len,
            content,
        };
        if packed.head() == *head {
            Ok(packed)
        } else {
            Err(StoreError::Damaged(id))
        }
    }

    /// The chunk's bytes, checked against its name.
    ///
    /// # Errors
    /// When they are not what the name says.
    pub fn unpack(&self) -> Result<Vec<u8>> {
        let plain = match self.form {
            Form::Zstd => bulk::decompress(&self.content, self.plain_len as usize)
                .map_err(|_| StoreError::Damaged(self.id))?,
            Form::Raw | Form::Missing => self.content.clone(),
        };
        let right = plain.len() == self.plain_len as usize && ChunkId::of(&plain) == self.id;
        if right {
            Ok(plain)
        } else {
            Err(StoreError::Damaged(self.id))
        }
    }
}

/// Form and plain length in the head of a chunk's file.
pub(crate) fn read_head(id: ChunkId, head: &[u8; HEAD_BYTES]) -> Result<(Form, u32)> {
    let [form, a, b, c, d, ..] = *head;
    let form = match form {
        1 => Form::Raw,
        2 => Form::Zstd,
        _ => return Err(StoreError::Damaged(id)),
    };
    let plain_len = u32::from_le_bytes([a, b, c, d]);
    if plain_len > ChunkSize::MAX {
        Err(StoreError::Damaged(id))
    } else {
        Ok((form, plain_len))
    }
}

fn byte_of(form: Form) -> u8 {
    match form {
        Form::Missing => 0,
        Form::Raw => 1,
        Form::Zstd => 2,
    }
}

fn compressor() -> io::Result<bulk::Compressor<'static>> {
    let mut zstd = bulk::Compressor::new(packing::LEVEL)?;
    zstd.set_parameter(CParameter::WindowLog(packing::WINDOW_LOG))?;
    zstd.set_parameter(CParameter::HashLog(packing::HASH_LOG))?;
    zstd.set_parameter(CParameter::MinMatch(packing::MIN_MATCH))?;
    Ok(zstd)
}

/// Memory of a packer's buffer that is kept for the next chunk: one of the usual size, and what zstd wants beside it.
const KEPT_BYTES: usize = 2 << 20;

/// Packs and unpacks chunks, one after the other: zstd's tables, and the memory for a frame and a chunk, are made once.
pub(crate) struct Packer {
    pub(crate) packing: Packing,
    zstd: Option<bulk::Decompressor<'static>>,
    plain: Vec<u8>,
}

/// Packs chunks as the store does, also for whoever sends them: zstd's tables and the memory for a frame are made once.
pub struct Packing {
    /// `None`: there was no memory for it, and nothing is packed.
    zstd: Option<bulk::Compressor<'static>>,
    frame: Vec<u8>,
}

impl fmt::Debug for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packing")
    }
}

impl Default for Packing {
    fn default() -> Self {
        Self {
            zstd: compressor().ok(),
            frame: Vec::new(),
        }
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self {
            packing: Packing::default(),
            zstd: bulk::Decompressor::new().ok(),
            plain: Vec::new(),
        }
    }

    /// Lets go of memory that only large chunks need.
    pub(crate) fn rest(&mut self) {
        for buffer in [&mut self.plain, &mut self.packing.frame] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }

    /// Unpacks what a stranger calls chunk `id`: at most [`ChunkSize::MAX`] bytes, whatever the content says. Besides the bytes,
    /// what packs them.
    pub(crate) fn unpack<'a>(
        &'a mut self,
        id: ChunkId,
        form: Form,
        content: &'a [u8],
    ) -> Result<(&'a [u8], &'a mut Packing)> {
        let plain = match form {
            Form::Missing => return Err(StoreError::Unpack(id)),
            Form::Raw => content,
            Form::Zstd => {
                let len = frame_plain_len(content).ok_or(StoreError::Unpack(id))?;
                self.plain.clear();
                self.plain.reserve_exact(len);
                let zstd = self.zstd.as_mut().ok_or(StoreError::Unpack(id))?;
                let unpacked = zstd.decompress_to_buffer(content, &mut self.plain);
                unpacked.map_err(|_| StoreError::Unpack(id))?;
                self.plain.as_slice()
            }
        };
        if plain.is_empty() || plain.len() > ChunkSize::MAX as usize {
            return Err(StoreError::Unpack(id));
        }
        match ChunkId::of(plain) {
            actual if actual == id => Ok((plain, &mut self.packing)),
            actual => Err(StoreError::WrongChunk {
                claimed: id,
                actual,
            }),
        }
    }
}

impl Packing {
    /// `plain` is the chunk `id`, which the caller has made sure of. What does not shrink stays raw.
    pub(crate) fn pack<'a>(&'a mut self, id: ChunkId, plain: &'a [u8]) -> Packed<&'a [u8]> {
        let plain_len = u32::try_from(plain.len()).expect("callers check that it is a chunk");
        let (form, content) = match self.smaller(plain) {
            Some(frame) => (Form::Zstd, frame),
            None => (Form::Raw, plain),
        };
        Packed {
            id,
            form,
            plain_len,
            content,
        }
    }

    /// The frame of a chunk, when it is smaller than the chunk: [`packing::smaller`].
    pub fn smaller(&mut self, plain: &[u8]) -> Option<&[u8]> {
        let zstd = self.zstd.as_mut()?;
        packing::smaller(plain, &mut self.frame, |part, frame| {
            frame.reserve(zstd_safe::compress_bound(part.len()));
            zstd.compress_to_buffer(part, frame).ok()
        })
    }
}

/// Plain bytes of `content` when it is exactly one zstd frame that says so itself and needs no dictionary: only such frames
/// can be stored as they came, because downloads put them one behind the other.
fn frame_plain_len(content: &[u8]) -> Option<usize> {
    let one = zstd_safe::find_frame_compressed_size(content).is_ok_and(|len| len == content.len());
    let bare = zstd_safe::get_dict_id_from_frame(content).is_none();
    let len = zstd_safe::get_frame_content_size(content).ok()??;
    let len = usize::try_from(len).ok()?;
    (one && bare && len <= ChunkSize::MAX as usize && content.starts_with(&ZSTD_MAGIC))
        .then_some(len)
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
