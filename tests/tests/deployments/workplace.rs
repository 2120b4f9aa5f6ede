//! The management OS around a job: its machine, its words, and the way to the controller, on which bits flip and whoever
//! works can be killed.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use enforcer_agent::deploy::{
    ChunkSource, Controller, Disk, Host, LinkDesk, Memory, Part, Patience, Request, Take, Trouble,
    Way, Workplace,
};
use enforcer_agent::effects::Effects;
use image::ChunkId;
use image::parcel::{Form, Head};
use mesh_proto::facts::{self, HardwareFacts};
use mesh_proto::message::job::{JobProgress, Step};

use crate::disk::Medium;
use crate::fuse::Fuse;

/// What is counted over all boots of a machine.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Chunks that came, each as often as it came; without those that came wrong.
    pub(crate) fetched: Mutex<Vec<ChunkId>>,
    /// Chunks that were sent.
    pub(crate) sent: Mutex<Vec<ChunkId>>,
    /// Bytes of chunks that came over the wire.
    pub(crate) wire: AtomicU64,
    /// The steps, and at which operation each began.
    pub(crate) steps: Mutex<Vec<(Step, u64)>>,
    /// The log.
    pub(crate) said: Mutex<Vec<String>>,
    /// What jobs held in buffers.
    pub(crate) memory: Memory,
    /// A bit of each chunk flips on its first way.
    pub(crate) bad_wire: AtomicU64,
    flipped: Mutex<HashSet<ChunkId>>,
}

/// See the file's head.
pub(crate) struct Place {
    pub(crate) disks: Vec<(facts::Disk, Medium)>,
    pub(crate) record: Arc<Record>,
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) patience: Patience,
}

/// A controller that was killed is back at once.
pub(crate) const PATIENT: Patience = Patience {
    attempts: 2000,
    first: Duration::from_millis(5),
    longest: Duration::from_millis(50),
};

/// Nobody comes back.
pub(crate) const HASTY: Patience = Patience {
    attempts: 3,
    first: Duration::from_millis(1),
    longest: Duration::from_millis(1),
};

impl Workplace for Place {
    fn host(&self) -> Box<dyn Host> {
        Box::new(Hands {
            disks: self.disks.clone(),
            record: Arc::clone(&self.record),
            fuse: Arc::clone(&self.fuse),
        })
    }

    fn way(&self, desk: &Arc<LinkDesk>) -> Way {
        let road = Arc::new(Road {
            desk: Arc::clone(desk),
            record: Arc::clone(&self.record),
            fuse: Arc::clone(&self.fuse),
        });
        Way {
            controller: Arc::clone(&road) as Arc<dyn Controller>,
            sources: vec![road],
        }
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    fn memory(&self) -> Memory {
        self.record.memory.clone()
    }

    fn say(&self, text: &str) {
        self.record.said.lock().unwrap().push(text.to_owned());
    }

    fn sign(&self, line: &str) {
        self.say(line);
    }

    fn progress(&self, progress: &JobProgress) {
        let mut steps = self.record.steps.lock().unwrap();
        if steps.last().is_none_or(|(step, _)| *step != progress.step) {
            steps.push((progress.step, self.fuse.used()));
        }
    }
}

/// The machine's disks, and no tools.
struct Hands {
    disks: Vec<(facts::Disk, Medium)>,
    record: Arc<Record>,
    fuse: Arc<Fuse>,
}

impl Host for Hands {
    fn disks(&self) -> Vec<facts::Disk> {
        self.disks.iter().map(|(disk, _)| disk.clone()).collect()
    }

    fn open(&self, disk: &facts::Disk) -> io::Result<Box<dyn Disk>> {
        let found = self.disks.iter().find(|(known, _)| known.name == disk.name);
        Ok(Box::new(found.unwrap().1.in_machine(&self.fuse)))
    }

    fn unused(&self, _: &facts::Disk, _: &Part, _: &str) -> Option<Vec<Range<u64>>> {
        None
    }

    fn sanitize(&self, _: &facts::Disk) -> Result<(), String> {
        Err("the disk has no such command".to_owned())
    }

    fn boot_order(&self, _: &Part, _: u32) -> Result<bool, String> {
        Ok(false)
    }

    fn say(&self, text: &str) {
        self.record.said.lock().unwrap().push(text.to_owned());
    }
}

/// The link, watched: each word may be the last of somebody, before it is said and after it was heard.
struct Road {
    desk: Arc<LinkDesk>,
    record: Arc<Record>,
    fuse: Arc<Fuse>,
}

impl Road {
    fn says<T>(&self, say: impl FnOnce(&LinkDesk) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let dead = |error: io::Error| Trouble::Refused(error.to_string());
        self.fuse.spend().map_err(dead)?;
        let said = say(&self.desk);
        self.fuse.spend().map_err(dead)?;
        said
    }

    /// Flips a bit of this parcel, when it is its first way over a bad wire.
    fn travels(&self, head: Head, content: &[u8]) -> Option<Vec<u8>> {
        if self.record.bad_wire.load(Ordering::SeqCst) == 0 || content.is_empty() {
            return None;
        }
        if !self.record.flipped.lock().unwrap().insert(head.id) {
            return None;
        }
        let mut bytes = content.to_vec();
        let at = u64::from_le_bytes(*head.id.as_bytes().first_chunk().unwrap());
        let bits = bytes.len() as u64 * 8;
        // A frame has some bits that mean nothing.
        for bit in (0..bits).map(|n| at.wrapping_add(n) % bits) {
            let byte = usize::try_from(bit / 8).unwrap();
            bytes[byte] ^= 1 << (bit % 8);
            if !is_right(head, &bytes) {
                return Some(bytes);
            }
            bytes[byte] ^= 1 << (bit % 8);
        }
        panic!("no bit of chunk {} means anything", head.id);
    }
}

fn is_right(head: Head, content: &[u8]) -> bool {
    match head.form {
        Form::Zstd => {
            let plain = zstd::bulk::decompress(content, 1 << 24);
            plain.is_ok_and(|plain| ChunkId::of(&plain) == head.id)
        }
        Form::Raw | Form::Missing => ChunkId::of(content) == head.id,
    }
}

impl Controller for Road {
    fn progress(&self, progress: &JobProgress) -> Result<(), Trouble> {
        self.says(|desk| desk.progress(progress))
    }

    fn manifest(&self, ticket: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        self.says(|desk| desk.manifest(ticket, limit))
    }

    fn have(&self, job: u64, ids: &[ChunkId]) -> Result<Vec<u32>, Trouble> {
        self.says(|desk| desk.have(job, ids))
    }

    fn put(&self, job: u64, parcels: &[(Head, Bytes)]) -> Result<(), Trouble> {
        let sent = parcels.iter().map(|(head, _)| head.id);
        self.record.sent.lock().unwrap().extend(sent);
        self.says(|desk| desk.put(job, parcels))
    }

    fn save(&self, job: u64, manifest: &[u8]) -> Result<String, Trouble> {
        self.says(|desk| desk.save(job, manifest))
    }
}

impl ChunkSource for Road {
    fn name(&self) -> String {
        self.desk.name()
    }

    fn fetch(&self, request: &Request<'_>, take: Take<'_>) -> Result<(), String> {
        self.fuse.spend().map_err(|error| error.to_string())?;
        let mut dead = None;
        let fetched = self.desk.fetch(request, &mut |head, content| {
            if let Err(error) = self.fuse.spend() {
                dead = Some(error.to_string());
                return false;
            }
            self.record
                .wire
                .fetch_add(content.len() as u64, Ordering::SeqCst);
            if let Some(flipped) = self.travels(head, content) {
                return take(head, &flipped);
            }
            if head.form != Form::Missing {
                self.record.fetched.lock().unwrap().push(head.id);
            }
            take(head, content)
        });
        match dead {
            Some(dead) => Err(dead),
            None => fetched,
        }
    }
}

/// A machine of paper: what is done to it is done by whoever runs the agent, after its end.
pub(crate) struct Paper(pub(crate) HardwareFacts);

impl Effects for Paper {
    fn facts(&self) -> HardwareFacts {
        self.0.clone()
    }

    fn restart(&self) -> io::Result<()> {
        unreachable!("the machine's boots are the test's")
    }

    fn power_off(&self) -> io::Result<()> {
        self.restart()
    }

    fn lamp(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn wake(&self, _: [u8; 6]) -> io::Result<()> {
        Ok(())
    }
}
