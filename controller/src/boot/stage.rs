//! The stage memory behind `ipxe.rechain = always`: which machines run the iPXE that we sent.
//!
//! A ROM's iPXE and ours look the same in DHCP, and Debian's binaries carry no mark of their own. So: once a machine has
//! loaded our program, its next DHCP requests come from that program, until it has asked for its script.

use std::collections::HashMap;

use ipxe::MacAddr;

use crate::state::Timestamp;

/// Machines remembered; the oldest makes room.
const MAX: usize = 8192;
/// A machine that loaded our iPXE and did not ask for a script within this was reset meanwhile, seconds.
const FORGET_S: i64 = 60;

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Stages {
    ours: HashMap<MacAddr, Timestamp>,
}

impl Stages {
    /// The machine has loaded our program.
    pub(super) fn loaded(&mut self, mac: MacAddr, now: Timestamp) {
        if self.ours.len() >= MAX && !self.ours.contains_key(&mac) {
            let oldest = self
                .ours
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(mac, _)| *mac);
            oldest.map(|mac| self.ours.remove(&mac));
        }
        self.ours.insert(mac, now);
    }

    /// Whether the iPXE that asks now is ours.
    pub(super) fn runs_ours(&self, mac: MacAddr, now: Timestamp) -> bool {
        self.ours
            .get(&mac)
            .is_some_and(|at| !super::older_than(*at, now, FORGET_S))
    }

    /// The machine has its script: its next boot starts anew.
    pub(super) fn finished(&mut self, mac: MacAddr) {
        self.ours.remove(&mac);
    }
}
