//! Where chunks come from. A source may be slow, wrong or gone: what it gives is unpacked and hashed here, a wrong answer
//! is counted against it by name, and the next source is asked.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use image::ChunkId;
use image::parcel::{Form, Head};
use zstd::bulk::Decompressor;

use super::disk::{Buffer, Memory};
use super::fault::Fault;
use super::patience::Patience;

/// Time for one request to a source: 8 MiB in each of four lanes, over a line of two megabits a second.
const DEADLINE: Duration = Duration::from_secs(120);
/// A source that was wrong so often is asked after all others.
const WRONG_LIMIT: u64 = 3;

/// What a source is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// These chunks, each once; at most [`MAX_PARCELS`](image::parcel::MAX_PARCELS).
    pub ids: &'a [ChunkId],
    /// The leave to fetch them.
    pub ticket: &'a str,
    /// The answer has to be complete by then.
    pub deadline: Duration,
}

/// Takes the parcels of an answer as they come; false: no more, please.
pub type Take<'a> = &'a mut dyn FnMut(Head, &[u8]) -> bool;

/// Somebody who may have chunks.
pub trait ChunkSource: Send + Sync {
    /// How it is called when it is wrong.
    fn name(&self) -> String;

    /// Brings chunks, in any order, all or some. Nobody believes them before they are hashed.
    ///
    /// # Errors
    /// Why it stopped, for people.
    fn fetch(&self, request: &Request<'_>, take: Take<'_>) -> Result<(), String>;
}

/// A lane's tools for unpacking chunks, used again and again.
pub(super) struct Unpacker {
    zstd: Decompressor<'static>,
    buffer: Buffer,
    memory: Memory,
}

impl Unpacker {
    /// For chunks of at most `chunk` bytes.
    pub(super) fn new(chunk: usize, memory: &Memory) -> Result<Self, Fault> {
        let no_zstd = |error| Fault::Job(format!("zstd cannot be used: {error}"));
        Ok(Self {
            zstd: Decompressor::new().map_err(no_zstd)?,
            buffer: Buffer::new(chunk, memory),
            memory: memory.clone(),
        })
    }

    /// Room for one chunk, while nothing is being unpacked.
    pub(super) fn buffer(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    /// The chunk's bytes, aligned for a disk, when they are what its id says.
    fn unpack(&mut self, head: Head, content: &[u8]) -> Option<&[u8]> {
        let _held = self.memory.hold(content.len());
        let len = match head.form {
            Form::Missing => return None,
            Form::Raw => {
                self.buffer
                    .get_mut(..content.len())?
                    .copy_from_slice(content);
                content.len()
            }
            // Never more than fits, whatever the frame promises.
            Form::Zstd => {
                let into: &mut [u8] = &mut self.buffer;
                self.zstd.decompress_to_buffer(content, into).ok()?
            }
        };
        let bytes = &self.buffer[..len];
        (ChunkId::of(bytes) == head.id).then_some(bytes)
    }
}

/// All sources of a job, best first.
pub(super) struct Sources<'a> {
    all: Vec<&'a dyn ChunkSource>,
    ticket: &'a str,
    patience: Patience,
    wrong: Mutex<BTreeMap<String, u64>>,
}

/// Gets a chunk's id, its right bytes, and how many bytes travelled for it.
pub(super) type Deliver<'a> = &'a mut dyn FnMut(ChunkId, &[u8], u64) -> Result<(), Fault>;

/// What is still to come of one request, and why.
struct Want<'a> {
    ids: HashSet<ChunkId>,
    why: BTreeMap<String, String>,
    deliver: Deliver<'a>,
    failed: Option<Fault>,
}

impl<'a> Sources<'a> {
    /// These, in the order they are asked.
    pub(super) fn new(all: Vec<&'a dyn ChunkSource>, ticket: &'a str, patience: Patience) -> Self {
        Self {
            all,
            ticket,
            patience,
            wrong: Mutex::default(),
        }
    }

    /// How many wrong chunks each source gave.
    pub(super) fn wrong(&self) -> Vec<(String, u64)> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .iter()
            .map(|(name, count)| (name.clone(), *count))
            .collect()
    }

    /// Brings these chunks, each once.
    pub(super) fn bring(
        &self,
        ids: &[ChunkId],
        unpacker: &mut Unpacker,
        deliver: Deliver<'_>,
    ) -> Result<(), Fault> {
        let mut want = Want {
            ids: ids.iter().copied().collect(),
            why: BTreeMap::new(),
            deliver,
            failed: None,
        };
        let mut round = 0;
        loop {
            for source in self.in_order() {
                self.ask(source, &mut want, unpacker);
                if let Some(fault) = want.failed {
                    return Err(fault);
                }
                if want.ids.is_empty() {
                    return Ok(());
                }
            }
            if !self.patience.wait(round) {
                return Err(want.given_up());
            }
            round += 1;
        }
    }

    fn in_order(&self) -> Vec<&'a dyn ChunkSource> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.all.clone();
        let is_bad = |name: &str| wrong.get(name).is_some_and(|count| *count >= WRONG_LIMIT);
        all.sort_by_key(|source| is_bad(&source.name()));
        all
    }

    fn ask(&self, source: &dyn ChunkSource, want: &mut Want<'_>, unpacker: &mut Unpacker) {
        let ids: Vec<_> = want.ids.iter().copied().collect();
        let request = Request {
            ids: &ids,
            ticket: self.ticket,
            deadline: DEADLINE,
        };
        let mut take = |head: Head, content: &[u8]| {
            if !want.ids.contains(&head.id) {
                return true;
            }
            if head.form == Form::Missing {
                let lacks = format!("it has no chunk {}", head.id);
                want.why.entry(source.name()).or_insert(lacks);
                return true;
            }
            let Some(bytes) = unpacker.unpack(head, content) else {
                self.blame(source);
                want.why
                    .insert(source.name(), format!("chunk {} came wrong", head.id));
                return true;
            };
            want.ids.remove(&head.id);
            match (want.deliver)(head.id, bytes, content.len() as u64) {
                Ok(()) => true,
                Err(fault) => {
                    want.failed = Some(fault);
                    false
                }
            }
        };
        if let Err(why) = source.fetch(&request, &mut take) {
            want.why.insert(source.name(), why);
        }
    }

    fn blame(&self, source: &dyn ChunkSource) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        *wrong.entry(source.name()).or_default() += 1;
    }
}

impl Want<'_> {
    fn given_up(&self) -> Fault {
        let reasons = self.why.iter().map(|(name, why)| format!("{name}: {why}"));
        let why = reasons.collect::<Vec<_>>().join("; ");
        Fault::Chunks {
            missing: self.ids.len(),
            first: self.ids.iter().min().copied().expect("some are missing"),
            why: if why.is_empty() {
                "no source has them".to_owned()
            } else {
                why
            },
        }
    }
}
