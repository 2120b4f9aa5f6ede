//! Members of providers come, change, fall silent, go; their tags lead to machines.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    enrol::is_blank,
    machines::{MAX_SEEN, bounded},
};
use crate::ordered::Gather as _;
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    event::Draft,
    machine::{Machine, MachineId, MachineName},
    matching::{Match, find},
    member::MemberState,
    provider::{Heard, MAX_MEMBERS, NodeName, ProviderKind, ProviderMember, ProviderName},
};
use ipxe::MacAddr;

/// A provider tells of some of its members.
#[derive(Debug, Clone)]
pub struct HearProvider {
    /// Who tells.
    pub provider: ProviderName,
    /// Which kind of provider.
    pub kind: ProviderKind,
    /// What it says.
    pub heard: Vec<Heard>,
    /// An id for each, should its machine be new.
    pub fresh_ids: Vec<MachineId>,
    /// Events that it may cause; of what more happened only the number is told, so that nobody can push everything else out of the
    /// record.
    pub may_tell: usize,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Members that were not taken, because there are [`MAX_MEMBERS`] already.
    pub refused: usize,
    /// Events that it caused.
    pub told: usize,
}

impl Transition for HearProvider {
    type Outcome = Taken;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Taken) {
        let mut hearing = Hearing {
            view: view.clone(),
            changes: Changes::none(),
            now,
            may_tell: self.may_tell,
            untold: 0,
            refused: 0,
        };
        for (heard, fresh) in self.heard.iter().zip(&self.fresh_ids) {
            self.take(&mut hearing, heard, fresh);
        }
        let told = hearing.changes.events.len();
        if hearing.untold > 0 && told > 0 {
            let (kind, provider, more) = (self.kind.word(), &self.provider, hearing.untold);
            let text = format!("{more} more members of {kind} {provider} changed");
            hearing.changes.event(Draft::new("provider.members", text));
        }
        let refused = hearing.refused;
        (hearing.changes, Taken { refused, told })
    }
}

/// A report while it is taken in; later members see what earlier ones changed.
struct Hearing {
    view: View,
    changes: Changes,
    now: Timestamp,
    may_tell: usize,
    untold: usize,
    refused: usize,
}

impl Hearing {
    fn tell(&mut self, draft: Draft) {
        if self.changes.events.len() < self.may_tell {
            self.changes.event(draft);
        } else {
            self.untold += 1;
        }
    }

    fn absorb_from(&mut self, first: usize) {
        for write in &self.changes.writes[first..] {
            self.view.absorb(write);
        }
    }
}

impl HearProvider {
    fn take(&self, hearing: &mut Hearing, heard: &Heard, fresh: &MachineId) {
        let before = hearing
            .view
            .provider_member(&self.provider, &heard.node)
            .cloned();
        if before.is_none() && hearing.view.provider_count(&self.provider) >= MAX_MEMBERS {
            hearing.refused += 1;
            return;
        }
        let first = hearing.changes.writes.len();
        let machine = machine_of(hearing, heard, before.as_deref(), fresh);
        let now = hearing.now;
        let member = ProviderMember {
            provider: self.provider.clone(),
            kind: self.kind,
            node: heard.node.clone(),
            address: heard.address,
            tags: heard.tags.clone(),
            machine,
            state: heard.state,
            since: before
                .as_ref()
                .filter(|b| b.state == heard.state)
                .map_or(now, |b| b.since),
            why: heard.why.clone(),
            joined: before.as_ref().map_or(now, |b| b.joined),
        };
        if before.as_deref() != Some(&member) {
            if let Some(draft) = told(before.as_deref(), &member, &hearing.view) {
                hearing.tell(draft);
            }
            hearing.changes.write(member);
        }
        hearing.absorb_from(first);
    }
}

/// The machine that a member's tags describe: one that is known by the same rules as an agent's facts, or a new one that is only seen.
fn machine_of(
    hearing: &mut Hearing,
    heard: &Heard,
    before: Option<&ProviderMember>,
    fresh: &MachineId,
) -> Option<MachineId> {
    let same = before.filter(|b| b.tags == heard.tags);
    let known = same.and_then(|b| b.machine.clone());
    if let Some(known) = known.filter(|id| hearing.view.machine(id).is_some()) {
        return Some(known);
    }
    let who = heard.tags.identity();
    match find(&hearing.view, &who, None) {
        Match::Known(candidate) => Some(candidate.machine),
        // To whom it belongs is not for a hint to say.
        Match::Ambiguous(_) => None,
        Match::New(_) => {
            let machine = newcomer(&hearing.view, heard, fresh, hearing.now)?;
            let text = format!(
                "{} is known by the tags of {} only; nobody registered it",
                machine.name, heard.node
            );
            hearing.tell(Draft::new("machine.seen", text).machine(&machine.id));
            hearing.changes.write(machine);
            Some(fresh.clone())
        }
    }
}

/// A machine that nobody knew, with the cards that are nobody's. `None`: nothing tells it from others, or there is no room; a hint does
/// not push out machines that asked to boot.
fn newcomer(view: &View, heard: &Heard, id: &MachineId, now: Timestamp) -> Option<Machine> {
    let who = heard.tags.identity();
    let owned = |mac: &&MacAddr| view.machine_by_mac(**mac).is_some();
    let cards: BTreeSet<MacAddr> = who.macs.iter().filter(|m| !owned(m)).copied().gather();
    let says_more = who.macs.is_empty() && (who.uuid.is_some() || who.serial.is_some());
    if view.seen_count() >= MAX_SEEN || (cards.is_empty() && !says_more) {
        return None;
    }
    let first = cards.first().copied();
    let mut machine = Machine::seen(id.clone(), first.unwrap_or(MacAddr([0; 6])), now);
    machine.macs = cards;
    let holder = view.machine_by_name(&machine.name);
    if first.is_none() || holder.is_some_and(|m| !is_blank(view, m)) {
        machine.name = MachineName::from_id(id);
    }
    machine.uuid = heard.tags.uuid().map(bounded);
    machine.serial = heard.tags.serial().map(bounded);
    Some(machine)
}

/// What people are told of a member's change, if anything.
fn told(before: Option<&ProviderMember>, member: &ProviderMember, view: &View) -> Option<Draft> {
    let was = before.map(|b| b.state);
    let (name, why) = (name_of(member, view), &member.why);
    let (kind, text) = match (was, member.state) {
        (was, is) if was == Some(is) => return None,
        (None, MemberState::Alive) => ("member.joined", format!("{name} joined")),
        (None, is) => (
            "member.joined",
            format!("{name} is listed as {}", is.word()),
        ),
        (Some(was), MemberState::Alive) => (
            "member.alive",
            format!("{name} is back, it was {}", was.word()),
        ),
        (_, MemberState::Unreachable) => (
            "member.unreachable",
            format!("{name} does not answer: {why}"),
        ),
        (_, MemberState::Down) => ("member.down", format!("{name} is down: {why}")),
        (_, MemberState::Left) => ("member.left", format!("{name} left: {why}")),
    };
    Some(about(kind, text, member))
}

fn about(kind: &str, text: String, member: &ProviderMember) -> Draft {
    let draft = Draft::new(kind, text)
        .field("provider", member.provider.as_str())
        .field("node", member.node.as_str());
    match &member.machine {
        Some(machine) => draft.machine(machine),
        None => draft,
    }
}

/// `n1 of serf lab`, or `web1 (n1 of serf lab)`.
fn name_of(member: &ProviderMember, view: &View) -> String {
    let there = format!("{} of {}", member.node, member.source());
    let machine = member.machine.as_ref().and_then(|id| view.machine(id));
    machine.map_or(there.clone(), |m| format!("{} ({there})", m.name))
}

/// A provider has listed all its members: the others are no longer there.
#[derive(Debug, Clone)]
pub struct KeepListed {
    /// Who listed.
    pub provider: ProviderName,
    /// Whom.
    pub listed: BTreeSet<NodeName>,
    /// Events that it may cause.
    pub may_tell: usize,
}

impl Transition for KeepListed {
    /// Events that it caused.
    type Outcome = usize;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, usize) {
        let mut changes = Changes::none();
        let members = view.members_of_provider(&self.provider);
        for member in members.filter(|m| !self.listed.contains(&m.node)) {
            changes.write(Key::ProviderMember(
                self.provider.clone(),
                member.node.clone(),
            ));
            let missed = member.is_alive() || member.state == MemberState::Unreachable;
            if missed && changes.events.len() < self.may_tell {
                let text = format!("{} is no longer listed", name_of(member, view));
                changes.event(about("member.left", text, member));
            }
        }
        let told = changes.events.len();
        (changes, told)
    }
}

/// A provider does not answer: nobody knows how its members are.
#[derive(Debug, Clone)]
pub struct ProviderSilent {
    /// Which.
    pub provider: ProviderName,
    /// Which kind.
    pub kind: ProviderKind,
    /// Why, in words.
    pub why: String,
    /// Whether people are told: it answered before.
    pub tell: bool,
}

impl Transition for ProviderSilent {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        for member in view.members_of_provider(&self.provider) {
            let lost = match member.state {
                MemberState::Alive => true,
                MemberState::Unreachable => member.why != self.why,
                MemberState::Down | MemberState::Left => false,
            };
            if lost {
                let mut member = ProviderMember::clone(member);
                if member.state != MemberState::Unreachable {
                    (member.state, member.since) = (MemberState::Unreachable, now);
                }
                member.why.clone_from(&self.why);
                changes.write(member);
            }
        }
        if self.tell {
            let text = format!("{} {}: {}", self.kind.word(), self.provider, self.why);
            changes.event(
                Draft::new("provider.silent", text).field("provider", self.provider.as_str()),
            );
        }
        (changes, ())
    }
}

/// A provider that was silent answers again.
#[derive(Debug, Clone)]
pub struct ProviderBack {
    /// Which.
    pub provider: ProviderName,
    /// Which kind.
    pub kind: ProviderKind,
}

impl Transition for ProviderBack {
    type Outcome = ();

    fn run(&self, _: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let text = format!("{} {} answers again", self.kind.word(), self.provider);
        changes.event(Draft::new("provider.back", text).field("provider", self.provider.as_str()));
        (changes, ())
    }
}

/// The controller starts: members of providers that nobody configured any more are forgotten. The others are heard of soon.
#[derive(Debug, Clone)]
pub struct ForgetProviders {
    /// The providers that there are.
    pub keep: BTreeSet<ProviderName>,
}

impl Transition for ForgetProviders {
    type Outcome = ();

    fn run(&self, view: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let gone = view.providers().filter(|p| !self.keep.contains(*p));
        let members: Vec<Arc<ProviderMember>> = gone
            .flat_map(|p| view.members_of_provider(p).cloned())
            .collect();
        for member in members {
            let key = Key::ProviderMember(member.provider.clone(), member.node.clone());
            changes.write(key);
        }
        (changes, ())
    }
}
