//! Saving a disk to a store that loses things, and from a disk that does not hold still.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use enforcer_agent::deploy::{Controller, Memory, Setup, Trouble, run};
use image::ChunkId;
use image::parcel::Head;
use mesh_proto::message::job::{Capture, Job, JobProgress};

use crate::disk::{Machine, MemoryDisk};
use crate::site::{HASTE, PARTITION_ID, Site, deploy, failed, noise, written};

const MIB: usize = 1 << 20;

/// A controller that was killed before it had everything on its disk: at the first words of a save it has lost every
/// third chunk that it was given, so many times.
struct Forgetful<'a> {
    site: &'a Site,
    times: AtomicU64,
    given: Mutex<Vec<ChunkId>>,
    put_bytes: AtomicU64,
}

impl<'a> Forgetful<'a> {
    fn new(site: &'a Site, times: u64) -> Self {
        Self {
            site,
            times: AtomicU64::new(times),
            given: Mutex::default(),
            put_bytes: AtomicU64::new(0),
        }
    }

    fn saves(&self, disk: &MemoryDisk) -> enforcer_agent::deploy::Ended {
        let job = Job {
            capture: Some(Capture {
                name: "before".to_owned(),
                chunk_size: 64 << 10,
                used_blocks_only: false,
            }),
            image: None,
            ..deploy(self.site.image(&[1; 512], 512, 64))
        };
        let machine = Machine::with(disk);
        let setup = Setup {
            host: &machine,
            controller: self,
            sources: Vec::new(),
            patience: HASTE,
            watcher: &|_| {},
            memory: Memory::default(),
            partition_id: PARTITION_ID,
        };
        run(&job, &setup)
    }
}

impl Controller for Forgetful<'_> {
    fn progress(&self, progress: &JobProgress) -> Result<(), Trouble> {
        self.site.progress(progress)
    }

    fn manifest(&self, ticket: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        self.site.manifest(ticket, limit)
    }

    fn have(&self, job: u64, ids: &[ChunkId]) -> Result<Vec<u32>, Trouble> {
        self.site.have(job, ids)
    }

    fn put(&self, job: u64, parcels: &[(Head, Bytes)]) -> Result<(), Trouble> {
        let bytes: usize = parcels.iter().map(|(_, content)| content.len()).sum();
        self.put_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
        let ids = parcels.iter().map(|(head, _)| head.id);
        self.given.lock().unwrap().extend(ids);
        self.site.put(job, parcels)
    }

    fn save(&self, job: u64, manifest: &[u8]) -> Result<String, Trouble> {
        let left = self.times.load(Ordering::SeqCst);
        if left == 0 {
            return self.site.save(job, manifest);
        }
        self.times.store(left - 1, Ordering::SeqCst);
        let given = self.given.lock().unwrap();
        for id in given.iter().step_by(3) {
            self.site.chunks.lock().unwrap().remove(id);
        }
        Err(Trouble::Refused("chunks are not in the store".to_owned()))
    }
}

#[test]
fn what_a_killed_controller_lost_of_a_saved_disk_is_given_again_and_nothing_else() {
    let site = Site::default();
    let before = noise(5, 12 * MIB);
    let controller = Forgetful::new(&site, 1);
    written(&controller.saves(&MemoryDisk::with(before.clone(), 512)));
    let saved = site.saved.lock().unwrap().pop().unwrap();
    assert!(site.content(&saved) == before);
    let put = controller.put_bytes.load(Ordering::SeqCst);
    let all = before.len() as u64;
    assert!((all + all / 4..all + all / 2).contains(&put), "{put}");
}

#[test]
fn a_store_that_loses_chunks_again_and_again_ends_the_job_with_its_own_words() {
    let site = Site::default();
    let controller = Forgetful::new(&site, u64::MAX);
    let ended = controller.saves(&MemoryDisk::with(noise(5, 2 * MIB), 512));
    let (reason, touched) = failed(&ended);
    assert!(!touched && reason.contains("not in the store"), "{reason}");
    assert!(site.saved.lock().unwrap().is_empty());
}
