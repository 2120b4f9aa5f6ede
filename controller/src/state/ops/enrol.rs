//! A key asks to speak for a machine. Which machine, by what proof, and whether a person has to say yes: decided and
//! written down in one transaction, before a certificate is signed.

mod grant;
mod proof;
mod subject;

use std::net::IpAddr;

use ipxe::MacAddr;
use mesh_proto::{
    facts::HardwareFacts,
    message::{
        Refusal, RefusalCode, Secret,
        enrol::{KeyKind, Level},
    },
};

pub use grant::Grant;
pub(super) use grant::{NewKey, adopt, enrol_key, forget_everything_of, record};
use proof::Proved;
use subject::Subject;
pub(super) use subject::is_blank;

use super::pending::{newcomer, wait_for_a_person};
use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    machine::{Acceptance, AcceptedBy, Dispute, Machine, MachineId, Standing},
    matching::Identity,
    policy::Accept,
    trust::{
        Digest,
        key::{ProvedBy, Serial},
        pending::Pending,
        token::TokenUse,
    },
};

/// Why the key should be taken, as far as the socket could check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// By the secret of its boot.
    Boot {
        /// The NIC that booted, as the script was told.
        mac: MacAddr,
        /// The secret that its proof was found to show: the one that the view had for this NIC. `None`: it shows none.
        shown: Option<Secret>,
    },
    /// By this join token's text.
    Token(Secret),
    /// By nothing: a person decides.
    None,
}

/// A key asks for a certificate.
#[derive(Debug, Clone)]
pub struct Enrol {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// A fresh serial for the certificate that may come of it.
    pub serial: Serial,
    /// Which kind of key.
    pub kind: KeyKind,
    /// Why.
    pub claim: Claim,
    /// What the machine says it is made of.
    pub facts: HardwareFacts,
    /// Its boot.
    pub boot_id: String,
    /// Its agent's version.
    pub agent: String,
    /// The pairing code as an honest machine shows it.
    pub code: String,
    /// Where it asks from.
    pub from: IpAddr,
    /// The station that DHCP knows at that address.
    pub known_as: Option<MacAddr>,
    /// An id, should the machine be new.
    pub fresh_id: MachineId,
}

/// What the key gets.
#[derive(Debug, Clone, PartialEq)]
pub enum EnrolOutcome {
    /// A certificate; sign it as the grant says.
    Granted(Box<Grant>),
    /// It waits for a person. When it is accepted, [`AcceptMachine`](super::AcceptMachine) hands out its grant.
    Pending(Box<Pending>),
    /// No.
    Refused(Refusal),
}

impl Transition for Enrol {
    type Outcome = EnrolOutcome;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, EnrolOutcome) {
        let mut changes = Changes::none();
        let who = Identity::of_facts(&self.facts);
        let outcome = match self.proof(view, now) {
            Err(refusal) => self.refuse(None, refusal, &mut changes),
            Ok(proved) => match self.subject(view, &who, &proved) {
                Subject::Sure(machine) => {
                    self.claim_for(view, &who, &proved, machine, now, &mut changes)
                }
                Subject::New => self.newcomer(view, &proved, now, &mut changes),
                Subject::Unsure(machine, why) => {
                    let machine = machine.unwrap_or_else(|| self.fresh(view, now));
                    self.wait(view, machine, why, now, &mut changes)
                }
                Subject::Rival(machine, why) => {
                    self.dispute(&machine, &who, &why, now, &mut changes)
                }
                Subject::Wrong(machine, refusal) => {
                    self.refuse(machine.as_ref(), refusal, &mut changes)
                }
            },
        };
        (changes, outcome)
    }
}

impl Enrol {
    /// The machine that this would be, if it is none of ours.
    fn fresh(&self, view: &View, now: Timestamp) -> Machine {
        newcomer(view, self.fresh_id.clone(), &self.facts, now)
    }

    /// The machine is known and nobody contradicts: take the key, if the policy says so.
    fn claim_for(
        &self,
        view: &View,
        who: &Identity,
        proved: &Proved,
        mut machine: Machine,
        now: Timestamp,
        changes: &mut Changes,
    ) -> EnrolOutcome {
        let (level, by) = match proved {
            Proved::Nothing => {
                let why = format!(
                    "{} showed no secret; compare its pairing code",
                    machine.name
                );
                return self.wait(view, machine, why, now, changes);
            }
            Proved::Boot { .. } => {
                let manual = view.policy.accept == Accept::Manual;
                match machine.standing {
                    Standing::Seen | Standing::Registered if manual => {
                        let why = "the site accepts machines by hand (accept = \"manual\")";
                        return self.wait(view, machine, why.to_owned(), now, changes);
                    }
                    Standing::Registered => accept(&mut machine, AcceptedBy::BootSecret, now),
                    Standing::Seen | Standing::Accepted => {}
                }
                (Level::T1, ProvedBy::BootSecret)
            }
            Proved::Token { token } => {
                let mut used = (**token).clone();
                used.used_by = Some(TokenUse {
                    machine: machine.id.clone(),
                    key: self.key,
                    at: now,
                });
                changes.write(used);
                let id = token.id.clone();
                if machine.standing != Standing::Accepted {
                    accept(&mut machine, AcceptedBy::Token { id: id.clone() }, now);
                }
                (Level::T2, ProvedBy::Token { id })
            }
        };
        adopt(view, &mut machine, who, changes);
        self.spend_secret(&mut machine);
        let grant = enrol_key(view, &machine, self.new_key(level, by), now, changes);
        EnrolOutcome::Granted(Box::new(grant))
    }

    /// A boot secret is good once.
    fn spend_secret(&self, machine: &mut Machine) {
        let Claim::Boot { shown, .. } = &self.claim else {
            return;
        };
        let made = machine.discovery.as_mut().and_then(|d| d.secret.as_mut());
        if let Some(secret) = made.filter(|s| Some(&s.secret) == shown.as_ref()) {
            secret.used = true;
        }
    }

    fn new_key(&self, level: Level, proved: ProvedBy) -> NewKey {
        NewKey {
            key: self.key,
            serial: self.serial.clone(),
            kind: self.kind,
            level,
            proved,
            boot_id: self.boot_id.clone(),
            code: Some(self.code.clone()),
        }
    }

    /// None of our machines: a token makes it one, everything else lets it wait.
    fn newcomer(
        &self,
        view: &View,
        proved: &Proved,
        now: Timestamp,
        changes: &mut Changes,
    ) -> EnrolOutcome {
        let machine = self.fresh(view, now);
        match proved {
            Proved::Token { .. } => {
                let who = Identity::of_facts(&self.facts);
                self.claim_for(view, &who, proved, machine, now, changes)
            }
            Proved::Boot { .. } | Proved::Nothing => {
                let why = "nobody registered this machine".to_owned();
                self.wait(view, machine, why, now, changes)
            }
        }
    }

    fn wait(
        &self,
        view: &View,
        machine: Machine,
        why: String,
        now: Timestamp,
        changes: &mut Changes,
    ) -> EnrolOutcome {
        let pending = Pending {
            key: self.key,
            serial: self.serial.clone(),
            kind: self.kind,
            machine: machine.id.clone(),
            boot_id: self.boot_id.clone(),
            agent: self.agent.clone(),
            from: self.from,
            code: self.code.clone(),
            facts: self.facts.clone(),
            why,
            since: now,
            heard: now,
        };
        let pending = wait_for_a_person(view, machine, pending, changes);
        EnrolOutcome::Pending(Box::new(pending))
    }

    /// Only the newcomer is refused: the key that is enrolled keeps its link. One that a person turned down asks again every
    /// half a minute as long as it runs; that opens no dispute anew, or it could keep a machine from its work for ever.
    fn dispute(
        &self,
        machine: &Machine,
        who: &Identity,
        why: &str,
        now: Timestamp,
        changes: &mut Changes,
    ) -> EnrolOutcome {
        if machine.turned_down.contains(&self.key) {
            let text = format!("a person decided that another agent is {}", machine.name);
            return EnrolOutcome::Refused(Refusal::new(RefusalCode::Disputed, text));
        }
        let text = format!(
            "{} already has a living agent with another key; a person decides with `enforcer machines resolve {} --keep enrolled|newcomer`",
            machine.name, machine.name
        );
        if machine.disputed.as_ref().map(|d| d.newcomer) != Some(self.key) {
            let mut disputed = machine.clone();
            disputed.disputed = Some(Dispute {
                at: now,
                newcomer: self.key,
                from: self.from,
                why: why.to_owned(),
                identity: who.clone(),
            });
            let told = format!(
                "another claims to be {}, from {}: {why}; the first keeps its link",
                machine.name, self.from
            );
            let draft = Draft::new("machine.disputed", told).machine(&machine.id);
            changes.event(draft.field("from", self.from.to_string()));
            changes.write(disputed);
        }
        EnrolOutcome::Refused(Refusal::new(RefusalCode::Disputed, text))
    }

    fn refuse(
        &self,
        machine: Option<&Machine>,
        refusal: Refusal,
        changes: &mut Changes,
    ) -> EnrolOutcome {
        let told = format!("a key from {} was refused: {}", self.from, refusal.text);
        let draft = Draft::new("enrolment.refused", told).field("from", self.from.to_string());
        changes.event(match machine {
            Some(machine) => draft.machine(&machine.id),
            None => draft,
        });
        EnrolOutcome::Refused(refusal)
    }
}

pub(super) fn accept(machine: &mut Machine, how: AcceptedBy, now: Timestamp) {
    machine.standing = Standing::Accepted;
    machine.accepted = Some(Acceptance { how, at: now });
}
