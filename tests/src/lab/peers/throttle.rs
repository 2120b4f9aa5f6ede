//! A slow cable: so that a story can pull the plug in the middle of a download.

use crate::lab::{Namespace, Segment, need};
use anyhow::{Context, Result};
use std::sync::Arc;

/// A limit on what goes *to* one machine or host, while this value lives (tc's token bucket).
#[derive(Debug)]
pub struct Throttle {
    namespace: Arc<Namespace>,
    device: String,
}

impl Throttle {
    /// Slows the cable to machine `id`, which must have been powered on once: its tap then exists.
    pub fn machine(segment: &Segment, id: u8, kbit_per_s: u32) -> Result<Self> {
        Self::start(segment, format!("tap{id}"), kbit_per_s)
    }

    /// Slows the cable to the host that [`Segment::host`] made under `name`.
    pub fn host(segment: &Segment, name: &str, kbit_per_s: u32) -> Result<Self> {
        Self::start(segment, format!("v{name}"), kbit_per_s)
    }

    fn start(segment: &Segment, device: String, kbit_per_s: u32) -> Result<Self> {
        need::programs(&["tc"])?;
        let namespace = segment.namespace().clone();
        let rate = format!("{kbit_per_s}kbit");
        // 16 KiB at once, and at most half a second in the queue: beyond that packets are lost, as on a real slow line
        let args = [
            "qdisc", "replace", "dev", &device, "root", "tbf", "rate", &rate, "burst", "16kb",
            "latency", "500ms",
        ];
        namespace.run("tc", &args).context("slowing a cable")?;
        Ok(Self { namespace, device })
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        let _ = self
            .namespace
            .run("tc", &["qdisc", "del", "dev", &self.device, "root"]);
    }
}
