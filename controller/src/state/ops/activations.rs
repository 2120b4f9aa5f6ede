//! A config is made due for a machine.

use std::sync::Arc;

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::{Activation, ActivationId, Kind, Nonce, Selected, Stage},
    config::{BootConfig, ConfigName, Evidence},
    event::Draft,
    label::Selector,
    machine::{Machine, MachineName, Standing},
    ops::{
        MachineRef,
        holds::{Held, may_use},
    },
};

/// Closed activations kept per machine, for its history.
const KEPT: usize = 16;

/// Why a config cannot be made due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivateError {
    /// Somebody else has the machine.
    #[error(transparent)]
    Held(#[from] Held),
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
    /// A standing config would do it again and again.
    #[error("{0} writes to a disk, so it cannot be standing: each boot would install it again")]
    WritesDisk(ConfigName),
    /// Nobody has such labels.
    #[error(
        "no registered machine fits {0}; `enforcer machines set NAME --label KEY=VALUE` labels them"
    )]
    NobodySelected(Selector),
    /// More machines than fresh names.
    #[error("more machines fit than a moment ago; try again")]
    TooManySelected,
    /// Its files are not here.
    #[error("{0} waits for its files: {1}")]
    FilesMissing(ConfigName, String),
    /// A helper cannot see it end, or may not have it.
    #[error("{0} cannot be lent to a helper: {1}")]
    CannotLend(ConfigName, String),
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
        let wish = Wish {
            config: &self.config,
            kind: self.kind,
            until: self.until,
            selected: None,
        };
        let mut changes = Changes::none();
        let armed = wish.found(view).and_then(|config| {
            let machine = self.machine.find(view);
            let machine =
                machine.ok_or_else(|| ActivateError::NoMachine(self.machine.0.clone()))?;
            let name = (view.next_activation(), &self.nonce);
            wish.arm(view, (config, &machine), name, now, &mut changes)
        });
        (changes, armed)
    }
}

/// A person makes a config due for every registered machine that a selector means now: one activation each.
#[derive(Debug, Clone)]
pub struct ActivateSelected {
    /// Whose.
    pub selector: Selector,
    /// Of two standing configs the one with the higher priority is served.
    pub priority: i32,
    /// Which.
    pub config: ConfigName,
    /// One-shot or standing.
    pub kind: Kind,
    /// Not served after this.
    pub until: Option<Timestamp>,
    /// Who asks, as the API names them.
    pub by: String,
    /// Fresh random names, one for each machine at least.
    pub nonces: Vec<Nonce>,
}

/// What became of it for a machine: one that cannot have it does not keep it from the others.
pub type ForMachine = (MachineName, Result<Activation, ActivateError>);

impl Transition for ActivateSelected {
    type Outcome = Result<Vec<ForMachine>, ActivateError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let wish = Wish {
            config: &self.config,
            kind: self.kind,
            until: self.until,
            selected: Some(Selected {
                selector: self.selector.clone(),
                priority: self.priority,
            }),
        };
        let mut changes = Changes::none();
        let armed = wish.found(view).and_then(|config| {
            let fits = |m: &&Arc<Machine>| m.standing.is_ours() && self.selector.fits(&m.labels);
            let machines: Vec<_> = view.machines().filter(fits).collect();
            if machines.is_empty() {
                return Err(ActivateError::NobodySelected(self.selector.clone()));
            }
            if machines.len() > self.nonces.len() {
                return Err(ActivateError::TooManySelected);
            }
            let mut next = view.next_activation();
            let arm = |(machine, nonce): (&Arc<Machine>, &Nonce)| {
                let free = may_use(machine, &self.by, now).map_err(ActivateError::from);
                let armed = free.and_then(|()| {
                    wish.arm(view, (config, machine), (next, nonce), now, &mut changes)
                });
                next = ActivationId(next.0 + u64::from(armed.is_ok()));
                (machine.name.clone(), armed)
            };
            Ok(machines.into_iter().zip(&self.nonces).map(arm).collect())
        });
        (changes, armed)
    }
}

/// What is to be made due, for whichever machine.
struct Wish<'a> {
    config: &'a ConfigName,
    kind: Kind,
    until: Option<Timestamp>,
    selected: Option<Selected>,
}

impl Wish<'_> {
    /// The config, if it can be made due so for any machine.
    fn found<'v>(&self, view: &'v View) -> Result<&'v BootConfig, ActivateError> {
        let name = || self.config.clone();
        let config = view
            .config(self.config)
            .ok_or_else(|| ActivateError::NoConfig(name()))?;
        let missing = config.missing();
        if !missing.is_empty() {
            return Err(ActivateError::FilesMissing(name(), missing.join("; ")));
        }
        match (self.kind, config.evidence) {
            (Kind::Standing, _) if config.writes_disk => Err(ActivateError::WritesDisk(name())),
            (Kind::OneShot, Evidence::Fetched) if config.program.assets().next().is_none() => {
                Err(ActivateError::NoEvidence(name()))
            }
            (Kind::OneShot, Evidence::Fetched) if !config.answers.is_empty() => {
                Err(ActivateError::TooEarly(name()))
            }
            (Kind::OneShot | Kind::Standing, _) => Ok(config),
        }
    }

    /// Makes it due for one machine.
    fn arm(
        &self,
        view: &View,
        (config, machine): (&BootConfig, &Machine),
        (id, nonce): (ActivationId, &Nonce),
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Activation, ActivateError> {
        let name = machine.name.to_string();
        if machine.standing == Standing::Seen {
            let mac = machine.main_mac();
            let mac = mac.map_or_else(String::new, |m| m.to_string());
            return Err(ActivateError::NotRegistered(name, mac));
        }
        let mut open = view.activations_of(&machine.id).filter(|a| a.is_due(now));
        if let Some(open) = open.find(|a| self.competes(a)) {
            return Err(ActivateError::AlreadyActive {
                machine: name,
                config: open.config.name.to_string(),
            });
        }
        let activation = Activation {
            id,
            nonce: nonce.clone(),
            machine: machine.id.clone(),
            config: config.clone(),
            kind: self.kind,
            selected: self.selected.clone(),
            discovery: false,
            stage: Stage::Armed,
            sessions: Vec::new(),
            addresses: Vec::new(),
            taken: None,
            given: None,
            lent: None,
            reason: None,
            until: self.until,
            armed: now,
            closed: None,
        };
        prune(view, &activation, changes);
        let text = format!("{} is armed for {name}", config.name);
        changes.event(about("activation.armed", &activation, text));
        changes.write(activation.clone());
        Ok(activation)
    }

    /// Whether another activation stands where this would: a machine has one one-shot, one standing of its own, and one of
    /// each selector.
    fn competes(&self, other: &Activation) -> bool {
        match (self.kind, other.kind) {
            (Kind::OneShot, Kind::OneShot) if other.discovery => false,
            (Kind::OneShot, Kind::OneShot) => true,
            (Kind::Standing, Kind::Standing) => {
                let (own, its) = (self.selected.as_ref(), other.selected.as_ref());
                own.map(|s| &s.selector) == its.map(|s| &s.selector)
            }
            (Kind::OneShot, Kind::Standing) | (Kind::Standing, Kind::OneShot) => false,
        }
    }
}

/// Forgets a machine's oldest closed activations.
pub(super) fn prune(view: &View, newest: &Activation, changes: &mut Changes) {
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
