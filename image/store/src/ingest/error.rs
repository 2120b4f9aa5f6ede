//! Why a stream becomes no image.

use image::ManifestError;

use super::Format;
use crate::StoreError;

/// Why what was sent cannot be an image. Only [`Store`](Self::Store) may be our fault.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The store has no room for it, or its disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was sent.
    #[error("nothing was sent: an image has at least one sector")]
    Empty,
    /// A kind of file that is no disk image, or packed in a way that is not understood.
    #[error("this is {0}; send the disk itself, raw or compressed with gzip, zstd or xz")]
    Foreign(&'static str),
    /// It was said to be packed in one way and is not.
    #[error("this was said to be {said}, but it is {found}")]
    NotAsSaid {
        /// As the sender said.
        said: Format,
        /// By its first bytes.
        found: Format,
    },
    /// The stream stops in the middle.
    #[error("the {0} stream was cut short; send the whole file")]
    Truncated(Format),
    /// The packed bytes are wrong.
    #[error("the {format} stream is damaged: {reason}")]
    Corrupt {
        /// How it is packed.
        format: Format,
        /// What its decoder said.
        reason: String,
    },
    /// More bytes follow where the stream has ended.
    #[error("after the end of the {0} stream comes something else")]
    Trailing(Format),
    /// Unpacking needs more memory than is given to it.
    #[error(
        "unpacking this {0} stream needs a window of more than 64 MiB; compress it again with the usual settings"
    )]
    Window(Format),
    /// It unpacks to more than it may.
    #[error("the image has more than {limit_bytes} bytes")]
    TooLarge {
        /// What it may have.
        limit_bytes: u64,
    },
    /// It has another size than was said.
    #[error("the image was said to have {said_bytes} bytes and has {actual_bytes}")]
    Size {
        /// As the sender said.
        said_bytes: u64,
        /// What came; when it is more, as far as it was read.
        actual_bytes: u64,
    },
    /// The partition table is for disks with other sectors.
    #[error(
        "the image was said to have sectors of {said} bytes, but its partition table is for {found}"
    )]
    SectorSize {
        /// As the sender said.
        said: u32,
        /// By its partition table.
        found: u32,
    },
    /// No disk has such a size, or it has too many chunks.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A thread ended without a word.
    #[error("a thread of the image store stopped")]
    Thread(#[source] std::io::Error),
    /// Bytes came after an error.
    #[error("this upload has already failed")]
    Ended,
}
