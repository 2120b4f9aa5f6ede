//! Why what is due for a machine cannot be served yet, and the management OS comes first.

use super::{
    Case, job,
    proof::{disputed, unproved},
};
use crate::state::{
    activation::Activation,
    config::{BootConfig, Program},
    machine::{Machine, Standing},
    policy::Accept,
    template::{Scope, TemplateError},
};

/// What the management OS has to find out before what is due can be served: then it comes first, and goes on by itself.
pub(super) fn what_is_missing(case: &Case<'_>) -> Option<String> {
    let machine = case.machine?;
    config_lacks(case, machine).or_else(|| job::waits_for_acceptance(case.job.as_ref()?, machine))
}

fn config_lacks(case: &Case<'_>, machine: &Machine) -> Option<String> {
    let due = case.due?;
    match (machine.standing, case.view.policy.accept) {
        (Standing::Seen, _) => return None,
        (Standing::Registered, Accept::Manual) => {
            return Some(format!(
                "a person has to accept {} first (accept = \"manual\")",
                machine.name
            ));
        }
        (Standing::Registered, Accept::Registered) | (Standing::Accepted, _) => {}
    }
    let dispute = disputed(machine).filter(|_| due.config.writes_disk);
    let missing = dispute
        .or_else(|| unaccepted(machine, &due.config))
        .or_else(|| unproved(case.view, machine, &due.config, case.now));
    if missing.is_some() {
        return missing;
    }
    let lacks = case.facts().is_none() && needs_facts(due, machine, &case.request.base);
    lacks.then(|| "its template needs the machine's facts".to_owned())
}

/// What a person says to write to a disk goes to accepted machines only. Of an installer the activation is that word: such a
/// site may have no management OS to accept machines by (DESIGN §4.3).
fn unaccepted(machine: &Machine, config: &BootConfig) -> Option<String> {
    let waits = config.is_said_to_write() && machine.standing != Standing::Accepted;
    let name = &machine.name;
    waits.then(|| format!("it writes to a disk, and {name} is not accepted yet: it is by its first boot of the management OS"))
}

/// Whether a template of this config fails without facts.
fn needs_facts(due: &Activation, machine: &Machine, base: &str) -> bool {
    let scope = Scope {
        machine,
        facts: None,
        base,
        nonce: &due.nonce,
    };
    let main = match &due.config.program {
        Program::Kernel { cmdline, .. } => cmdline,
        Program::Ipxe { script, .. } => script,
    };
    let templates = std::iter::once(main).chain(due.config.answers.values());
    templates
        // Most say nothing of facts, and need not be filled in to see it.
        .filter(|t| t.contains("facts"))
        .any(|t| matches!(due.fill(t, &scope), Err(TemplateError::Facts(_))))
}
