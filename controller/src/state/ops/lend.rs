//! What helpers may answer while we are away, and the activations that a person put into a helper's hands.
//!
//! An activation that is delegated is its holder's alone: we serve it to nobody from then on, take its evidence, and close it
//! when its time is over without a word. So it is never served twice, at the cost that a holder that burns down takes it along
//! until a person activates it again.

mod written;

use std::collections::BTreeMap;

use ipxe::MacAddr;
use mesh_proto::message::delegation::{
    Delegation, LIVES_S, MARGIN_S, MAX_MACHINES, MAX_ONCE, MAX_TEXT_BYTES, PURPOSE,
};

use super::{Activate, ActivateError, MachineRef, activations::about, boot::record};
use crate::ordered::sort_by;
use crate::state::{
    Changes, Timestamp, Transition, View,
    activation::{Activation, Kind, Nonce, Stage, Step},
    boot::due,
    config::Evidence,
    helper::{Lent, MAX_HEARD_BY, may_help},
    machine::{Machine, MachineId},
};

/// A delegated activation's time is moved on when so much can be gained, seconds: not at each question of its holder.
const MOVED_ON_S: i64 = 900;

/// A person makes a config due for a machine and puts it into a helper's hands.
#[derive(Debug, Clone)]
pub struct ActivateLent {
    /// What, and for which machine.
    pub activate: Activate,
    /// Whose agent shall serve it.
    pub helper: MachineRef,
}

impl Transition for ActivateLent {
    type Outcome = Result<Activation, ActivateError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let (mut changes, armed) = self.activate.run(view, now);
        let lent = armed.and_then(|armed| {
            let to = self.holder(view, &armed)?;
            let text = format!(
                "{} is lent to {}",
                armed.config.name,
                view.machine_name(&to)
            );
            changes.event(about("activation.lent", &armed, text));
            Ok(Activation {
                lent: Some(Lent { to, until: None }),
                ..armed
            })
        });
        match lent {
            Ok(lent) => {
                changes.write(lent.clone());
                (changes, Ok(lent))
            }
            Err(refused) => (Changes::none(), Err(refused)),
        }
    }
}

impl ActivateLent {
    fn holder(&self, view: &View, armed: &Activation) -> Result<MachineId, ActivateError> {
        let no = |why: &str| {
            Err(ActivateError::CannotLend(
                armed.config.name.clone(),
                why.to_owned(),
            ))
        };
        if let Err(why) = lendable(armed) {
            return no(why);
        }
        let Some(helper) = self.helper.find(view) else {
            return Err(ActivateError::NoMachine(self.helper.0.clone()));
        };
        if helper.helper.is_none() {
            let why = format!(
                "{0} is no boot helper; `enforcer machines helper {0} on`",
                helper.name
            );
            return no(&why);
        }
        if let Err(why) = may_help(view, &helper) {
            return no(&why.to_string());
        }
        let is_its = |a: &&std::sync::Arc<Activation>| {
            a.is_open() && a.lent.as_ref().is_some_and(|l| l.to == helper.id)
        };
        if view.activations().filter(is_its).count() >= MAX_ONCE {
            return no(&format!("a helper holds at most {MAX_ONCE}"));
        }
        Ok(helper.id.clone())
    }
}

/// Why a helper could not serve it to its end.
fn lendable(activation: &Activation) -> Result<(), &'static str> {
    let config = &activation.config;
    if activation.kind == Kind::Standing {
        return Err("every helper has the standing configs of its machines anyway");
    }
    if config.evidence == Evidence::Agent {
        return Err(
            "what closes it is an agent's report, which a helper does not see; set its evidence to `callback`",
        );
    }
    if config.level.is_some() {
        return Err("it demands a proved key, and secrets stay here");
    }
    if !config.overlays.is_empty() {
        return Err("it has an overlay, which is made for each boot here");
    }
    Ok(())
}

/// A helper asks for a machine that is ours: it hears it.
#[derive(Debug, Clone)]
pub struct HeardBy {
    /// The machine's boot NIC.
    pub mac: MacAddr,
    /// Whose agent asked.
    pub helper: MachineId,
}

impl Transition for HeardBy {
    type Outcome = ();

    fn run(&self, view: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let known = view.machine_by_mac(self.mac);
        if let Some(known) = known.filter(|m| !m.heard_by.contains(&self.helper)) {
            let mut machine = Machine::clone(known);
            // The order stays, since it says who answers first; who is no helper any more makes room.
            machine.heard_by.retain(|id| is_helper(view, id));
            if machine.heard_by.len() < MAX_HEARD_BY {
                machine.heard_by.push(self.helper.clone());
                changes.write(machine);
            }
        }
        (changes, ())
    }
}

fn is_helper(view: &View, id: &MachineId) -> bool {
    view.machine(id).is_some_and(|m| m.helper.is_some())
}

/// A helper asks what it may answer by itself. What it is told of that is served once is its alone from this commit on.
#[derive(Debug, Clone)]
pub struct Delegate {
    /// Whose agent asks.
    pub helper: MachineId,
    /// The boot program for each firmware, by its words.
    pub programs: BTreeMap<String, String>,
}

impl Transition for Delegate {
    type Outcome = Delegation;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Delegation) {
        let mut changes = Changes::none();
        let (mut machines, mut bytes) = (Vec::new(), 0);
        let mut add = |delegated: mesh_proto::message::delegation::Delegated| {
            let size = serde_json::to_string(&delegated).map_or(usize::MAX, |text| text.len());
            let fits = size < MAX_TEXT_BYTES - bytes && machines.len() < MAX_MACHINES;
            if fits {
                bytes += size;
                machines.push(delegated);
            }
            fits
        };
        let (mut ours, lent) = self.machines(view, now);
        for (activation, machine) in &lent {
            // A boot that we began may still bring us its evidence: that activation stays ours.
            if activation.holder().is_none() && !activation.sessions.is_empty() {
                continue;
            }
            let rank = 0;
            let Some(written) = written::once(view, activation, machine, now) else {
                continue;
            };
            let next = self.moved_on(activation, now);
            let until = next.lent.as_ref().and_then(|l| l.until).unwrap_or(now);
            let lives_s = now.duration_until(until).as_secs() - MARGIN_S;
            if lives_s > 0
                && add(written::delegated(
                    view,
                    machine,
                    rank,
                    Some(written.lives(lives_s)),
                ))
            {
                ours.retain(|(_, m)| m.id != machine.id);
                if next != ***activation {
                    self.tell(view, activation, &next, &mut changes);
                    changes.write(next);
                }
            }
        }
        for (rank, machine) in ours {
            let standing = written::standing(view, machine, now);
            if !add(written::delegated(view, machine, rank, standing)) {
                break;
            }
        }
        let delegation = Delegation {
            purpose: PURPOSE.to_owned(),
            helper: self.helper.node(),
            issued_unix_s: now.as_second(),
            lives_s: LIVES_S,
            programs: self.programs.clone(),
            machines,
        };
        (changes, delegation)
    }
}

type Ranked<'v> = Vec<(u8, &'v Machine)>;
type LentHere<'v> = Vec<(&'v std::sync::Arc<Activation>, &'v Machine)>;

impl Delegate {
    /// The machines that this helper hears, with how many helpers come before it, those that asked last first; and what is lent
    /// to it, with whose it is.
    fn machines<'v>(&self, view: &'v View, now: Timestamp) -> (Ranked<'v>, LentHere<'v>) {
        let mut ours: Vec<(u8, &Machine)> = Vec::new();
        for machine in view.machines().map(AsRef::as_ref) {
            let is_good = machine.standing.is_ours() && machine.disputed.is_none();
            let is_heard = machine.heard_by.contains(&self.helper);
            if let (true, true, Some(rank)) = (is_good, is_heard, self.rank(view, machine, now)) {
                ours.push((rank, machine));
            }
        }
        sort_by(&mut ours, |a, b| b.1.last_seen.cmp(&a.1.last_seen));
        let is_its = |a: &&std::sync::Arc<Activation>| {
            a.is_open() && a.lent.as_ref().is_some_and(|l| l.to == self.helper)
        };
        let lent = view.activations().filter(is_its);
        let lent = lent.filter_map(|a| Some((a, view.machine(&a.machine)?.as_ref())));
        (ours, lent.take(MAX_ONCE).collect())
    }

    /// How many helpers come before this one at a machine. Who has what is lent comes first, and from the moment it is lent: it is told
    /// by itself, and the others each at their own time. Then they come as they were first heard.
    fn rank(&self, view: &View, machine: &Machine, now: Timestamp) -> Option<u8> {
        let due = due(view, &machine.id, now);
        let first = due.and_then(|due| Some(&due.lent.as_ref()?.to));
        let heard = machine.heard_by.iter().filter(|id| Some(*id) != first);
        let mut order = first
            .into_iter()
            .chain(heard)
            .filter(|id| is_helper(view, id));
        let before = order.position(|id| *id == self.helper)?;
        Some(u8::try_from(before).unwrap_or(u8::MAX))
    }

    /// The activation with its holder's time moved on.
    fn moved_on(&self, activation: &Activation, now: Timestamp) -> Activation {
        let lives = jiff::SignedDuration::from_secs(LIVES_S + MARGIN_S);
        let margin = jiff::SignedDuration::from_secs(MARGIN_S);
        let mut until = now + lives;
        if let Some(end) = activation.until {
            until = until.min(end + margin);
        }
        let before = activation.lent.as_ref().and_then(|l| l.until);
        if let Some(before) = before
            && before.duration_until(until).as_secs() < MOVED_ON_S
        {
            until = before;
        }
        Activation {
            lent: Some(Lent {
                to: self.helper.clone(),
                until: Some(until),
            }),
            ..activation.clone()
        }
    }

    fn tell(&self, view: &View, before: &Activation, next: &Activation, changes: &mut Changes) {
        if before.holder().is_none() {
            let holder = view.machine_name(&self.helper);
            let text = format!("{} is {holder}'s alone to serve", next.config.name);
            changes.event(about("activation.delegated", next, text));
        }
    }
}

/// A helper tells of a boot of what was delegated to it.
#[derive(Debug, Clone)]
pub struct TakeServed {
    /// Whose agent tells.
    pub helper: MachineId,
    /// Which activation.
    pub nonce: Nonce,
    /// Which boot.
    pub session: String,
    /// It asked for a boot file.
    pub fetched: bool,
}

impl Transition for TakeServed {
    /// Whether it is still to be served.
    type Outcome = bool;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let found = view.activation_by_nonce(&self.nonce);
        let its = found.filter(|a| a.lent.as_ref().is_some_and(|l| l.to == self.helper));
        let Some(activation) = its.filter(|a| a.is_open()) else {
            return (changes, false);
        };
        let step = match self.fetched {
            true => activation.begin_fetch(&self.session, now),
            false => activation.claim(&self.session, now),
        };
        let go = !matches!(step, Step::Over(_)) && activation.is_due(now);
        record(step, view, &mut changes);
        (changes, go)
    }
}

/// Closes what its holder did not bring back in time. It may have been served: only a person knows whether it is to be again.
pub(super) fn expire_lent(view: &View, now: Timestamp, changes: &mut Changes) {
    for open in view.activations().filter(|a| a.is_open() && a.is_due(now)) {
        let lent = open.lent.as_ref();
        let Some(lent) = lent.filter(|l| l.until.is_some_and(|until| until <= now)) else {
            continue;
        };
        let holder = view.machine_name(&lent.to);
        let why = format!(
            "it was lent to {holder}, which did not say in time how it ended; activate it again if it did not boot"
        );
        let closed = open.close(Stage::Expired, why.clone(), now);
        let text = format!("{} has expired: {why}", closed.config.name);
        changes.event(about("activation.expired", &closed, text));
        changes.write(closed);
    }
}
