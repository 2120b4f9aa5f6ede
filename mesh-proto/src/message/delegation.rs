//! What a helper may answer by itself while its controller is away: written and signed by the controller, for one helper,
//! until an end.
//!
//! Two kinds of things are in it. What may be served any number of times: machines' own disks and standing configs. And what
//! is served once: activations that a person put into this helper's hands. From the moment such a one is delegated its
//! controller serves it to nobody, so that there is exactly one who counts its boots; how that goes is the [`ledger`]'s.

pub mod ledger;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::boot::{Program, StoredFile};
use super::peer::ClosedBy;
use crate::identity::NodeId;
use crate::json;

/// What the signature is about, so that no other signed text is taken for a delegation.
pub const PURPOSE: &str = "enforcer-delegation/1";
/// How long a delegation is good, seconds: a night and a day without the controller.
pub const LIVES_S: i64 = 24 * 3600;
/// So much longer the controller holds a one-shot activation for its holder than that may serve it, seconds: what an answer
/// may be on its way, with room.
pub const MARGIN_S: i64 = 60;
/// Machines in one delegation: a large segment.
pub const MAX_MACHINES: usize = 1024;
/// One-shot activations in one delegation: each is a person's own word.
pub const MAX_ONCE: usize = 64;
/// Bytes of a delegation's text. It travels as a string in JSON, which can double it, and a frame holds a mebibyte.
pub const MAX_TEXT_BYTES: usize = 480 << 10;
/// Where scripts and texts have this, the helper puts its own `http://host:port`. A name that nobody can have (RFC 2606 §2).
pub const BASE: &str = "http://helper.invalid";

/// A delegation as the link carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// A [`Delegation`] in JSON; exactly these bytes are signed.
    pub text: String,
    /// By the site's CA key (ECDSA P-256, SHA-256, ASN.1), hex digits.
    pub signature: String,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// [`PURPOSE`].
    pub purpose: String,
    /// Whose it is.
    pub helper: NodeId,
    /// When it was written, seconds since 1970 by the controller's clock.
    pub issued_unix_s: i64,
    /// Good for so long, seconds.
    pub lives_s: i64,
    /// The boot program for each firmware, by its words.
    pub programs: BTreeMap<String, String>,
    /// The machines that are answered: those that this helper was heard to ask for.
    pub machines: Vec<Delegated>,
}

/// What one machine is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegated {
    /// Its stations.
    pub macs: Vec<String>,
    /// Its name, for its screen.
    pub name: String,
    /// How it is sent to its own disk: `auto`, `sanboot`, `exit`, `exit-failure`, `localboot`.
    pub local: String,
    /// How many other helpers that hear this machine come before this one.
    pub rank: u8,
    /// What it boots instead of its disk.
    #[serde(default)]
    pub boot: Option<DelegatedBoot>,
}

/// A config that is due for the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedBoot {
    /// Its place in URLs: `/boot/n/NONCE/…`.
    pub nonce: String,
    /// Its script, with [`BASE`] for the helper's address.
    pub script: String,
    /// Boot files, to be fetched while the controller is there.
    pub files: Vec<Program>,
    /// Answer files, filled in, with [`BASE`] for the helper's address.
    pub texts: BTreeMap<String, String>,
    /// Served for so long from the issue on, seconds.
    pub lives_s: i64,
    /// It is served once, and by nobody else; `None`: on every boot.
    #[serde(default)]
    pub once: Option<Once>,
}

/// How often a one-shot activation is served, and what ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    /// The evidence that closes it; never `agent`, which a helper does not see.
    pub closed_by: ClosedBy,
    /// Boots that may fetch its files, the ones that are known included.
    pub max_boots: u32,
    /// Boots that may fetch only its script.
    pub max_scripts: u32,
    /// Those that the controller knows of.
    pub served: Vec<ServedBoot>,
}

/// One boot that was served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedBoot {
    /// The general script's random session.
    pub session: String,
    /// Whether it asked for a boot file.
    pub fetched: bool,
}

/// The time, as the holder of a delegation has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By its clock: seconds since 1970. A board without a battery has it wrong.
    pub unix_s: i64,
    /// Since the delegation came, by the count of seconds that the computer keeps since it was started; `None`: it was started
    /// again meanwhile.
    pub held_s: Option<i64>,
}

/// Why a delegation is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDelegation {
    /// Not a delegation's text.
    #[error("this is no delegation")]
    Malformed,
    /// It is another helper's.
    #[error("the delegation is another helper's")]
    OtherHelper,
    /// Its end has come.
    #[error("the delegation has ended")]
    Expired,
    /// The clock says that it is not written yet: that clock says nothing about its end either.
    #[error("this machine's clock is wrong")]
    Clock,
}

impl Delegation {
    /// Reads a text whose signature was checked.
    ///
    /// # Errors
    /// When it is no delegation, or not for `helper`.
    pub fn read(text: &str, helper: NodeId) -> Result<Self, BadDelegation> {
        let read: Self = json::from_slice(text.as_bytes()).map_err(|_| BadDelegation::Malformed)?;
        if read.purpose != PURPOSE {
            return Err(BadDelegation::Malformed);
        }
        if read.helper != helper {
            return Err(BadDelegation::OtherHelper);
        }
        Ok(read)
    }

    /// Whether it is good now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, at: Moment) -> Result<(), BadDelegation> {
        let age = self.age(at)?;
        let good = age < self.lives_s.min(LIVES_S);
        good.then_some(()).ok_or(BadDelegation::Expired)
    }

    /// Seconds since its issue: by the computer's own count, where that goes back so far, since nobody can set it.
    fn age(&self, at: Moment) -> Result<i64, BadDelegation> {
        let by_clock = at.unix_s - self.issued_unix_s;
        match at.held_s {
            Some(held) => Ok(held),
            None if by_clock < 0 => Err(BadDelegation::Clock),
            None => Ok(by_clock),
        }
    }

    /// What a station is answered now.
    #[must_use]
    pub fn machine(&self, mac: &str, at: Moment) -> Option<&Delegated> {
        self.check(at).ok()?;
        let mut machines = self.machines.iter();
        machines.find(|m| m.macs.iter().any(|known| known == mac))
    }

    /// The config that a machine of this delegation boots now.
    #[must_use]
    pub fn boot<'a>(&self, machine: &'a Delegated, at: Moment) -> Option<&'a DelegatedBoot> {
        machine.boot.as_ref().filter(|boot| self.serves(boot, at))
    }

    /// The config with this nonce, while it is served.
    #[must_use]
    pub fn by_nonce(&self, nonce: &str, at: Moment) -> Option<&DelegatedBoot> {
        self.check(at).ok()?;
        let mut boots = self.boots().filter(|boot| boot.nonce == nonce);
        boots.find(|boot| self.serves(boot, at))
    }

    /// What is served once needs the time that nobody can set: after a restart of the computer it is not served any more.
    fn serves(&self, boot: &DelegatedBoot, at: Moment) -> bool {
        let sure = boot.once.is_none() || at.held_s.is_some();
        sure && self.age(at).is_ok_and(|age| age < boot.lives_s)
    }

    /// All configs in it.
    pub fn boots(&self) -> impl Iterator<Item = &DelegatedBoot> {
        self.machines.iter().filter_map(|m| m.boot.as_ref())
    }

    /// Every file that has to be here before the controller goes.
    pub fn files(&self) -> impl Iterator<Item = &StoredFile> {
        self.boots().flat_map(|b| b.files.iter().map(|f| &f.file))
    }
}

#[cfg(test)]
mod tests;
