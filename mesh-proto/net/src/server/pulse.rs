//! When a connection was last heard, from QUIC's own counters.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use quinn::Connection;

/// The moment from which this server counts time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch(Instant);

impl Epoch {
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One connection's sign of life.
#[derive(Debug)]
pub(super) struct Pulse {
    frames: AtomicU64,
    heard_ms: AtomicU64,
}

impl Pulse {
    pub(super) fn new(epoch: &Epoch, connection: &Connection) -> Self {
        Self {
            frames: AtomicU64::new(frames(connection)),
            heard_ms: AtomicU64::new(epoch.elapsed_ms()),
        }
    }

    /// Looks whether anything came since the last look.
    pub(super) fn sample(&self, epoch: &Epoch, connection: &Connection) {
        let frames = frames(connection);
        if self.frames.swap(frames, Ordering::Relaxed) != frames {
            self.heard_ms.store(epoch.elapsed_ms(), Ordering::Relaxed);
        }
    }

    pub(super) fn heard(&self, epoch: &Epoch) -> Instant {
        epoch.0 + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }
}

/// Frames that came in packets whose keys were right; datagrams alone can be forged by whoever saw a connection id.
fn frames(connection: &Connection) -> u64 {
    let heard = connection.stats().frame_rx;
    heard.acks + heard.ping + heard.stream + heard.path_challenge + heard.path_response
}
