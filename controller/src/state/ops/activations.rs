//! A config is made due for a machine, and ended by a person or by time.

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::{Activation, Kind, Nonce, Stage},
    config::{ConfigName, Evidence},
    event::Draft,
    machine::Standing,
    ops::{MachineRef, commands::expire_overdue as expire_commands},
};

/// Closed activations kept per machine, for its history.
const KEPT: usize = 16;

/// Why a config cannot be made due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivateError {
    /// No such machine.
    #[error("no machine is called '{0}'; `enforcer machines list` shows the known ones")]
    NoMachine(String),
    /// No such config.
    #[error("no boot config is called '{0}'; `enforcer boot-configs list` shows the known ones")]
    NoConfig(ConfigName),
    /// Seen, not registered.
    #[error("{0} is only seen; say that it is yours with `enforcer machines register {1}`")]
    NotRegistered(String, String),
    /// Another one is open.
    #[error(
        "{machine} already has {config} active; deactivate it first: `enforcer boot-configs deactivate {machine}`"
    )]
    AlreadyActive {
        /// Which machine.
        machine: String,
        /// What is active.
        config: String,
    },
    /// Evidence `fetched` needs a file.
    #[error(
        "{0} loads no file of its own, so `fetched` would never be seen; set its evidence to `callback`"
    )]
    NoEvidence(ConfigName),
    /// Answer files are read after the boot files, when evidence `fetched` has closed it.
    #[error(
        "{0} has answer files, which are read after its boot files, so `fetched` would close it too early; set its evidence to `callback`"
    )]
    TooEarly(ConfigName),
    /// Its files are not here.
    #[error("{0} waits for its files: {1}")]
    FilesMissing(ConfigName, String),
    /// Nothing to end.
    #[error("nothing is active for {0}")]
    NotActive(String),
}

/// A person makes a config due for a machine.
#[derive(Debug, Clone)]
pub struct Activate {
    /// Whose.
    pub machine: MachineRef,
    /// Which.
    pub config: ConfigName,
    /// One-shot or standing.
    pub kind: Kind,
    /// Not served after this.
    pub until: Option<Timestamp>,
    /// Fresh random name.
    pub nonce: Nonce,
}

impl Transition for Activate {
    type Outcome = Result<Activation, ActivateError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        match self.armed(view, now) {
            Ok((activation, name)) => {
                let mut changes = Changes::none();
                prune(view, &activation, &mut changes);
                let text = format!("{} is armed for {name}", activation.config.name);
                changes.event(about("activation.armed", &activation, text));
                changes.write(activation.clone());
                (changes, Ok(activation))
            }
            Err(e) => (Changes::none(), Err(e)),
        }
    }
}

impl Activate {
    fn armed(&self, view: &View, now: Timestamp) -> Result<(Activation, String), ActivateError> {
        let machine = self
            .machine
            .find(view)
            .ok_or_else(|| ActivateError::NoMachine(self.machine.0.clone()))?;
        let name = machine.name.to_string();
        if machine.standing == Standing::Seen {
            let mac = machine
                .main_mac()
                .map_or_else(String::new, |m| m.to_string());
            return Err(ActivateError::NotRegistered(name, mac));
        }
        let config = view
            .config(&self.config)
            .ok_or_else(|| ActivateError::NoConfig(self.config.clone()))?;
        let missing = config.missing();
        if !missing.is_empty() {
            let why = missing.join("; ");
            return Err(ActivateError::FilesMissing(self.config.clone(), why));
        }
        if self.kind == Kind::OneShot
            && config.evidence == Evidence::Fetched
            && config.program.assets().next().is_none()
        {
            return Err(ActivateError::NoEvidence(self.config.clone()));
        }
        if self.kind == Kind::OneShot
            && config.evidence == Evidence::Fetched
            && !config.answers.is_empty()
        {
            return Err(ActivateError::TooEarly(self.config.clone()));
        }
        if let Some(open) = view.activations_of(&machine.id).find(|a| a.is_due(now)) {
            return Err(ActivateError::AlreadyActive {
                machine: name,
                config: open.config.name.to_string(),
            });
        }
        let activation = Activation {
            id: view.next_activation(),
            nonce: self.nonce.clone(),
            machine: machine.id.clone(),
            config: (**config).clone(),
            kind: self.kind,
            stage: Stage::Armed,
            sessions: Vec::new(),
            reason: None,
            until: self.until,
            armed: now,
            closed: None,
        };
        Ok((activation, name))
    }
}

/// Forgets a machine's oldest closed activations.
fn prune(view: &View, newest: &Activation, changes: &mut Changes) {
    let closed: Vec<_> = view
        .activations_of(&newest.machine)
        .filter(|a| !a.is_open())
        .map(|a| a.id)
        .collect();
    for id in closed.iter().take(closed.len().saturating_sub(KEPT - 1)) {
        changes.write(Key::Activation(*id));
    }
}

/// An event about an activation, with what programs want to know.
pub(super) fn about(kind: &str, activation: &Activation, text: String) -> Draft {
    Draft::new(kind, text)
        .machine(&activation.machine)
        .field("activation", activation.id.0.to_string())
        .field("config", activation.config.name.to_string())
}

/// A person ends what is due for a machine.
#[derive(Debug, Clone)]
pub struct Deactivate(pub MachineRef);

impl Transition for Deactivate {
    type Outcome = Result<Activation, ActivateError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let Some(machine) = self.0.find(view) else {
            return (
                Changes::none(),
                Err(ActivateError::NoMachine(self.0.0.clone())),
            );
        };
        let Some(open) = view.activations_of(&machine.id).find(|a| a.is_open()) else {
            return (
                Changes::none(),
                Err(ActivateError::NotActive(machine.name.to_string())),
            );
        };
        let closed = open.close(
            Stage::Expired,
            "it was deactivated by a person".to_owned(),
            now,
        );
        let mut changes = Changes::none();
        let text = format!(
            "{} was deactivated for {}",
            closed.config.name, machine.name
        );
        changes.event(about("activation.expired", &closed, text));
        changes.write(closed.clone());
        (changes, Ok(closed))
    }
}

/// Closes what is past its time limit: activations, and commands that nobody took. Jobs are [`PassDeadlines`]'s.
///
/// [`PassDeadlines`]: super::PassDeadlines
#[derive(Debug, Clone, Copy)]
pub struct ExpireOverdue;

impl Transition for ExpireOverdue {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        for open in view.activations().filter(|a| a.is_open() && !a.is_due(now)) {
            let closed = open.close(Stage::Expired, "its time limit has passed".to_owned(), now);
            changes.event(about(
                "activation.expired",
                &closed,
                format!("{} has expired", closed.config.name),
            ));
            changes.write(closed);
        }
        expire_commands(view, now, &mut changes);
        (changes, ())
    }
}
