//! Members come, fall silent, go.

use std::net::SocketAddr;

use mesh_proto::message::{Refusal, RefusalCode, enrol::KeyKind, job::Ability, link::Habitat};

use super::{
    commands::settle,
    online::{Evidence, link_ended, online, started},
};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    command::CommandStage,
    event::Draft,
    machine::{Machine, MachineId, Standing},
    member::{Member, MemberState},
    trust::{
        Digest,
        admit::{Admission, admit},
        key::{EnrolledKey, KeyState, Serial},
    },
};
use mesh_proto::message::command::Command;

/// How far ahead of ours an agent's remembered generation is believed: we may have been restored from a backup.
const BELIEVED_AHEAD: u32 = 1 << 20;

/// An agent opens its link.
#[derive(Debug, Clone)]
pub struct OpenLink {
    /// Its certificate.
    pub serial: Serial,
    /// The key that it proved.
    pub key: Digest,
    /// Its boot.
    pub boot_id: String,
    /// Where the link comes from.
    pub address: SocketAddr,
    /// UDP port it gossips on; `None`: leaf mode.
    pub gossip_port: Option<u16>,
    /// The agent's version.
    pub agent: String,
    /// What it runs in.
    pub habitat: Habitat,
    /// Digest of its facts.
    pub facts_digest: String,
    /// The last generation it was given.
    pub last_generation: u32,
    /// What it can do that older agents cannot.
    pub abilities: Vec<Ability>,
}

/// What the agent is told, and what follows from its coming.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkOpened {
    /// The machine.
    pub machine: Machine,
    /// The member, with its new generation.
    pub member: Member,
    /// Whether something may be written to its disk.
    pub accepted: bool,
    /// Its facts are not the ones we have: ask for them.
    pub facts_wanted: bool,
    /// Keys that are not needed any more: close their links.
    pub superseded: Vec<Serial>,
}

impl Transition for OpenLink {
    type Outcome = Result<LinkOpened, Refusal>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let (key, machine) = match self.admitted(view, now) {
            Ok(admitted) => admitted,
            Err(refusal) => return (changes, Err(refusal)),
        };
        let before = view.member(&machine.id);
        let member = self.member(before.map(AsRef::as_ref), key, now);
        let superseded = self.retire_others(view, key, now, &mut changes);
        self.settle_earlier_boots(view, &machine.id, now, &mut changes);
        tell_coming(before.map(AsRef::as_ref), &member, machine, &mut changes);
        self.tell_jobs(
            view,
            before.map(AsRef::as_ref),
            &machine.id,
            now,
            &mut changes,
        );
        changes.write(member.clone());
        let mut machine = machine.clone();
        if self.habitat == Habitat::ManagementOs && machine.inspect.take().is_some() {
            changes.write(machine.clone());
        }
        let facts = view.facts(&machine.id);
        let opened = LinkOpened {
            accepted: machine.standing == Standing::Accepted && machine.disputed.is_none(),
            facts_wanted: facts.is_none_or(|f| f.digest != self.facts_digest),
            machine,
            member,
            superseded,
        };
        (changes, Ok(opened))
    }
}

impl OpenLink {
    fn admitted<'v>(
        &self,
        view: &'v View,
        now: Timestamp,
    ) -> Result<(&'v EnrolledKey, &'v Machine), Refusal> {
        let unknown = || Refusal::new(RefusalCode::Revoked, "this site does not know the key");
        if admit(view, &self.serial, &self.key, now)? == Admission::RenewalOnly {
            let text = "the certificate has ended; renew it first";
            return Err(Refusal::new(RefusalCode::Expired, text));
        }
        let key = view.key(&self.serial).ok_or_else(unknown)?;
        let machine = view.machine(&key.machine).ok_or_else(unknown)?;
        if key.kind == KeyKind::Boot && key.boot_id != self.boot_id {
            let text = "this key was made for another boot; enrol anew";
            return Err(Refusal::new(RefusalCode::WrongBoot, text));
        }
        Ok((key, machine))
    }

    fn member(&self, before: Option<&Member>, key: &EnrolledKey, now: Timestamp) -> Member {
        let last = before.map_or(0, |m| m.generation);
        let theirs = self.last_generation;
        let believed = theirs
            .checked_sub(last)
            .is_some_and(|ahead| ahead <= BELIEVED_AHEAD);
        let newest = if believed { theirs } else { last };
        Member {
            machine: key.machine.clone(),
            generation: newest.saturating_add(1),
            serial: self.serial.clone(),
            kind: key.kind,
            level: key.level,
            boot_id: self.boot_id.clone(),
            address: self.address,
            gossip_port: self.gossip_port,
            agent: self.agent.clone(),
            habitat: self.habitat,
            facts_digest: self.facts_digest.clone(),
            abilities: self.abilities.clone(),
            joined: now,
            state: MemberState::Alive,
            since: before
                .filter(|m| m.is_alive() && m.boot_id == self.boot_id)
                .map_or(now, |m| m.since),
            why: "its link speaks".to_owned(),
        }
    }

    /// A key in use is the last word: older ones of its kind, and keys of boots that are over, end here.
    fn retire_others(
        &self,
        view: &View,
        used: &EnrolledKey,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Vec<Serial> {
        let older = |k: &EnrolledKey| k.kind == used.kind && k.issued <= used.issued;
        let of_another_boot =
            |k: &EnrolledKey| k.kind == KeyKind::Boot && k.boot_id != self.boot_id;
        let mut retired = Vec::new();
        for key in view.live_keys_of(&used.machine) {
            if key.serial != used.serial && (older(key) || of_another_boot(key)) {
                let mut key = EnrolledKey::clone(key);
                key.state = KeyState::Replaced { at: now };
                retired.push(key.serial.clone());
                changes.write(key);
            }
        }
        retired
    }

    /// The agent of an installed OS is the evidence that a written disk works; one of another boot says that the management
    /// OS of a written machine has ended.
    fn tell_jobs(
        &self,
        view: &View,
        before: Option<&Member>,
        machine: &MachineId,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        match self.habitat {
            Habitat::InstalledOs => {
                if let Some(job) = started(view, machine) {
                    online(view, job, Evidence::Agent, now, changes);
                }
            }
            Habitat::ManagementOs => {
                if before.is_some_and(|m| m.boot_id != self.boot_id) {
                    link_ended(view, machine, now, changes);
                }
            }
        }
    }

    /// A new boot answers what became of the commands of the one before.
    fn settle_earlier_boots(
        &self,
        view: &View,
        machine: &MachineId,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let open = view.commands_of(machine).filter(|c| c.stage.is_open());
        for command in open.filter(|c| c.boot_id != self.boot_id) {
            let (stage, text) = match (&command.command, command.stage) {
                (Command::Reboot, CommandStage::Sent) => {
                    (CommandStage::Done, "the machine has started again")
                }
                _ => (CommandStage::Lost, "the boot it was for is over"),
            };
            settle(view, command, stage, text.to_owned(), now, changes);
        }
    }
}

fn tell_coming(before: Option<&Member>, member: &Member, machine: &Machine, changes: &mut Changes) {
    let where_in = match member.habitat {
        Habitat::ManagementOs => "the management OS",
        Habitat::InstalledOs => "its installed OS",
    };
    let (kind, text) = match before {
        None => (
            "member.joined",
            format!("{} joined the mesh from {where_in}", machine.name),
        ),
        Some(m) if m.boot_id != member.boot_id => (
            "member.joined",
            format!(
                "{} joined the mesh again from {where_in}, after a start",
                machine.name
            ),
        ),
        Some(m) if !m.is_alive() => {
            let was = m.state.word();
            (
                "member.alive",
                format!("{} is back, it was {was}", machine.name),
            )
        }
        // The link was only opened anew.
        Some(_) => return,
    };
    let draft = Draft::new(kind, text).machine(&machine.id);
    changes.event(draft.field("address", member.address.to_string()));
}

/// The controller's verdict on a member (DESIGN §6).
#[derive(Debug, Clone)]
pub struct LinkVerdict {
    /// Whom.
    pub machine: MachineId,
    /// In which generation; a later hello is not meant.
    pub generation: u32,
    /// What.
    pub state: MemberState,
    /// Why, in words: `silent for 6 s`.
    pub why: String,
}

impl Transition for LinkVerdict {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let known = view.member(&self.machine);
        let Some(known) = known.filter(|m| m.generation == self.generation) else {
            return (changes, ());
        };
        if known.state == self.state {
            return (changes, ());
        }
        let mut member = Member::clone(known);
        (member.state, member.since) = (self.state, now);
        member.why.clone_from(&self.why);
        let name = view.machine_name(&self.machine);
        let (kind, text) = match self.state {
            MemberState::Alive => ("member.alive", format!("{name} speaks again")),
            MemberState::Unreachable => (
                "member.unreachable",
                format!("{name} does not answer: {}", self.why),
            ),
            MemberState::Down => ("member.down", format!("{name} is down: {}", self.why)),
            MemberState::Left => ("member.left", format!("{name} left: {}", self.why)),
        };
        changes.event(Draft::new(kind, text).machine(&self.machine));
        changes.write(member);
        if self.state != MemberState::Alive {
            link_ended(view, &self.machine, now, &mut changes);
        }
        (changes, ())
    }
}

/// The controller starts: no link stands, no stream waits, and nobody will answer what was asked before.
#[derive(Debug, Clone, Copy)]
pub struct SettleAfterStart;

impl Transition for SettleAfterStart {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        for member in view.members().filter(|m| m.is_alive()) {
            let mut member = Member::clone(member);
            (member.state, member.since) = (MemberState::Unreachable, now);
            "not heard since the controller started".clone_into(&mut member.why);
            changes.write(member);
        }
        for pending in view.pending() {
            changes.write(Key::Pending(pending.key));
        }
        for command in view.open_commands() {
            let text = "the controller was restarted before it heard how it went".to_owned();
            settle(view, command, CommandStage::Lost, text, now, &mut changes);
        }
        (changes, ())
    }
}
