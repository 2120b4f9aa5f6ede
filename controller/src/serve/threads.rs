//! Threads of the mesh's own. On those of everything else each burst of packets woke another one that found nothing to do:
//! sending a GiB took a fifth more of the processor.

use std::{io, thread};

use tokio::runtime::{Builder, Runtime};

/// A runtime beside the one of the process. Whoever sits in it spawns tasks and binds sockets there.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// For the mesh: half of the processors. The other half hashes, reads disks, and answers those who boot.
    pub(super) fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads((cores / 2).max(1))
            .thread_name("mesh")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Does `work` as if these threads did it: the tasks it spawns and the sockets it binds are theirs.
    pub(super) fn hold<T>(&self, work: impl FnOnce() -> T) -> T {
        let _here = self.0.as_ref().map(Runtime::enter);
        work()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Nobody may wait in a task; what ran here has ended, or had its time.
            runtime.shutdown_background();
        }
    }
}
