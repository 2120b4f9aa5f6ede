//! Takes in a disk as a stream, pushed in pieces as they come: raw or compressed, straight into chunks.
//!
//! Memory: at most 40 MiB of buffers and the decoder's window ([`MAX_WINDOW_BYTES`]), whatever the image's size; beside them
//! grows only the manifest, 32 bytes for each chunk that holds data.

mod cut;
mod decode;
mod error;
mod feed;
mod file;
mod format;
mod order;
mod workers;

use std::thread::{self, JoinHandle};

use image::{ChunkId, ChunkSize, Manifest};

use self::{
    cut::{Cutter, Tally},
    feed::Pusher,
};
pub use self::{
    decode::MAX_WINDOW_BYTES,
    error::IngestError,
    file::DiskReader,
    format::{Format, sector_size},
};
use crate::Session;

/// What is known and allowed about a disk that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestOptions {
    /// How it is packed; `None`: see its first bytes. When it is given, what looks like an archive is taken as a disk all
    /// the same.
    pub format: Option<Format>,
    /// The disk's sector size; `None`: by where its GUID partition table is, else 512.
    pub sector_size: Option<u32>,
    /// Bytes in a chunk.
    pub chunk_size: ChunkSize,
    /// The most bytes it may unpack to: what a bomb costs.
    pub limit_bytes: u64,
    /// Its bytes when unpacked, where the sender has said so.
    pub size_bytes: Option<u64>,
}

impl Default for IngestOptions {
    /// Everything by looking; 4 TiB at most.
    fn default() -> Self {
        Self {
            format: None,
            sector_size: None,
            chunk_size: ChunkSize::default(),
            limit_bytes: 4 << 40,
            size_bytes: None,
        }
    }
}

/// An image that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// Names it.
    pub digest: ChunkId,
    /// What is where.
    pub manifest: Manifest,
    /// How it came.
    pub format: Format,
    /// Bytes that came.
    pub received_bytes: u64,
    /// Bytes of the disk whose chunks the store did not have.
    pub new_bytes: u64,
    /// What those take in the store.
    pub stored_bytes: u64,
    /// Bytes of the disk whose chunks it had, or that came twice.
    pub known_bytes: u64,
}

/// A disk that is coming. Dropped before its end it leaves chunks that the next collection takes.
pub struct Ingest {
    session: Session,
    options: IngestOptions,
    received_bytes: u64,
    state: State,
}

enum State {
    /// Too few bytes to know what it is.
    Head(Vec<u8>),
    Raw(Box<Cutter>),
    Packed(Unpacking),
    Failed,
}

/// A thread that unpacks what is pushed.
struct Unpacking {
    format: Format,
    /// `None` once all was pushed.
    pusher: Option<Pusher>,
    thread: Option<JoinHandle<Result<Box<Cutter>, IngestError>>>,
}

impl Ingest {
    /// Begins; `session` keeps what comes until its version is written down.
    #[must_use]
    pub fn new(session: Session, options: IngestOptions) -> Self {
        Self {
            session,
            options,
            received_bytes: 0,
            state: State::Head(Vec::new()),
        }
    }

    /// The next bytes. Waits while the store is behind.
    ///
    /// # Errors
    /// When it can be no image, or there is no room. All later calls then fail too.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        self.received_bytes += bytes.len() as u64;
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Head(mut head) => {
                head.extend_from_slice(bytes);
                if head.len() < format::MAGIC_BYTES {
                    self.state = State::Head(head);
                    return Ok(());
                }
                self.state = self.begin(&head)?;
            }
            State::Raw(mut cutter) => {
                cutter.write(bytes)?;
                self.state = State::Raw(cutter);
            }
            State::Packed(unpacking) => self.state = State::Packed(unpacking.push(bytes)?),
            State::Failed => return Err(IngestError::Ended),
        }
        Ok(())
    }

    /// Bytes that came so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// That was all: checks the stream's end, stores the manifest, and returns when the image survives a power cut.
    ///
    /// # Errors
    /// When the stream is no whole image, or there is no room.
    pub fn finish(mut self) -> Result<Ingested, IngestError> {
        let state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Head(head) => self.begin(&head)?,
            state => state,
        };
        let (format, cutter) = match state {
            State::Raw(cutter) => (Format::Raw, cutter),
            State::Packed(unpacking) => (unpacking.format, unpacking.end()?),
            State::Head(_) | State::Failed => return Err(IngestError::Ended),
        };
        let (
            manifest,
            Tally {
                new_bytes,
                known_bytes,
                stored_bytes,
            },
        ) = cutter.finish()?;
        let digest = self.session.save(&manifest)?;
        Ok(Ingested {
            digest,
            manifest,
            format,
            received_bytes: self.received_bytes,
            new_bytes,
            stored_bytes,
            known_bytes,
        })
    }

    /// The first bytes are there.
    fn begin(&self, head: &[u8]) -> Result<State, IngestError> {
        let found = format::packed_as(head);
        let format = match self.options.format {
            Some(said) if said != Format::Raw && said != found => {
                return Err(IngestError::NotAsSaid { said, found });
            }
            Some(said) => said,
            None => found,
        };
        let mut cutter = Box::new(Cutter::new(&self.session, self.options)?);
        if format == Format::Raw {
            cutter.write(head)?;
            return Ok(State::Raw(cutter));
        }
        Unpacking::start(format, cutter)?
            .push(head)
            .map(State::Packed)
    }
}

impl Unpacking {
    fn start(format: Format, mut cutter: Box<Cutter>) -> Result<Self, IngestError> {
        let (pusher, mut feed) = feed::pipe();
        let work = move || decode::unpack(format, &mut feed, &mut cutter).map(|()| cutter);
        let thread = thread::Builder::new()
            .name("image-unpack".into())
            .spawn(work);
        Ok(Self {
            format,
            pusher: Some(pusher),
            thread: Some(thread.map_err(IngestError::Thread)?),
        })
    }

    fn push(self, bytes: &[u8]) -> Result<Self, IngestError> {
        match &self.pusher {
            Some(pusher) if pusher.push(bytes) => Ok(self),
            // It stopped reading, and says why.
            Some(_) | None => Err(self.end().err().unwrap_or(IngestError::Ended)),
        }
    }

    fn end(mut self) -> Result<Box<Cutter>, IngestError> {
        if let Some(pusher) = self.pusher.take() {
            let _when_nobody_reads_the_thread_says_why = pusher.end();
        }
        let thread = self.thread.take().ok_or(IngestError::Ended)?;
        thread
            .join()
            .map_err(|_| IngestError::Thread(std::io::ErrorKind::BrokenPipe.into()))?
    }
}

impl Drop for Unpacking {
    fn drop(&mut self) {
        self.pusher = None;
        if let Some(thread) = self.thread.take() {
            let _what_it_made_is_dropped = thread.join();
        }
    }
}
