//! What a holder has served of an activation that is served once: pure steps, each of which is on the disk before its effect
//! shows, and told to the controller until that has it.
//!
//! The same rules as the controller's own: a boot is counted by its session, files in one boot are evidence, a callback is,
//! and boots without evidence come to an end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{DelegatedBoot, Once, ServedBoot};
use crate::message::peer::ClosedBy;

/// What was served of one activation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The boots, oldest first.
    pub boots: Vec<LedgerBoot>,
    /// Why it is not served any more.
    #[serde(default)]
    pub over: Option<String>,
}

/// One boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerBoot {
    /// The general script's random session.
    pub session: String,
    /// Whether it asked for a boot file.
    pub fetched: bool,
    /// Boot files that it has whole.
    #[serde(default)]
    pub sent: BTreeSet<String>,
}

/// What a request does to a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Nothing new: a retry. Serve it.
    Same,
    /// Write this, then serve.
    Next(Ledger),
    /// Write this; it is over and must not be served.
    Over(Ledger),
}

impl Ledger {
    /// With the boots that the controller knew of when it delegated this.
    #[must_use]
    pub fn with(&self, once: &Once) -> Self {
        let mut all = self.clone();
        for ServedBoot { session, fetched } in &once.served {
            match all.boots.iter_mut().find(|b| b.session == *session) {
                Some(known) => known.fetched |= fetched,
                None => all.boots.push(LedgerBoot {
                    session: session.clone(),
                    fetched: *fetched,
                    sent: BTreeSet::new(),
                }),
            }
        }
        all
    }

    /// The boot of `session` asks for the script.
    #[must_use]
    pub fn claim(&self, once: &Once, session: &str) -> Entry {
        let all = self.with(once);
        if all.over.is_some() {
            return Entry::Over(all);
        }
        if all.boots.iter().any(|b| b.session == session) {
            return Entry::Same;
        }
        let (boots, scripts) = all.served();
        if boots >= once.max_boots {
            return Entry::Over(all.end(too_many(boots)));
        }
        if scripts >= once.max_scripts {
            let why = format!("{scripts} boots fetched its script and none went on");
            return Entry::Over(all.end(why));
        }
        let mut next = all;
        next.boots.push(LedgerBoot {
            session: session.to_owned(),
            fetched: false,
            sent: BTreeSet::new(),
        });
        Entry::Next(next)
    }

    /// The boot of `session` asks for a boot file.
    #[must_use]
    pub fn begin_fetch(&self, once: &Once, session: &str) -> Entry {
        let mut next = match self.claim(once, session) {
            Entry::Same => self.with(once),
            Entry::Next(next) => next,
            over @ Entry::Over(_) => return over,
        };
        let (boots, _) = next.served();
        let Some(known) = next.boots.iter_mut().find(|b| b.session == session) else {
            return Entry::Same;
        };
        if known.fetched {
            return Entry::Same;
        }
        // Two NICs can hold the script before either fetches a file: the cap counts boots, not claims.
        if boots >= once.max_boots {
            return Entry::Over(next.end(too_many(boots)));
        }
        known.fetched = true;
        Entry::Next(next)
    }

    /// The boot of `session` has this file whole; `None`: it says that it has all of them.
    #[must_use]
    pub fn sent(&self, boot: &DelegatedBoot, session: &str, name: Option<&str>) -> Entry {
        let wanted: BTreeSet<&str> = boot.files.iter().map(|f| f.name.as_str()).collect();
        let mut next = self.clone();
        let known = next.boots.iter_mut().find(|b| b.session == session);
        let (None, Some(known)) = (&self.over, known.filter(|b| b.fetched)) else {
            return Entry::Same;
        };
        let before = known.sent.len();
        match name {
            Some(name) if wanted.contains(name) => drop(known.sent.insert(name.to_owned())),
            Some(_) => {}
            None => known.sent.extend(wanted.iter().map(ToString::to_string)),
        }
        if known.sent.len() == before {
            return Entry::Same;
        }
        let by_files = boot.once.as_ref().map(|o| o.closed_by) == Some(ClosedBy::Fetched);
        match by_files && wanted.iter().all(|w| known.sent.contains(*w)) {
            true => Entry::Over(next.end("all its files were fetched".to_owned())),
            false => Entry::Next(next),
        }
    }

    /// The booted system says how it went.
    #[must_use]
    pub fn callback(&self, failure: Option<&str>) -> Entry {
        if self.over.is_some() {
            return Entry::Same;
        }
        Entry::Over(self.end(match failure {
            None => "the booted system reported success".to_owned(),
            Some(words) => format!("the booted system reported: {words}"),
        }))
    }

    /// The same, not to be served any more.
    #[must_use]
    pub fn end(&self, why: String) -> Self {
        Self {
            over: Some(why),
            boots: self.boots.clone(),
        }
    }

    /// How many boots fetched files, and how many only the script.
    fn served(&self) -> (u32, u32) {
        let count = |fetched| self.boots.iter().filter(|b| b.fetched == fetched).count();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(count(true)), number(count(false)))
    }
}

fn too_many(boots: u32) -> String {
    format!("{boots} boots fetched its files and none was confirmed")
}
