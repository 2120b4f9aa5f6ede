//! Threads that hash, pack and store chunks. Their number of buffers bounds the memory of an upload.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use image::{ChunkId, ChunkSize};

use super::IngestError;
use crate::{Put, Result, Session};

/// More would not be faster than the disk.
const MAX_WORKERS: usize = 8;
/// What the buffers of one upload may take: below the 64 MiB that an upload may cost, its decoder included.
const BUDGET_BYTES: usize = 40 << 20;
/// zstd's tables of one worker at our level.
const TABLES_BYTES: usize = 2 << 20;

/// How long a chunk may take before we look whether its thread still lives: longer than any chunk takes.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// A chunk to be stored: the first `len` bytes of `plain`.
pub(super) struct Job {
    pub(super) ticket: u64,
    pub(super) plain: Vec<u8>,
    pub(super) len: usize,
}

/// A chunk that was stored, or not.
pub(super) struct Done {
    pub(super) ticket: u64,
    pub(super) buffer: Vec<u8>,
    pub(super) len: usize,
    pub(super) result: Result<(ChunkId, Put)>,
}

pub(super) struct Workers {
    /// `None` once they shall end.
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    /// What is queued is not worth storing any more.
    stop: Arc<AtomicBool>,
    chunk_bytes: usize,
    buffers_left: usize,
    running: usize,
}

impl Workers {
    pub(super) fn start(
        session: &Session,
        chunk_size: ChunkSize,
    ) -> std::result::Result<Self, IngestError> {
        let chunk_bytes = chunk_size.get() as usize;
        // Each works on a plain and a packed chunk.
        let affordable = BUDGET_BYTES / (2 * chunk_bytes + TABLES_BYTES);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let count = cores.min(MAX_WORKERS).min(affordable).max(1);
        let (jobs, queue) = channel();
        let (report, done) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Self {
            jobs: Some(jobs),
            done,
            threads: Vec::new(),
            stop: Arc::clone(&stop),
            chunk_bytes,
            // One more is being filled, one is on its way.
            buffers_left: count + 2,
            running: 0,
        };
        for _ in 0..count {
            let (session, queue, report, stop) = (
                session.clone(),
                Arc::clone(&queue),
                report.clone(),
                Arc::clone(&stop),
            );
            let thread = thread::Builder::new()
                .name("image-chunks".into())
                .spawn(move || work(&session, &queue, &report, &stop));
            workers.threads.push(thread.map_err(IngestError::Thread)?);
        }
        Ok(workers)
    }

    /// A buffer of a chunk's size, while there are unused ones; then [`wait`](Self::wait) for one to come back.
    pub(super) fn buffer(&mut self) -> Option<Vec<u8>> {
        self.buffers_left = self.buffers_left.checked_sub(1)?;
        Some(vec![0; self.chunk_bytes])
    }

    pub(super) fn give(&mut self, job: Job) {
        if self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok())
        {
            self.running += 1;
        }
    }

    pub(super) fn busy(&self) -> bool {
        self.running > 0
    }

    /// Waits until one is done.
    pub(super) fn wait(&mut self) -> std::result::Result<Done, IngestError> {
        loop {
            match self.done.recv_timeout(LOOK_AFTER) {
                Ok(done) => {
                    self.running -= 1;
                    return Ok(done);
                }
                // None ends before it is told to, but by a panic; its chunk will never be done.
                Err(_) if self.threads.iter().any(JoinHandle::is_finished) => {
                    return Err(IngestError::Thread(io::ErrorKind::BrokenPipe.into()));
                }
                Err(_) => {}
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _a_panic_was_printed = thread.join();
        }
    }
}

fn work(session: &Session, queue: &Mutex<Receiver<Job>>, report: &Sender<Done>, stop: &AtomicBool) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { ticket, plain, len }) = next else {
            return;
        };
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = ChunkId::of(&plain[..len]);
        let result = session.put_checked(id, &plain[..len]).map(|put| (id, put));
        let done = Done {
            ticket,
            buffer: plain,
            len,
            result,
        };
        if report.send(done).is_err() {
            return;
        }
    }
}
