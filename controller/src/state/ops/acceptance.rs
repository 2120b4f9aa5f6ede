//! A person's word on machines and keys: accept, refuse, decide between two claims.

use mesh_proto::{message::enrol::Level, pairing::PairingCode};

use super::{
    MachineRef,
    enrol::{Grant, NewKey, accept, adopt, enrol_key},
    keys::revoke,
    ring::want_rotation,
};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    event::Draft,
    machine::{AcceptedBy, Machine, Standing},
    matching::Identity,
    trust::{
        Digest,
        key::{EnrolledKey, ProvedBy, Serial},
        pending::Pending,
    },
};

/// Why a person's word changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// No such machine.
    #[error("no machine is called '{0}'; `enforcer machines list` shows the known ones")]
    NotFound(String),
    /// Two claims.
    #[error(
        "{0} is disputed; decide first which one it is: `enforcer machines resolve {0} --keep enrolled|newcomer`"
    )]
    Disputed(String),
    /// The screen shows another code.
    #[error(
        "no key of {0} has this pairing code; what asks may not be the machine you look at. If the screen shows another code, type that; else refuse it: `enforcer machines refuse {0}`"
    )]
    WrongCode(String),
    /// Which one?
    #[error(
        "{1} keys wait to be {0}; give the code on its screen: `enforcer machines accept {0} --code 1234-5678`"
    )]
    Several(String, usize),
    /// Nothing to decide.
    #[error("{0} is not disputed")]
    NotDisputed(String),
}

/// A person accepts a machine, and with it the key that waits.
#[derive(Debug, Clone)]
pub struct AcceptMachine {
    /// Which.
    pub machine: MachineRef,
    /// The code on its screen, when the person compared it.
    pub code: Option<PairingCode>,
    /// Who, for people.
    pub by: String,
}

/// What accepting did.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The machine.
    pub machine: Machine,
    /// The waiting key that was taken: sign its certificate and answer its stream.
    pub grant: Option<Grant>,
    /// The enrolled key that now counts as better proved.
    pub raised: Option<EnrolledKey>,
    /// Other keys that waited to be this machine: refuse their streams.
    pub turned_away: Vec<Digest>,
}

/// The key that a person means.
enum Meant {
    Waiting(Box<Pending>),
    Enrolled(Box<EnrolledKey>),
    Nobody,
}

impl Transition for AcceptMachine {
    type Outcome = Result<Accepted, AcceptError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let outcome = self.accepted(view, now, &mut changes);
        match outcome {
            Ok(accepted) => (changes, Ok(accepted)),
            Err(error) => {
                let mut changes = Changes::none();
                if let (AcceptError::WrongCode(name), Some(machine)) =
                    (&error, self.machine.find(view))
                {
                    let text =
                        format!("{} typed a pairing code that no key of {name} has", self.by);
                    changes.event(Draft::new("machine.code-refused", text).machine(&machine.id));
                }
                (changes, Err(error))
            }
        }
    }
}

impl AcceptMachine {
    fn accepted(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Accepted, AcceptError> {
        let found = find(view, &self.machine)?;
        let mut machine = Machine::clone(&found);
        if machine.disputed.is_some() {
            return Err(AcceptError::Disputed(machine.name.to_string()));
        }
        let meant = self.meant(view, &machine)?;
        let compared = self.code.is_some();
        if machine.standing != Standing::Accepted || compared {
            accept(&mut machine, AcceptedBy::Person { code: compared }, now);
        }
        self.tell(&machine, changes);
        let (mut grant, mut raised, mut turned_away) = (None, None, Vec::new());
        match meant {
            Meant::Waiting(pending) => {
                let others = view.pending_of(&machine.id);
                let others = others.filter(|p| p.key != pending.key);
                turned_away.extend(others.map(|p| p.key));
                for key in &turned_away {
                    changes.write(Key::Pending(*key));
                }
                let who = Identity::of_facts(&pending.facts);
                adopt(view, &mut machine, &who, changes);
                let key = taken(*pending, compared);
                grant = Some(enrol_key(view, &machine, key, now, changes));
            }
            Meant::Enrolled(mut key) => {
                key.level = Level::T2;
                key.proved = ProvedBy::Person { code: true };
                changes.write((*key).clone());
                raise_member(view, &key, changes);
                raised = Some(*key);
            }
            Meant::Nobody => {}
        }
        changes.write(machine.clone());
        Ok(Accepted {
            machine,
            grant,
            raised,
            turned_away,
        })
    }

    fn meant(&self, view: &View, machine: &Machine) -> Result<Meant, AcceptError> {
        let waiting: Vec<_> = view.pending_of(&machine.id).collect();
        let Some(code) = self.code else {
            return match waiting.as_slice() {
                [] => Ok(Meant::Nobody),
                [one] => Ok(Meant::Waiting(Box::new(Pending::clone(one)))),
                more => Err(AcceptError::Several(machine.name.to_string(), more.len())),
            };
        };
        let code = code.to_string();
        if let Some(pending) = waiting.iter().find(|p| p.code == code) {
            return Ok(Meant::Waiting(Box::new(Pending::clone(pending))));
        }
        let mut live = view.live_keys_of(&machine.id);
        let key = live.find(|k| k.code.as_ref() == Some(&code));
        key.map(|k| Meant::Enrolled(Box::new(EnrolledKey::clone(k))))
            .ok_or_else(|| AcceptError::WrongCode(machine.name.to_string()))
    }

    fn tell(&self, machine: &Machine, changes: &mut Changes) {
        let how = match self.code {
            Some(_) => ", the pairing codes were compared",
            None => "",
        };
        let text = format!("{} was accepted by {}{how}", machine.name, self.by);
        changes.event(Draft::new("machine.accepted", text).machine(&machine.id));
    }
}

fn taken(pending: Pending, compared: bool) -> NewKey {
    NewKey {
        key: pending.key,
        serial: pending.serial,
        kind: pending.kind,
        level: if compared { Level::T2 } else { Level::T1 },
        proved: ProvedBy::Person { code: compared },
        boot_id: pending.boot_id,
        code: Some(pending.code),
    }
}

/// What lists show follows at once, not at the next hello.
fn raise_member(view: &View, key: &EnrolledKey, changes: &mut Changes) {
    let member = view.member(&key.machine);
    if let Some(member) = member.filter(|m| m.serial == key.serial) {
        let mut member = (**member).clone();
        member.level = key.level;
        changes.write(member);
    }
}

pub(super) fn find(
    view: &View,
    machine: &MachineRef,
) -> Result<std::sync::Arc<Machine>, AcceptError> {
    let missing = || AcceptError::NotFound(machine.0.clone());
    machine.find(view).ok_or_else(missing)
}

/// A person says that a machine is not ours: its keys no longer count, and it is only seen.
#[derive(Debug, Clone)]
pub struct RefuseMachine {
    /// Which.
    pub machine: MachineRef,
    /// Who, for people.
    pub by: String,
}

/// Whom to turn away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Waiting keys: refuse their streams.
    pub turned_away: Vec<Digest>,
    /// Revoked keys: close their links. The gossip ring wants to rotate.
    pub revoked: Vec<Serial>,
}

impl Transition for RefuseMachine {
    type Outcome = Result<Refused, AcceptError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let found = match find(view, &self.machine) {
            Ok(found) => found,
            Err(error) => return (changes, Err(error)),
        };
        let mut refused = Refused::default();
        for pending in view.pending_of(&found.id) {
            refused.turned_away.push(pending.key);
            changes.write(Key::Pending(pending.key));
        }
        let reason = format!("{} refused {}", self.by, found.name);
        for key in view.live_keys_of(&found.id) {
            refused.revoked.push(key.serial.clone());
            revoke(key, &reason, now, &mut changes);
        }
        if !refused.revoked.is_empty() {
            want_rotation(view, reason, &mut changes);
        }
        let mut machine = Machine::clone(&found);
        machine.standing = Standing::Seen;
        (machine.accepted, machine.disputed) = (None, None);
        let text = format!(
            "{} was refused by {}: it is only seen now",
            machine.name, self.by
        );
        changes.event(Draft::new("machine.refused", text).machine(&machine.id));
        changes.write(machine);
        (changes, Ok(refused))
    }
}

/// Which of two claims is the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The one that was there.
    Enrolled,
    /// The one that came.
    Newcomer,
}

/// A person ends a dispute.
#[derive(Debug, Clone)]
pub struct ResolveDispute {
    /// About which machine.
    pub machine: MachineRef,
    /// Who stays.
    pub keep: Keep,
    /// Who decided, for people.
    pub by: String,
}

impl Transition for ResolveDispute {
    /// Keys that were revoked: close their links.
    type Outcome = Result<Vec<Serial>, AcceptError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let found = match find(view, &self.machine) {
            Ok(found) => found,
            Err(error) => return (changes, Err(error)),
        };
        let mut machine = Machine::clone(&found);
        let Some(dispute) = machine.disputed.take() else {
            return (
                changes,
                Err(AcceptError::NotDisputed(machine.name.to_string())),
            );
        };
        let mut revoked = Vec::new();
        let kept = match self.keep {
            Keep::Enrolled => {
                machine.turn_down(dispute.newcomer);
                "the one that was there stays"
            }
            Keep::Newcomer => {
                let reason = format!("{} gave {} to a newcomer", self.by, machine.name);
                for key in view.live_keys_of(&machine.id) {
                    revoked.push(key.serial.clone());
                    revoke(key, &reason, now, &mut changes);
                }
                if !revoked.is_empty() {
                    want_rotation(view, reason, &mut changes);
                }
                // The newcomer asks again, and is to be found by what it is made of.
                machine.uuid.clone_from(&dispute.identity.uuid);
                machine.serial.clone_from(&dispute.identity.serial);
                if view.facts(&machine.id).is_some() {
                    changes.write(Key::Facts(machine.id.clone()));
                }
                "the newcomer takes its place when it asks again"
            }
        };
        let text = format!("{} decided about {}: {kept}", self.by, machine.name);
        changes.event(Draft::new("machine.resolved", text).machine(&machine.id));
        changes.write(machine);
        (changes, Ok(revoked))
    }
}
