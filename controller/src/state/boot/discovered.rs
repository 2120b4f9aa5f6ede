//! The boot config that discovery starts in place of the management OS (`discovery.boot`): it brings an agent that is not ours.

use ipxe::BootPlan;

use super::{Case, Claim, Found, Why, config_boot, decided, passed};
use crate::state::{
    Timestamp, View,
    activation::{Activation, ActivationId, Kind, Nonce, Stage},
    config::BootConfig,
    machine::{Machine, MachineId},
    name::ConfigName,
};

/// The rule's stable word.
const RULE: &str = "discovery-boot";
/// How long it may be served: until the next day's discovery boot.
const GOOD_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The config that discovery starts for this machine.
pub(super) fn config(
    case: &Case<'_>,
    name: &ConfigName,
    reason: &str,
    why: &mut Vec<Why>,
) -> Found {
    let config = match fit(case.view, name) {
        Ok(config) => config,
        Err(problem) => return passed(why, RULE, problem),
    };
    let (mac, now) = (case.request.mac, case.now);
    let stranger = || Machine::seen(MachineId::from_random(0), mac, now);
    let machine = case.machine.cloned().unwrap_or_else(stranger);
    let open = open_one(case.view, &machine.id, name, now);
    // What is only looked at names no file that there is; serving makes the activation first.
    let looked = || {
        armed(
            ActivationId(0),
            Nonce::from_random(0),
            &machine.id,
            config,
            now,
        )
    };
    let claim = open.map_or(Claim::DiscoveryConfig, |a| Claim::Activation(a.id));
    let activation = open.cloned().unwrap_or_else(looked);
    match config_boot(&activation, &machine, case.facts(), &case.request.base) {
        Ok(boot) => {
            decided(why, RULE, format!("{reason}: {name}, by discovery.boot"));
            Some((BootPlan::Config(boot), Some(claim)))
        }
        Err(problem) => passed(why, RULE, format!("discovery starts {name}, but {problem}")),
    }
}

/// The config, if machines that nobody accepted may have it; else why not.
fn fit<'v>(view: &'v View, name: &ConfigName) -> Result<&'v BootConfig, String> {
    let config = view.config(name);
    let config =
        config.ok_or_else(|| format!("discovery.boot names {name}, which is no boot config"))?;
    if config.writes_disk {
        return Err(format!(
            "{name} writes to a disk: discovery never starts that"
        ));
    }
    if config.level.is_some() {
        return Err(format!(
            "{name} demands a proved key: discovery never starts that"
        ));
    }
    match config.missing().as_slice() {
        [] => Ok(config),
        missing => Err(format!(
            "{name} waits for its files: {}",
            missing.join("; ")
        )),
    }
}

fn open_one<'v>(
    view: &'v View,
    machine: &MachineId,
    name: &ConfigName,
    now: Timestamp,
) -> Option<&'v Activation> {
    let mut all = view.activations_of(machine).map(AsRef::as_ref);
    all.find(|a: &&Activation| a.discovery && a.is_due(now) && a.config.name == *name)
}

/// An activation that discovery arms.
pub(in crate::state) fn armed(
    id: ActivationId,
    nonce: Nonce,
    machine: &MachineId,
    config: &BootConfig,
    now: Timestamp,
) -> Activation {
    Activation {
        id,
        nonce,
        machine: machine.clone(),
        config: config.clone(),
        kind: Kind::OneShot,
        selected: None,
        discovery: true,
        stage: Stage::Armed,
        sessions: Vec::new(),
        addresses: Vec::new(),
        taken: None,
        given: None,
        lent: None,
        reason: None,
        until: Some(now + GOOD_FOR),
        armed: now,
        closed: None,
    }
}
