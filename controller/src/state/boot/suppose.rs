//! What would be known if something about a machine were otherwise: a view to [`decide`](super::decide) on, and nowhere written.
//! The real view stays as it is; what a person would do by a command is done here by the same transition.

use std::collections::BTreeMap;

use ipxe::{Firmware, MacAddr};

use crate::state::{
    Key, Record, Timestamp, Transition, View, Write,
    activation::{Kind, Nonce},
    label::{LabelText, MAX_LABELS},
    machine::{Machine, MachineId, Standing},
    name::ConfigName,
    ops::{Activate, ActivateError, MachineRef},
};

/// What is to be otherwise. The default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suppose {
    /// How far it is trusted to be ours.
    pub standing: Option<Standing>,
    /// What it boots with.
    pub firmware: Option<Firmware>,
    /// Labels it has, or has not.
    pub labels: BTreeMap<LabelText, Option<LabelText>>,
    /// None of its activations were there.
    pub without_activation: bool,
    /// None of its deployments were there.
    pub without_deployment: bool,
    /// Nobody had read its hardware.
    pub without_facts: bool,
    /// Somebody had activated this boot config for it, once.
    pub activated: Option<ConfigName>,
}

/// Why something cannot be supposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupposeError {
    /// The config could not be activated.
    #[error(transparent)]
    Activate(#[from] ActivateError),
    /// More labels than a machine may have.
    #[error("a machine has {MAX_LABELS} labels at most")]
    TooManyLabels,
}

impl Suppose {
    /// What is supposed, in words after "if".
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let standing = self.standing.map(|s| format!("it were {}", s.word()));
        let firmware = self
            .firmware
            .map(|f| format!("its firmware were {}", f.describe()));
        let labels = self.labels.iter().map(|(name, value)| match value {
            Some(value) => format!("it had the label {name}={value}"),
            None => format!("it had no label {name}"),
        });
        let missing = [
            (self.without_activation, "nothing were activated for it"),
            (self.without_deployment, "no deployment were there for it"),
            (self.without_facts, "nobody had read its hardware"),
        ];
        let missing = missing
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, text)| text.to_owned());
        let activated = self
            .activated
            .as_ref()
            .map(|c| format!("{c} were activated for it"));
        let first = standing.into_iter().chain(firmware);
        first
            .chain(labels)
            .chain(missing)
            .chain(activated)
            .collect()
    }

    /// What would be known then.
    ///
    /// # Errors
    /// When it could not come to that.
    pub fn of(&self, view: &View, mac: MacAddr, now: Timestamp) -> Result<View, SupposeError> {
        let mut supposed = view.clone();
        if *self == Self::default() {
            return Ok(supposed);
        }
        let known = view.machine_by_mac(mac);
        let stranger = || Machine::seen(MachineId::from_random(0), mac, now);
        let machine = known.map_or_else(stranger, |machine| Machine::clone(machine));
        for gone in self.gone(view, &machine.id) {
            supposed.absorb(&Write::Delete(gone));
        }
        let machine = self.machine(machine)?;
        let named = MachineRef(machine.id.to_string());
        supposed.absorb(&Write::Put(Record::Machine(machine.into())));
        if let Some(config) = &self.activated {
            let activate = Activate {
                machine: named,
                config: config.clone(),
                kind: Kind::OneShot,
                until: None,
                nonce: Nonce::from_random(0),
            };
            let (changes, armed) = activate.run(&supposed, now);
            armed?;
            changes
                .writes
                .iter()
                .for_each(|write| supposed.absorb(write));
        }
        Ok(supposed)
    }

    /// What would not be there.
    fn gone(&self, view: &View, machine: &MachineId) -> Vec<Key> {
        let mut gone = Vec::new();
        if self.without_activation {
            gone.extend(view.activations_of(machine).map(|a| Key::Activation(a.id)));
        }
        if self.without_deployment {
            gone.extend(view.deployments_of(machine).map(|d| Key::Deployment(d.id)));
        }
        if self.without_facts {
            gone.push(Key::Facts(machine.clone()));
        }
        gone
    }

    fn machine(&self, mut machine: Machine) -> Result<Machine, SupposeError> {
        if let Some(standing) = self.standing {
            machine.standing = standing;
            machine.accepted = machine.accepted.filter(|_| standing == Standing::Accepted);
        }
        machine.firmware = self.firmware.or(machine.firmware);
        for (name, value) in &self.labels {
            match value {
                Some(value) => machine.labels.insert(name.clone(), value.clone()),
                None => machine.labels.remove(name),
            };
        }
        match machine.labels.len() {
            ..=MAX_LABELS => Ok(machine),
            _ => Err(SupposeError::TooManyLabels),
        }
    }
}
