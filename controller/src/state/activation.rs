//! An activation: a boot config made due for one machine, closed by evidence (DESIGN §4).
//!
//! `armed → served → running → confirmed | failed | expired`. Serving is claimed before the script's first byte leaves;
//! the same nonce is served on every retry until evidence closes it; boots that fetched files are counted and capped.

mod nonce;

use std::{collections::BTreeSet, net::IpAddr};

use mesh_proto::message::peer::BASE;
use serde::{Deserialize, Serialize};

pub use self::nonce::{BadNonce, Nonce};
pub use super::number::ActivationId;
use super::{
    Timestamp,
    config::{BootConfig, Evidence},
    helper::Lent,
    label::Selector,
    machine::MachineId,
    peer::{Given, Taken},
    template::{Scope, TemplateError},
};
use crate::ordered::Gather as _;

/// Boots that fetched a boot file without evidence before a one-shot activation fails: never a boot loop.
pub const MAX_BOOTS: usize = 3;
/// Boots that only fetched the script, which a flaky link can cause, before the same happens.
pub const MAX_SCRIPTS: usize = 20;

/// Addresses that one activation remembers: firmware, installer and installed system may each have another.
const MAX_ADDRESSES: usize = 8;

/// Whether an activation ends with its first success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Spent once evidence closed it.
    OneShot,
    /// Served on every boot until a person ends it.
    Standing,
}

/// Where an activation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Waits for the machine to ask.
    Armed,
    /// Its script went out.
    Served,
    /// All its boot files went out.
    Running,
    /// Closed: evidence says that it worked.
    Confirmed,
    /// Closed: the system said that it failed, or a cap was reached.
    Failed,
    /// Closed: a person or its time limit ended it.
    Expired,
}

impl Stage {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Served => "served",
            Self::Running => "running",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// One boot that was served by this activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The general script's random session.
    pub id: String,
    /// When its first request came.
    pub at: Timestamp,
    /// Whether it asked for a boot file.
    #[serde(default)]
    pub fetched: bool,
    /// Boot files sent whole to it.
    #[serde(default)]
    pub sent: BTreeSet<String>,
}

/// How an activation came to its machine, when nobody named that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// The selector.
    pub selector: Selector,
    /// Of two standing configs the one with the higher priority is served.
    #[serde(default)]
    pub priority: i32,
}

/// A boot config made due for one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// Its number.
    pub id: ActivationId,
    /// Its name in URLs.
    pub nonce: Nonce,
    /// Whose it is.
    pub machine: MachineId,
    /// The config as it was when this was armed; later edits do not change it.
    pub config: BootConfig,
    /// One-shot or standing.
    pub kind: Kind,
    /// The selector that chose the machine; `None`: a person named it.
    #[serde(default)]
    pub selected: Option<Selected>,
    /// Discovery armed it, so it waits behind what a person armed.
    #[serde(default)]
    pub discovery: bool,
    /// Where it stands.
    pub stage: Stage,
    /// The boots it served; bounded by [`MAX_BOOTS`] and [`MAX_SCRIPTS`], for standing ones only the newest.
    #[serde(default)]
    pub sessions: Vec<Session>,
    /// Addresses that it was served to when DHCP knew them for the machine; kept only for a config that demands a proved
    /// key, and the newest [`MAX_ADDRESSES`].
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// It is a peer's, and ours to serve: texts in it are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
    /// A peer serves it at its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    /// A helper serves it on its segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent: Option<Lent>,
    /// Why it was closed, for a person.
    #[serde(default)]
    pub reason: Option<String>,
    /// Not served any more after this.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// When it was armed.
    pub armed: Timestamp,
    /// When it was closed.
    #[serde(default)]
    pub closed: Option<Timestamp>,
}

/// What a request does to an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing new: a retry. Serve it.
    Same,
    /// Write this, then serve.
    Next(Activation),
    /// Write this; it is over and must not be served.
    Over(Activation),
}

impl Step {
    /// The same, with the address that DHCP knows for the asker written down, where the config wants to know it.
    #[must_use]
    pub fn at(self, activation: &Activation, address: Option<IpAddr>) -> Self {
        let Some(ip) = address.filter(|_| activation.config.level.is_some()) else {
            return self;
        };
        if activation.addresses.contains(&ip) {
            return self;
        }
        let mut next = match self {
            Self::Same => activation.clone(),
            Self::Next(next) => next,
            over @ Self::Over(_) => return over,
        };
        next.addresses.push(ip);
        let surplus = next.addresses.len().saturating_sub(MAX_ADDRESSES);
        next.addresses.drain(..surplus);
        Self::Next(next)
    }
}

impl Activation {
    /// Whether it is not closed yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.stage {
            Stage::Armed | Stage::Served | Stage::Running => true,
            Stage::Confirmed | Stage::Failed | Stage::Expired => false,
        }
    }

    /// Whether it may be served at `now`.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_open() && self.until.is_none_or(|until| now < until)
    }

    /// A text of its config, filled in. What a peer sent is filled in already, but for the address of who serves it.
    ///
    /// # Errors
    /// When the template fails.
    pub fn fill(&self, template: &str, scope: &Scope<'_>) -> Result<String, TemplateError> {
        match &self.taken {
            None => scope.render(template),
            Some(_) => Ok(template.replace(BASE, scope.base)),
        }
    }

    /// The helper that alone serves it.
    #[must_use]
    pub fn holder(&self) -> Option<&MachineId> {
        let lent = self.lent.as_ref().filter(|lent| lent.until.is_some());
        lent.map(|lent| &lent.to)
    }

    /// How many boots fetched files, and how many only the script.
    #[must_use]
    pub fn served(&self) -> (usize, usize) {
        let boots = self.sessions.iter().filter(|s| s.fetched).count();
        (boots, self.sessions.len() - boots)
    }

    /// The boot of `session` asks for the script.
    #[must_use]
    pub fn claim(&self, session: &str, now: Timestamp) -> Step {
        if self.sessions.iter().any(|s| s.id == session) {
            return Step::Same;
        }
        if self.kind == Kind::OneShot
            && let Some(reason) = self.cap_reached()
        {
            return Step::Over(self.close(Stage::Failed, reason, now));
        }
        let mut next = self.clone();
        next.sessions.push(Session {
            id: session.to_owned(),
            at: now,
            fetched: false,
            sent: BTreeSet::new(),
        });
        let surplus = next.sessions.len().saturating_sub(MAX_BOOTS + MAX_SCRIPTS);
        next.sessions.drain(..surplus);
        next.stage = Stage::Served;
        Step::Next(next)
    }

    fn cap_reached(&self) -> Option<String> {
        let (boots, scripts) = self.served();
        if boots >= MAX_BOOTS {
            return Some(too_many_boots(boots));
        }
        (scripts >= MAX_SCRIPTS)
            .then(|| format!("{scripts} boots fetched its script and none went on"))
    }

    /// The boot of `session` asks for a boot file: counts as a serve. A session that never fetched the script (a
    /// pixiecore, a person's own script) claims here.
    #[must_use]
    pub fn begin_fetch(&self, session: &str, now: Timestamp) -> Step {
        let claimed = match self.claim(session, now) {
            Step::Same => self.clone(),
            Step::Next(next) => next,
            over @ Step::Over(_) => return over,
        };
        let mut next = claimed;
        let (boots, _) = next.served();
        let Some(known) = next.sessions.iter_mut().find(|s| s.id == session) else {
            return Step::Same;
        };
        if known.fetched {
            return Step::Same;
        }
        // Two NICs can hold the script before either fetches a file: the cap counts boots, not claims.
        if self.kind == Kind::OneShot && boots >= MAX_BOOTS {
            return Step::Over(self.close(Stage::Failed, too_many_boots(boots), now));
        }
        known.fetched = true;
        next.stage = Stage::Served;
        Step::Next(next)
    }

    /// `name` was sent whole to the boot of `session`. `Over` carries the confirmation when that was the evidence.
    #[must_use]
    pub fn file_sent(&self, session: &str, name: &str, now: Timestamp) -> Step {
        let required: BTreeSet<&str> = self
            .config
            .program
            .assets()
            .map(|a| a.name.as_str())
            .gather();
        let mut next = self.clone();
        let Some(known) = next.sessions.iter_mut().find(|s| s.id == session) else {
            return Step::Same;
        };
        if !self.is_open() || !required.contains(name) || !known.sent.insert(name.to_owned()) {
            return Step::Same;
        }
        if required.iter().any(|r| !known.sent.contains(*r)) {
            return Step::Next(next);
        }
        next.has_its_files(now)
    }

    /// The boot of `session` says that all its files are in memory. Believed of a boot that asked for them.
    #[must_use]
    pub fn loaded(&self, session: &str, now: Timestamp) -> Step {
        let required: BTreeSet<String> = self
            .config
            .program
            .assets()
            .map(|a| a.name.clone())
            .gather();
        let mut next = self.clone();
        let Some(known) = next.sessions.iter_mut().find(|s| s.id == session) else {
            return Step::Same;
        };
        if !self.is_open() || !known.fetched || known.sent == required {
            return Step::Same;
        }
        known.sent = required;
        next.has_its_files(now)
    }

    /// One boot has all files: that is the evidence, or its kernel starts now.
    fn has_its_files(mut self, now: Timestamp) -> Step {
        self.stage = Stage::Running;
        match (self.kind, self.config.evidence) {
            (Kind::OneShot, Evidence::Fetched) => Step::Over(self.close(
                Stage::Confirmed,
                "all its files were fetched".to_owned(),
                now,
            )),
            (Kind::OneShot, Evidence::Callback | Evidence::Agent) | (Kind::Standing, _) => {
                Step::Next(self)
            }
        }
    }

    /// The booted system says how it went; `failure` carries its words. A standing activation stays.
    #[must_use]
    pub fn callback(&self, failure: Option<String>, now: Timestamp) -> Step {
        if !self.is_open() || self.kind == Kind::Standing {
            return Step::Same;
        }
        Step::Over(match failure {
            None => self.close(
                Stage::Confirmed,
                "the booted system reported success".to_owned(),
                now,
            ),
            Some(words) => self.close(
                Stage::Failed,
                format!("the booted system reported: {words}"),
                now,
            ),
        })
    }

    /// The same, closed.
    #[must_use]
    pub fn close(&self, stage: Stage, reason: String, now: Timestamp) -> Self {
        Self {
            stage,
            reason: Some(reason),
            closed: Some(now),
            ..self.clone()
        }
    }
}

fn too_many_boots(boots: usize) -> String {
    format!("{boots} boots fetched its files and none was confirmed")
}

#[cfg(test)]
mod tests;
