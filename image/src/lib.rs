//! What a disk image is, without a disk: [chunks](ChunkId) named by their content, the [manifest](Manifest) that puts
//! them in order, how chunks [travel](parcel), and who may fetch them ([`Ticket`]).
//!
//! Nothing here reads a clock, a socket or a file.

mod chunk;
pub mod edit;
mod hex;
mod manifest;
pub mod packing;
pub mod parcel;
mod ticket;

pub use chunk::{ChunkId, ChunkSize};
pub use manifest::{Builder, MAX_CHUNKS, MAX_MANIFEST_BYTES, Manifest, ManifestError, Piece};
pub use ticket::{Ticket, TicketError};
