//! What the tests of the store share: a store in a folder of its own, and disks to put into it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)] // each test uses some of it, and all of it is test code

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use image::ChunkSize;
use image_store::{ChunkStore, Ingest, IngestError, IngestOptions, Ingested, Limits, Plain};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

/// A store that goes away with its folder.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) store: ChunkStore,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        // In memory where there is one: what a slow disk does to thousands of syncs is not what is tested.
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let store = ChunkStore::open(&dir.path().join("chunks"), limits).unwrap();
        Self { dir, store }
    }

    /// As after a crash: nothing of the old store was told to end.
    pub(crate) fn reopen(&mut self) {
        self.store = ChunkStore::open(&self.path(), Limits::default()).unwrap();
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("chunks")
    }

    pub(crate) fn ingest(
        &self,
        bytes: &[u8],
        options: IngestOptions,
    ) -> Result<Ingested, IngestError> {
        ingest(&self.store, bytes, options)
    }

    /// The image's bytes from `range`, as a reader gets them.
    pub(crate) fn read(&self, done: &Ingested, range: std::ops::Range<u64>) -> Vec<u8> {
        let parts = Plain::new(self.store.clone(), done.manifest.clone().into(), range);
        parts.flat_map(|part| part.unwrap().to_vec()).collect()
    }
}

pub(crate) fn ingest(
    store: &ChunkStore,
    bytes: &[u8],
    options: IngestOptions,
) -> Result<Ingested, IngestError> {
    let mut ingest = Ingest::new(store.session(), options);
    for part in bytes.chunks(100_003) {
        ingest.write(part)?;
    }
    ingest.finish()
}

/// Options with the smallest chunks: tests need many, not much.
pub(crate) fn small() -> IngestOptions {
    IngestOptions {
        chunk_size: ChunkSize::try_from(ChunkSize::MIN).unwrap(),
        ..IngestOptions::default()
    }
}

/// A disk of `chunks` small chunks and a rest: one in three a hole, one in three text, one in three random.
pub(crate) fn disk(seed: u64, chunks: usize) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut disk = Vec::new();
    for chunk in 0..chunks {
        let mut bytes = vec![0; ChunkSize::MIN as usize];
        match chunk % 3 {
            0 => rng.fill_bytes(&mut bytes),
            1 => bytes
                .iter_mut()
                .for_each(|byte| *byte = b"etaoin shrdlu\n"[rng.next_u32() as usize % 14]),
            _ => {}
        }
        disk.extend_from_slice(&bytes);
    }
    disk.extend_from_slice(&[7; 512]);
    disk
}

/// What a program of the host makes of bytes: `xz -c`, `gzip -c`, `zstd -c`, …
pub(crate) fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed (tests/packages.txt): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
