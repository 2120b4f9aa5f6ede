//! Machines come, are registered, renamed, forgotten.

use std::{collections::BTreeMap, sync::Arc};

use ipxe::{Firmware, LocalBoot, MacAddr};

use super::{
    enrol::{forget_everything_of, is_blank},
    ring::want_rotation,
    users::NotYours,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    label::{LabelText, MAX_LABELS},
    machine::{Machine, MachineId, MachineName, Standing},
    user::{Asker, UserName},
};

/// Seen machines kept; the one silent for longest makes room. A stranger can invent MACs.
pub(super) const MAX_SEEN: usize = 4096;
/// A machine's `last_seen` is written again after this long.
const SEEN_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
/// Longest SMBIOS text taken from a boot request, bytes (DMTF DSP0134 strings are 64 at most in practice).
const MAX_SMBIOS_TEXT: usize = 128;

/// How a person names a machine: name, id or MAC in any spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRef(pub String);

impl MachineRef {
    /// The machine meant.
    #[must_use]
    pub fn find(&self, view: &View) -> Option<Arc<Machine>> {
        let by_mac = || {
            self.0
                .parse::<MacAddr>()
                .ok()
                .and_then(|mac| view.machine_by_mac(mac))
        };
        let by_name = || {
            self.0
                .parse::<MachineName>()
                .ok()
                .and_then(|name| view.machine_by_name(&name))
        };
        let by_id = || view.machines().find(|m| m.id.as_str() == self.0);
        by_mac().or_else(by_name).or_else(by_id).cloned()
    }
}

/// Why a machine cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// No such machine.
    #[error("no machine is called '{0}'; `enforcer machines list` shows the known ones")]
    NotFound(String),
    /// The name is another machine's.
    #[error("the name '{0}' belongs to another machine; choose another name")]
    NameTaken(MachineName),
    /// A multicast, broadcast or zero address.
    #[error("{0} is no address of a single network card")]
    NotAStation(MacAddr),
    /// It belongs to somebody else.
    #[error(transparent)]
    NotYours(#[from] NotYours),
    /// More than [`MAX_LABELS`].
    #[error("a machine has at most {MAX_LABELS} labels; remove one with `NAME-`")]
    TooManyLabels,
}

/// A person's word that the machine with this MAC is ours.
#[derive(Debug, Clone)]
pub struct RegisterMachine {
    /// One of its NICs.
    pub mac: MacAddr,
    /// Its name; `None` keeps the one it has.
    pub name: Option<MachineName>,
    /// Its id, should it be new.
    pub fresh_id: MachineId,
}

impl Transition for RegisterMachine {
    type Outcome = Result<Machine, MachineError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let machine = self.registered(view, now)?;
            let known = view.machine(&machine.id);
            if known.is_none_or(|old| **old != machine) {
                let text = format!("{} ({}) was registered", machine.name, self.mac);
                let draft = Draft::new("machine.registered", text);
                changes.event(draft.machine(&machine.id).mac(self.mac));
                changes.write(machine.clone());
            }
            Ok(machine)
        })
    }
}

impl RegisterMachine {
    fn registered(&self, view: &View, now: Timestamp) -> Result<Machine, MachineError> {
        if !self.mac.is_station() {
            return Err(MachineError::NotAStation(self.mac));
        }
        let known = view.machine_by_mac(self.mac).map(|m| Machine::clone(m));
        let mut machine =
            known.unwrap_or_else(|| Machine::seen(self.fresh_id.clone(), self.mac, now));
        if let Some(name) = &self.name {
            check_name(view, name, &machine.id)?;
            machine.name = name.clone();
        }
        if machine.standing == Standing::Seen {
            machine.standing = Standing::Registered;
        }
        Ok(machine)
    }
}

fn check_name(view: &View, name: &MachineName, id: &MachineId) -> Result<(), MachineError> {
    match view.machine_by_name(name) {
        Some(other) if other.id != *id => Err(MachineError::NameTaken(name.clone())),
        _ => Ok(()),
    }
}

/// A person changes a machine's name, local-boot method or labels.
#[derive(Debug, Clone)]
pub struct UpdateMachine {
    /// Which.
    pub machine: MachineRef,
    /// New name.
    pub name: Option<MachineName>,
    /// New method.
    pub local_boot: Option<LocalBoot>,
    /// Labels put (`Some`) or removed (`None`); others stay.
    pub labels: BTreeMap<LabelText, Option<LabelText>>,
    /// Whose it is from now on.
    pub owner: Option<NewOwner>,
}

/// A machine goes to somebody: its owner and admins give it away; what is nobody's, anybody takes.
#[derive(Debug, Clone)]
pub struct NewOwner {
    /// Whose; `None`: the site's.
    pub owner: Option<UserName>,
    /// Who says so.
    pub by: Asker,
}

impl Transition for UpdateMachine {
    type Outcome = Result<Machine, MachineError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let updated = self.updated(view);
        let mut changes = Changes::none();
        if let Ok(machine) = &updated
            && view
                .machine(&machine.id)
                .is_none_or(|old| **old != *machine)
        {
            changes.event(
                Draft::new("machine.changed", format!("{} was changed", machine.name))
                    .machine(&machine.id),
            );
            changes.write(machine.clone());
        }
        (changes, updated)
    }
}

impl UpdateMachine {
    fn updated(&self, view: &View) -> Result<Machine, MachineError> {
        let found = self
            .machine
            .find(view)
            .ok_or_else(|| MachineError::NotFound(self.machine.0.clone()))?;
        let mut machine = Machine::clone(&found);
        if let Some(name) = &self.name {
            check_name(view, name, &machine.id)?;
            machine.name = name.clone();
        }
        machine.local_boot = self.local_boot.unwrap_or(machine.local_boot);
        if let Some(new) = &self.owner {
            machine.owner = new.of(&machine)?;
        }
        for (name, value) in &self.labels {
            match value {
                Some(value) => machine.labels.insert(name.clone(), value.clone()),
                None => machine.labels.remove(name),
            };
        }
        if machine.labels.len() > MAX_LABELS {
            return Err(MachineError::TooManyLabels);
        }
        Ok(machine)
    }
}

impl NewOwner {
    fn of(&self, machine: &Machine) -> Result<Option<UserName>, NotYours> {
        match &machine.owner {
            Some(owner) if !self.by.may_change(Some(owner)) => Err(NotYours {
                what: machine.name.to_string(),
                owner: owner.clone(),
            }),
            Some(_) | None => Ok(self.owner.clone()),
        }
    }
}

/// A person wants a machine's next boot to be the management OS, once.
#[derive(Debug, Clone)]
pub struct InspectMachine(pub MachineRef);

impl Transition for InspectMachine {
    type Outcome = Result<Machine, MachineError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(found) = self.0.find(view) else {
            return (changes, Err(MachineError::NotFound(self.0.0.clone())));
        };
        let mut machine = Machine::clone(&found);
        machine.inspect = Some(now);
        let text = format!("{} boots the management OS next time", machine.name);
        changes.event(Draft::new("machine.inspect", text).machine(&machine.id));
        changes.write(machine.clone());
        (changes, Ok(machine))
    }
}

/// A person forgets a machine and all its activations.
#[derive(Debug, Clone)]
pub struct DeleteMachine(pub MachineRef);

impl Transition for DeleteMachine {
    type Outcome = Result<(), MachineError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let Some(machine) = self.0.find(view) else {
            return (
                Changes::none(),
                Err(MachineError::NotFound(self.0.0.clone())),
            );
        };
        let mut changes = Changes::none();
        let knew = view.live_keys_of(&machine.id).next().is_some();
        if knew {
            want_rotation(
                view,
                format!("{} was forgotten", machine.name),
                &mut changes,
            );
        }
        forget_everything_of(view, &machine.id, &mut changes);
        changes.event(
            Draft::new("machine.deleted", format!("{} was forgotten", machine.name))
                .machine(&machine.id),
        );
        (changes, Ok(()))
    }
}

/// A machine showed itself on the network; kept lazily.
#[derive(Debug, Clone)]
pub struct Saw {
    /// Its boot NIC.
    pub mac: MacAddr,
    /// SMBIOS uuid, as its firmware told it.
    pub uuid: Option<String>,
    /// SMBIOS serial, as its firmware told it.
    pub serial: Option<String>,
    /// Its firmware, as its ROM said.
    pub firmware: Option<Firmware>,
    /// Its firmware, as an iPXE said by the way it was built; only better than nothing.
    pub guess: Option<Firmware>,
    /// Its id, should it be new.
    pub fresh_id: MachineId,
}

impl Transition for Saw {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        if !self.mac.is_station() {
            return (changes, ());
        }
        let known = view.machine_by_mac(self.mac);
        let before = known.map(|m| Machine::clone(m));
        let mut machine = before
            .clone()
            .unwrap_or_else(|| Machine::seen(self.fresh_id.clone(), self.mac, now));
        machine.uuid = self.uuid.as_deref().map(bounded).or(machine.uuid);
        machine.serial = self.serial.as_deref().map(bounded).or(machine.serial);
        machine.firmware = self.firmware.or(machine.firmware).or(self.guess);
        match before {
            None => {
                make_room(view, &mut changes);
                let text = format!("{} asked to boot; nobody registered it", self.mac);
                changes.event(
                    Draft::new("machine.seen", text)
                        .machine(&machine.id)
                        .mac(self.mac),
                );
            }
            Some(old) if old == machine && now.duration_since(old.last_seen) < SEEN_AGAIN => {
                return (changes, ());
            }
            Some(_) => {}
        }
        machine.last_seen = now;
        changes.write(machine);
        (changes, ())
    }
}

/// A stranger's text, cut and cleaned for people's eyes.
pub(super) fn bounded(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_SMBIOS_TEXT)
        .collect()
}

/// Forgets one machine that nobody registered when there are too many: the one that was silent longest, and invented
/// addresses before machines that have an agent, or a key that waits.
pub(super) fn make_room(view: &View, changes: &mut Changes) {
    if view.seen_count() < MAX_SEEN {
        return;
    }
    let speaks = |m: &Machine| !is_blank(view, m) || view.pending_of(&m.id).next().is_some();
    let oldest = view.seen().find(|m| !speaks(m));
    if let Some(oldest) = oldest.or_else(|| view.seen().next()) {
        forget_everything_of(view, &oldest.id, changes);
    }
}
