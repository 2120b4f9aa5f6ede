//! A lossy wire: nftables drops frames at random on a segment's bridge (the kernel may lack netem).

use crate::lab::{Namespace, Segment, need};
use anyhow::{Result, ensure};
use std::sync::Arc;

/// Loss on a segment while this value lives.
#[derive(Debug)]
pub struct Loss {
    namespace: Arc<Namespace>,
}

impl Loss {
    /// From now on each frame is dropped with `percent` probability, once per crossing: what comes in on a port of the bridge, and what the
    /// bridge's own host sends. A question and its answer are two crossings.
    pub fn start(segment: &Segment, percent: u8) -> Result<Self> {
        need::programs(&["nft"])?;
        ensure!(percent <= 100, "loss is 0 to 100 percent");
        let namespace = segment.namespace().clone();
        let rule = format!("numgen random mod 100 < {percent} counter drop");
        namespace.sh(&format!(
            "nft add table bridge loss
             nft add chain bridge loss arriving '{{ type filter hook prerouting priority -300; }}'
             nft add chain bridge loss leaving '{{ type filter hook output priority -300; }}'
             nft add rule bridge loss arriving '{rule}'
             nft add rule bridge loss leaving '{rule}'"
        ))?;
        Ok(Self { namespace })
    }

    /// How many frames were dropped so far.
    pub fn dropped(&self) -> Result<u64> {
        let rules = self
            .namespace
            .run("nft", &["list", "table", "bridge", "loss"])?;
        let counts = rules.split("counter packets ").skip(1);
        Ok(counts
            .filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok())
            .sum())
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        let _ = self
            .namespace
            .run("nft", &["delete", "table", "bridge", "loss"]);
    }
}
