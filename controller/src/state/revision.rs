//! Revisions: what tells one state of a record from another, for people who change what they have read.
//!
//! Only what people change counts. That a machine asked, a webhook was sent or a file was fetched is no other revision: nobody
//! who changes a label has to read again for that.

use std::{fmt, str::FromStr};

use ipxe::MacAddr;
use serde::Serialize;

use super::{
    Timestamp, View,
    api_token::{ApiToken, TokenName},
    config::{BootConfig, ConfigName},
    image::{Image, ImageName},
    lease::Reservation,
    machine::Machine,
    notify::{HookName, Webhook},
    ops::MachineRef,
    peer::{Peer, SiteName},
    power::PowerSettings,
    rollout::{Rollout, RolloutId},
    setup::{Setup, SetupName},
    trust::{
        Digest,
        token::{JoinToken, TokenId},
    },
    user::{User, UserName},
};

/// One state of a record: 64 bits of a SHA-256. As text 16 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(u64);

/// A text that is no revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a revision is 16 hex digits")]
pub struct BadRevision;

impl Revision {
    /// Of what these bytes say.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let digest = Digest::of(bytes).0;
        Self(
            digest
                .iter()
                .take(8)
                .fold(0, |all, b| all << 8 | u64::from(*b)),
        )
    }

    /// Of what is stored of `record`.
    fn of(record: &impl Serialize) -> Self {
        // What is stored is JSON: it cannot fail here and be in the store.
        Self::of_bytes(&serde_json::to_vec(record).unwrap_or_default())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Revision {
    type Err = BadRevision;

    fn from_str(text: &str) -> Result<Self, BadRevision> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or(BadRevision)
    }
}

/// A record that people change.
pub trait Revised {
    /// Its state.
    fn revision(&self) -> Revision;
}

impl Revised for Machine {
    fn revision(&self) -> Revision {
        Revision::of(&Self {
            uuid: None,
            serial: None,
            firmware: None,
            discovery: None,
            heard_by: Vec::new(),
            first_seen: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
            ..self.clone()
        })
    }
}

impl Revised for BootConfig {
    fn revision(&self) -> Revision {
        counted(&self.name, self.revision, self.updated)
    }
}

impl Revised for Setup {
    fn revision(&self) -> Revision {
        counted(&self.name, self.revision, self.updated)
    }
}

/// Of a record that counts its changes itself; one of its name that was deleted began at the same number, at another time.
fn counted(name: &impl fmt::Display, revision: u64, updated: Timestamp) -> Revision {
    Revision::of_bytes(format!("{name} {revision} {updated}").as_bytes())
}

impl Revised for Reservation {
    fn revision(&self) -> Revision {
        Revision::of(self)
    }
}

impl Revised for PowerSettings {
    fn revision(&self) -> Revision {
        // Nothing of the password: a tag is shown to everybody who may look.
        let set = self.set.map_or_else(String::new, |at| at.to_string());
        let text = format!("{} {} {set}", self.machine, self.address);
        Revision::of_bytes(text.as_bytes())
    }
}

impl Revised for JoinToken {
    fn revision(&self) -> Revision {
        Revision::of(self)
    }
}

impl Revised for ApiToken {
    fn revision(&self) -> Revision {
        Revision::of(&Self {
            used: None,
            ..self.clone()
        })
    }
}

impl Revised for Webhook {
    fn revision(&self) -> Revision {
        // It is never changed, only made anew.
        Revision::of_bytes(format!("{} {}", self.name, self.created).as_bytes())
    }
}

impl Revised for Peer {
    fn revision(&self) -> Revision {
        Revision::of(&Self {
            addresses: Vec::new(),
            ..self.clone()
        })
    }
}

impl Revised for Image {
    fn revision(&self) -> Revision {
        Revision::of(self)
    }
}

impl Revised for Rollout {
    fn revision(&self) -> Revision {
        Revision::of(self)
    }
}

impl Revised for User {
    fn revision(&self) -> Revision {
        Revision::of(self)
    }
}

/// Which record.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A machine.
    Machine(MachineRef),
    /// A boot config.
    Config(ConfigName),
    /// An image.
    Image(ImageName),
    /// Another site.
    Peer(SiteName),
    /// A rollout.
    Rollout(RolloutId),
    /// A setup.
    Setup(SetupName),
    /// A person.
    User(UserName),
    /// A webhook.
    Webhook(HookName),
    /// An address that is fixed for a station.
    Reservation(MacAddr),
    /// Who switches a machine.
    Power(MachineRef),
    /// A join token.
    JoinToken(TokenId),
    /// An API token.
    ApiToken(TokenName),
}

impl Subject {
    /// Its state in `view`, when it is there.
    #[must_use]
    pub fn revision(&self, view: &View) -> Option<Revision> {
        match self {
            Self::Machine(machine) => machine.find(view).map(|m| m.revision()),
            Self::Config(name) => view.config(name).map(|c| c.revision()),
            Self::Image(name) => view.image(name).map(|i| i.revision()),
            Self::Peer(site) => view.peer(site).map(|p| p.revision()),
            Self::Rollout(id) => view.rollout(*id).map(|r| r.revision()),
            Self::Setup(name) => view.setup(name).map(|s| s.revision()),
            Self::User(name) => view.user(name).map(|u| u.revision()),
            Self::Webhook(name) => view.webhook(name).map(|w| w.revision()),
            Self::Reservation(mac) => view.reservation(*mac).map(|r| r.revision()),
            Self::Power(machine) => {
                let machine = machine.find(view)?;
                view.power(&machine.id).map(|p| p.revision())
            }
            Self::JoinToken(id) => view.token(id).map(|t| t.revision()),
            Self::ApiToken(name) => view.api_token_named(name).map(|t| t.revision()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{label::Labels, machine::MachineId};

    fn machine() -> Machine {
        let mac = MacAddr([0x52, 0x54, 0, 0x77, 0, 1]);
        Machine::seen(MachineId::from_random(7), mac, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_revision_is_read_as_it_is_written() {
        let revision = machine().revision();
        assert_eq!(revision.to_string().parse(), Ok(revision));
        for wrong in ["", "12", "+123456789abcdef", "123456789abcdefg"] {
            assert_eq!(wrong.parse::<Revision>(), Err(BadRevision), "{wrong}");
        }
    }

    #[test]
    fn what_people_change_is_another_revision_and_what_machines_do_is_not() {
        let before = machine();
        let asked = Machine {
            last_seen: Timestamp::MAX,
            serial: Some("S1".to_owned()),
            ..before.clone()
        };
        assert_eq!(asked.revision(), before.revision());
        let labelled = Machine {
            labels: Labels::from([("pool".parse().unwrap(), "web".parse().unwrap())]),
            ..before.clone()
        };
        assert_ne!(labelled.revision(), before.revision());
    }
}
