//! What the disk below the lab's folders gives by itself: no durable answer is quicker.

use anyhow::Result;
use enforcer_tests::bench::Spread;
use std::{
    fs::File,
    io::Write,
    thread,
    time::{Duration, Instant},
};

/// A block, which is what a disk writes at least.
const BLOCK: [u8; 4096] = [7; 4096];

/// One fsync after the other, for a second.
pub(crate) fn fsyncs() -> Result<Vec<Duration>> {
    let mut file = tempfile::tempfile()?;
    let (end, mut times) = (Instant::now() + Duration::from_secs(1), Vec::new());
    while Instant::now() < end {
        times.push(block_is_kept(&mut file)?);
    }
    Ok(times)
}

/// An ideal server: `count` askers at a fixed pace, and all that came while one block was being kept share the next.
pub(crate) fn ideal_log(per_second: u32, count: usize) -> Result<Spread> {
    let mut file = tempfile::tempfile()?;
    let apart = Duration::from_secs(1) / per_second;
    let began = Instant::now();
    let comes = |asker: usize| began + apart * asker as u32;
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        thread::sleep(comes(times.len()).saturating_duration_since(Instant::now()));
        let there = began.elapsed().as_nanos() / apart.as_nanos() + 1;
        let there = count.min(there as usize);
        block_is_kept(&mut file)?;
        let now = Instant::now();
        times.extend((times.len()..there).map(|asker| now - comes(asker)));
    }
    Ok(Spread::of(times))
}

fn block_is_kept(file: &mut File) -> Result<Duration> {
    let began = Instant::now();
    file.write_all(&BLOCK)?;
    file.sync_data()?;
    Ok(began.elapsed())
}
