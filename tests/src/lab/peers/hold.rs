//! Requests that never arrive: what a machine meets when the server dies between two of its questions.

use crate::lab::Namespace;
use crate::lab::{Segment, need};
use anyhow::{Result, ensure};
use std::fmt::Write as _;
use std::sync::Arc;

/// While this value lives, boot HTTP requests to the segment's own host that begin with a given text are lost on the wire.
#[derive(Debug)]
pub struct Hold {
    namespace: Arc<Namespace>,
}

impl Hold {
    /// From now on TCP segments to boot HTTP whose first bytes are `beginning` (≤ 16, e.g. `GET /boot/`) are dropped, retransmissions too.
    pub fn requests(segment: &Segment, beginning: &str) -> Result<Self> {
        need::programs(&["nft"])?;
        // 128 bits is the longest comparison that nftables loads in one piece
        ensure!(
            (1..=16).contains(&beginning.len()),
            "between 1 and 16 bytes"
        );
        let mut hex = String::new();
        for byte in beginning.bytes() {
            write!(hex, "{byte:02x}")?;
        }
        let bits = beginning.len() * 8;
        let namespace = segment.namespace().clone();
        namespace.sh(&format!(
            "nft add table ip hold
             nft add chain ip hold arriving '{{ type filter hook input priority 0; }}'
             nft add rule ip hold arriving tcp dport 4880 @ih,0,{bits} 0x{hex} counter drop"
        ))?;
        Ok(Self { namespace })
    }

    /// From now on nothing passes either way, no refusal and no farewell: the host is dead, not only its program.
    pub fn everything(&self) -> Result<()> {
        let rules = "nft add chain ip hold leaving '{ type filter hook output priority 0; }'
             nft insert rule ip hold arriving tcp dport 4880 counter drop
             nft add rule ip hold leaving tcp sport 4880 drop";
        self.namespace.sh(rules).map(drop)
    }

    /// Whether something was lost so far.
    pub fn has_held(&self) -> Result<bool> {
        let rules = self
            .namespace
            .run("nft", &["list", "table", "ip", "hold"])?;
        let mut counts = rules.split("counter packets ").skip(1);
        Ok(counts.any(|rest| !rest.starts_with("0 ")))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self
            .namespace
            .run("nft", &["delete", "table", "ip", "hold"]);
    }
}
