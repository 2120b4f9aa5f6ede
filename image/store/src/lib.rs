//! Disk images in a folder: [chunks](image::ChunkId) as files named by their content, and the manifests that put them in order.
//!
//! Everything blocks (plain files, no executor): async callers use a blocking thread. The folder belongs to one
//! [`ChunkStore`] at a time; clones of it and its [`Session`]s may be used by any number of threads.
//!
//! * **Bring in**: [`ChunkStore::session`], then *have?* ([`Session::has`]) → *put* ([`Session::put`],
//!   [`Session::put_parcel`]) → *save* ([`Session::save`]); or a stream of a disk, raw or compressed, through [`Ingest`].
//!   What a session was told is there stays there for as long as the session lives; **drop it only after the version that
//!   names the saved manifest is written down**, else the next [`collect`](ChunkStore::collect) takes it.
//! * **Give out**: [`ChunkStore::get`] (as stored, for the wire), [`ChunkStore::manifest`], [`Plain`] (the disk's bytes from
//!   any offset), [`ZstdStream`] (the same as one zstd stream, from any offset of it, without compressing anything).
//! * **Durable**: `save` and [`Ingest::finish`] return when the manifest and all its chunks survive a power cut. A crash
//!   loses at most the last two [`SETTLE_BYTES`] of an unfinished upload: one that is being synced, one that came meanwhile.
//!
//! Files: `<2 hex>/<id>` chunks, `manifests/<digest>`; `fresh/` (whole, but not on the medium yet) and `tmp/` (half written)
//! are emptied on opening.

mod collect;
mod error;
mod folder;
mod ingest;
mod pack;
mod pins;
mod plain;
mod session;
mod settle;
mod space;
mod store;
mod zstd_stream;

pub use collect::Collected;
pub use error::{Result, StoreError};
pub use ingest::{
    DiskReader, Format, Ingest, IngestError, IngestOptions, Ingested, MAX_WINDOW_BYTES, sector_size,
};
pub use pack::{Packed, Packing};
pub use plain::Plain;
pub use session::{Put, Session};
pub use settle::SETTLE_BYTES;
pub use space::{Limits, Usage};
pub use store::ChunkStore;
pub use zstd_stream::ZstdStream;
