//! Work shared by a few threads: while one waits for the wire, another hashes and a third writes.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::fault::Fault;

/// Most threads at work on one job: enough to keep a wire, a disk and two processors busy at once.
pub(super) const LANES: usize = 4;

/// Runs `work` on each item, a few at a time. Each lane has its own `tools`. The first fault stops all lanes at their
/// next item.
pub(super) fn run<I, T>(
    lanes: usize,
    items: impl Iterator<Item = I> + Send,
    tools: impl Fn() -> Result<T, Fault> + Sync,
    work: impl Fn(&mut T, I) -> Result<(), Fault> + Sync,
) -> Result<(), Fault> {
    let items = Mutex::new(items.fuse());
    let fault: Mutex<Option<Fault>> = Mutex::new(None);
    let lane = || {
        let done = tools().and_then(|mut tools| {
            loop {
                if lock(&fault).is_some() {
                    return Ok(());
                }
                let item = lock(&items).next();
                let Some(item) = item else { return Ok(()) };
                work(&mut tools, item)?;
            }
        });
        if let Err(new) = done {
            lock(&fault).get_or_insert(new);
        }
    };
    thread::scope(|scope| {
        for _ in 1..lanes.clamp(1, LANES) {
            scope.spawn(lane);
        }
        lane();
    });
    into_inner(fault).map_or(Ok(()), Err)
}

/// A panic in one lane ends the job anyway, when the scope ends.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the lanes left.
pub(super) fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn every_item_is_done_once_and_a_fault_stops_the_rest() {
        let sum = AtomicU64::new(0);
        run(
            4,
            1..=1000,
            || Ok(()),
            |(), n| {
                sum.fetch_add(n, Ordering::Relaxed);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(sum.into_inner(), 500_500);
        let done = AtomicU64::new(0);
        let failed = run(
            4,
            0..,
            || Ok(()),
            |(), n| {
                done.fetch_add(1, Ordering::Relaxed);
                if n == 10 {
                    Err(Fault::EditDiffers(n))
                } else {
                    Ok(())
                }
            },
        );
        assert!(matches!(failed, Err(Fault::EditDiffers(10))));
    }
}
