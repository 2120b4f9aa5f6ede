//! A controller and its store, in memory, with the job it has for the machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use enforcer_agent::deploy::{
    ChunkSource, Controller, Ended, Memory, Patience, Request, Setup, Take, Trouble, run,
};
use image::parcel::{Form, Head};
use image::{Builder, ChunkId, ChunkSize, Manifest};
use mesh_proto::message::job::{
    After, Capture, DiskRule, Erase, ImageRef, Job, JobProgress, Outcome, ProvisionFile, Step,
};

use crate::disk::{Machine, MemoryDisk, Power};
use crate::tools::partition;

pub(crate) const PARTITION_ID: [u8; 16] = [9; 16];

/// No waiting in tests.
pub(crate) const HASTE: Patience = Patience {
    attempts: 3,
    first: Duration::ZERO,
    longest: Duration::ZERO,
};

#[derive(Default)]
pub(crate) struct Site {
    pub(crate) chunks: Mutex<HashMap<ChunkId, Vec<u8>>>,
    pub(crate) manifests: Mutex<HashMap<String, Vec<u8>>>,
    pub(crate) saved: Mutex<Vec<Manifest>>,
    pub(crate) progress: Mutex<Vec<(JobProgress, u64)>>,
    pub(crate) fetched: Mutex<Vec<ChunkId>>,
    /// Says that the job is unwanted at the first report of this step.
    pub(crate) cancel_at: Option<Step>,
    pub(crate) power: Mutex<Arc<Power>>,
}

/// Bytes that do not shrink and differ with the seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

impl Site {
    /// Puts an image into the store.
    pub(crate) fn image(&self, content: &[u8], sector_size: u32, chunk_kib: u32) -> ImageRef {
        let chunk = ChunkSize::try_from(chunk_kib << 10).unwrap();
        let mut builder = Builder::new(sector_size, chunk).unwrap();
        for bytes in content.chunks(chunk.get() as usize) {
            let id = bytes.iter().any(|b| *b != 0).then(|| ChunkId::of(bytes));
            if let Some(id) = id {
                self.chunks.lock().unwrap().insert(id, bytes.to_vec());
            }
            builder.push(id);
        }
        let manifest = builder.finish(content.len() as u64).unwrap();
        self.publish(&manifest)
    }

    pub(crate) fn publish(&self, manifest: &Manifest) -> ImageRef {
        let ticket = format!("ticket for {}", manifest.digest());
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(ticket.clone(), manifest.encode());
        ImageRef {
            name: "test@1".to_owned(),
            manifest: manifest.digest().to_string(),
            size: manifest.size(),
            sector_size: manifest.sector_size(),
            ticket,
        }
    }

    /// The bytes that a manifest stands for.
    pub(crate) fn content(&self, manifest: &Manifest) -> Vec<u8> {
        let chunks = self.chunks.lock().unwrap();
        let mut content = Vec::new();
        for piece in manifest.pieces() {
            match piece.id {
                Some(id) => content.extend_from_slice(&chunks[&id]),
                None => content.resize(content.len() + piece.len as usize, 0),
            }
        }
        content
    }

    pub(crate) fn run(&self, job: &Job, machine: &Machine) -> Ended {
        self.run_from(job, machine, vec![self], &Memory::default())
    }

    pub(crate) fn run_from(
        &self,
        job: &Job,
        machine: &Machine,
        sources: Vec<&dyn ChunkSource>,
        memory: &Memory,
    ) -> Ended {
        let setup = Setup {
            host: machine,
            controller: self,
            sources,
            patience: HASTE,
            watcher: &|_| {},
            memory: memory.clone(),
            partition_id: PARTITION_ID,
        };
        run(job, &setup)
    }

    fn draw(&self) -> Result<(), Trouble> {
        let power = Arc::clone(&self.power.lock().unwrap());
        power
            .draw()
            .map_err(|error| Trouble::Away(error.to_string()))
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<_> = self
            .progress
            .lock()
            .unwrap()
            .iter()
            .map(|(p, _)| p.step)
            .collect();
        steps.dedup();
        steps
    }
}

impl Controller for Site {
    fn progress(&self, progress: &JobProgress) -> Result<(), Trouble> {
        self.draw()?;
        let used = self.power.lock().unwrap().used();
        self.progress.lock().unwrap().push((progress.clone(), used));
        if self.cancel_at == Some(progress.step) {
            return Err(Trouble::Unwanted("a person changed their mind".to_owned()));
        }
        Ok(())
    }

    fn manifest(&self, ticket: &str, _limit: u64) -> Result<Vec<u8>, Trouble> {
        self.draw()?;
        let manifest = self.manifests.lock().unwrap().get(ticket).cloned();
        manifest.ok_or_else(|| Trouble::Refused("no such ticket".to_owned()))
    }

    fn have(&self, _job: u64, ids: &[ChunkId]) -> Result<Vec<u32>, Trouble> {
        self.draw()?;
        let chunks = self.chunks.lock().unwrap();
        Ok((0..)
            .zip(ids)
            .filter(|(_, id)| !chunks.contains_key(id))
            .map(|(n, _)| n)
            .collect())
    }

    fn put(&self, _job: u64, parcels: &[(Head, Bytes)]) -> Result<(), Trouble> {
        self.draw()?;
        for (head, content) in parcels {
            let bytes = match head.form {
                Form::Zstd => zstd::bulk::decompress(content, 16 << 20).unwrap(),
                _ => content.to_vec(),
            };
            assert_eq!(ChunkId::of(&bytes), head.id);
            self.chunks.lock().unwrap().insert(head.id, bytes);
        }
        Ok(())
    }

    fn save(&self, _job: u64, manifest: &[u8]) -> Result<String, Trouble> {
        self.draw()?;
        let manifest = Manifest::parse(manifest).unwrap();
        let chunks = self.chunks.lock().unwrap();
        assert!(
            manifest
                .data()
                .all(|piece| chunks.contains_key(&piece.id.unwrap()))
        );
        self.saved.lock().unwrap().push(manifest);
        Ok("before@1".to_owned())
    }
}

impl ChunkSource for Site {
    fn name(&self) -> String {
        "controller".to_owned()
    }

    fn fetch(&self, request: &Request<'_>, take: Take<'_>) -> Result<(), String> {
        self.draw().map_err(|trouble| trouble.to_string())?;
        for (n, id) in request.ids.iter().enumerate() {
            let Some(bytes) = self.chunks.lock().unwrap().get(id).cloned() else {
                continue;
            };
            self.fetched.lock().unwrap().push(*id);
            let (form, content) = match n % 2 {
                0 => (Form::Raw, bytes),
                _ => (Form::Zstd, zstd::bulk::compress(&bytes, 1).unwrap()),
            };
            let len = u32::try_from(content.len()).unwrap();
            if !take(Head { id: *id, form, len }, &content) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A job with an image and nothing else.
pub(crate) fn deploy(image: ImageRef) -> Job {
    Job {
        id: 7,
        disk: DiskRule::default(),
        partition: None,
        capture: None,
        erase: None,
        image: Some(image),
        grow: false,
        provision: Vec::new(),
        after: After::Reboot,
    }
}

/// Saving, erasing, writing, growing and provisioning.
pub(crate) fn everything(image: ImageRef, chunk_kib: u32) -> Job {
    Job {
        capture: Some(Capture {
            name: "before".to_owned(),
            chunk_size: chunk_kib << 10,
            used_blocks_only: false,
        }),
        erase: Some(Erase::Discard),
        grow: true,
        provision: vec![ProvisionFile {
            name: "user-data".to_owned(),
            text: "#cloud-config\n".to_owned(),
        }],
        ..deploy(image)
    }
}

pub(crate) fn written(ended: &Ended) -> &Outcome {
    match ended {
        Ended::Done(outcome @ Outcome::Written { .. }) => outcome,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn failed(ended: &Ended) -> (&str, bool) {
    match ended {
        Ended::Done(Outcome::Failed {
            reason,
            disk_touched,
        }) => (reason, *disk_touched),
        other => panic!("{other:?}"),
    }
}

/// A disk partitioned as cloud images are, full of noise with holes, `mib` large.
pub(crate) fn cloud_image(seed: u64, mib: usize, sector_size: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let mut content = vec![0; mib << 20];
    for (n, chunk) in content.chunks_mut(64 << 10).enumerate() {
        if n % 3 != 2 {
            let bytes = noise(seed + n as u64, chunk.len());
            chunk.copy_from_slice(&bytes);
        }
    }
    content[..1 << 20].fill(0);
    std::fs::write(&path, &content).unwrap();
    let script =
        "label: gpt\nstart=1MiB, size=1MiB, type=uefi\nstart=2MiB, type=linux, name=root\n";
    partition(&path, sector_size, script);
    std::fs::read(path).unwrap()
}

/// What a disk of this size holds when `job` with this image is done.
pub(crate) fn expected(content: &[u8], disk: &MemoryDisk, before: &[u8], job: &Job) -> Vec<u8> {
    use enforcer_agent::deploy::Disk as _;
    let geometry = disk.geometry();
    let target = image::edit::Target {
        bytes: geometry.bytes,
        sector_size: geometry.sector_size,
    };
    let files: Vec<_> = job
        .provision
        .iter()
        .map(|f| (f.name.as_str(), f.text.as_bytes()))
        .collect();
    let wish = image::edit::Wish {
        grow: job.grow,
        provision: &files,
        partition_id: PARTITION_ID,
        stale: &[],
    };
    let plan = image::edit::plan(&content[..1 << 20], target, &wish).unwrap();
    let mut all = before.to_vec();
    let end = all.len() - (1 << 20);
    all[end.max(1 << 20)..].fill(0);
    all[..content.len()].copy_from_slice(content);
    all[..1 << 20].copy_from_slice(&plan.head);
    for write in plan.writes {
        let at = usize::try_from(write.offset).unwrap();
        all[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
    }
    all
}
