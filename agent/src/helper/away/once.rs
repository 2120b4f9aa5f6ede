//! What is served once: every step is in the ledger, and on the disk, before a machine sees its effect.

use std::io;

use ipxe::MacAddr;
use mesh_proto::message::delegation::{
    BASE, DelegatedBoot,
    ledger::{Entry, Ledger},
};

use super::{Away, AwayFile, LEDGERS, LOADED, file_of, lock, write};

/// A script that may be served now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::helper) struct Due {
    /// Which activation.
    pub(in crate::helper) nonce: String,
    /// Its files at the base that was asked for.
    pub(in crate::helper) script: String,
}

/// What a file of such an activation is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::helper) enum Fetched {
    /// It is for the boot of this session; `counts`: a boot file, which the controller has to know.
    File {
        /// The file.
        file: AwayFile,
        /// Which boot.
        session: String,
        /// Whether the boot counts by it.
        counts: bool,
    },
    /// The machine says that this boot has all its files, each with its size.
    All {
        /// Which boot.
        session: String,
        /// The files' names and sizes.
        files: Vec<(String, u64)>,
    },
    /// It is over.
    Gone(String),
    /// There is no such file.
    Unknown,
}

impl Away {
    /// Claims the script of what this helper serves once to this machine; nothing when there is none, or when it is over. It is
    /// written down when this returns.
    ///
    /// # Errors
    /// When that cannot be written: then nothing may be served.
    pub(in crate::helper) fn claim(
        &self,
        mac: MacAddr,
        session: &str,
        base: &str,
    ) -> io::Result<Option<Due>> {
        let Some((held, at)) = self.held() else {
            return Ok(None);
        };
        let machine = held.all.machine(&mac.to_string(), at);
        let boot = machine.and_then(|m| held.all.boot(m, at));
        let Some((boot, once)) = boot.and_then(|b| Some((b, b.once.as_ref()?))) else {
            return Ok(None);
        };
        let good = self.step(&boot.nonce, |ledger| ledger.claim(once, session))?;
        Ok(good.then(|| Due {
            nonce: boot.nonce.clone(),
            script: boot.script.replace(BASE, base),
        }))
    }

    /// A file of what this helper serves once; `None`: it is none of those.
    ///
    /// # Errors
    /// When the claim cannot be written: then nothing may be served.
    pub(in crate::helper) fn fetch(
        &self,
        nonce: &str,
        name: &str,
        session: Option<&str>,
        peek: bool,
        base: &str,
    ) -> io::Result<Option<Fetched>> {
        let Some((held, at)) = self.held() else {
            return Ok(None);
        };
        let boot = held.all.by_nonce(nonce, at);
        let Some((boot, once)) = boot.and_then(|b| Some((b, b.once.as_ref()?))) else {
            return Ok(None);
        };
        let ledger = self.ledger(nonce).with(once);
        if let Some(why) = ledger.over {
            return Ok(Some(Fetched::Gone(why)));
        }
        let last = || ledger.boots.last().map(|b| b.session.clone());
        let named = session.filter(|s| !s.is_empty()).map(ToOwned::to_owned);
        let session = named.or_else(last).unwrap_or_default();
        if name == LOADED && !peek {
            let files = boot.files.iter();
            let files = files.map(|f| (f.name.clone(), f.file.size)).collect();
            self.sent(nonce, &session, None)?;
            return Ok(Some(Fetched::All { session, files }));
        }
        let Some(file) = file_of(boot, name, base) else {
            return Ok(Some(Fetched::Unknown));
        };
        let counts = matches!(file, AwayFile::Stored(_)) && !peek;
        if counts && !self.step(nonce, |ledger| ledger.begin_fetch(once, &session))? {
            let why = self.ledger(nonce).over.unwrap_or_default();
            return Ok(Some(Fetched::Gone(why)));
        }
        Ok(Some(Fetched::File {
            file,
            session,
            counts,
        }))
    }

    /// A boot has this file whole, or all of them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::helper) fn sent(
        &self,
        nonce: &str,
        session: &str,
        name: Option<&str>,
    ) -> io::Result<()> {
        let Some(boot) = self.once(nonce) else {
            return Ok(());
        };
        self.step(nonce, |ledger| ledger.sent(&boot, session, name))
            .map(drop)
    }

    /// The booted system says how it went.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::helper) fn callback(&self, nonce: &str, failure: Option<&str>) -> io::Result<()> {
        match self.once(nonce) {
            Some(_) => self
                .step(nonce, |ledger| ledger.callback(failure))
                .map(drop),
            None => Ok(()),
        }
    }

    /// The controller says that it is over.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::helper) fn ended(&self, nonce: &str) -> io::Result<()> {
        let why = || "the controller says that it is over".to_owned();
        self.step(nonce, |ledger| match ledger.over {
            Some(_) => Entry::Same,
            None => Entry::Over(ledger.end(why())),
        })
        .map(drop)
    }

    /// Whether this helper holds it, also when its time is over: evidence counts all the same.
    pub(in crate::helper) fn once(&self, nonce: &str) -> Option<DelegatedBoot> {
        let held = lock(&self.held).clone()?;
        let mut boots = held.all.boots().filter(|b| b.once.is_some());
        boots.find(|b| b.nonce == nonce).cloned()
    }

    fn ledger(&self, nonce: &str) -> Ledger {
        let ledgers = lock(&self.ledgers);
        ledgers.get(nonce).cloned().unwrap_or_default()
    }

    /// One step, written down before it counts. Says whether what was asked for may be served.
    fn step(&self, nonce: &str, step: impl FnOnce(&Ledger) -> Entry) -> io::Result<bool> {
        let mut ledgers = lock(&self.ledgers);
        let before = ledgers.get(nonce).cloned().unwrap_or_default();
        let (next, good) = match step(&before) {
            Entry::Same => return Ok(true),
            Entry::Next(next) => (next, true),
            Entry::Over(over) => (over, false),
        };
        if next != before {
            let mut all = ledgers.clone();
            all.insert(nonce.to_owned(), next);
            write(&self.folder.join(LEDGERS), &serde_json::to_vec(&all)?)?;
            *ledgers = all;
        }
        Ok(good)
    }
}

#[cfg(test)]
mod tests;
