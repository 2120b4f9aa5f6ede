//! `decide`: the one place that says what a machine boots, and why.
//!
//! DHCP, HTTP, a peer's question, a helper and `explain` all call it. It only looks; what must be written down before a
//! script leaves is named in [`Decision::claim`] and done by [`ops::ClaimBoot`](super::ops::ClaimBoot).

use ipxe::{Arch, BootPlan, ConfigBoot, FileRef, KernelBoot, LocalBoot, MacAddr, check_text};
use serde::Serialize;

use super::{
    Timestamp, View,
    activation::{Activation, ActivationId, Stage},
    config::{LOADED, Program},
    machine::{Machine, MachineId, Standing},
    policy::{Discovery, ManagementOs},
    template::Scope,
};

/// An unaccepted machine gets one discovery boot in this time, so that a forgotten one is not a heater.
const DISCOVERY_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// A question for [`decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRequest {
    /// The station that boots.
    pub mac: MacAddr,
    /// The processor, when it is known.
    pub arch: Option<Arch>,
    /// The boot's random session; `None` before there is a script.
    pub session: Option<String>,
    /// The management OS could not be loaded: look further.
    pub after_management: bool,
    /// `http://host:port` as the machine reaches us; part of what it is told.
    pub base: String,
}

/// One rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The rule, a stable word.
    pub rule: &'static str,
    /// Whether it decided.
    pub decided: bool,
    /// What was found, in words a person understands.
    pub found: String,
}

/// What must be durable before the answer leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A serve of this activation.
    Activation(ActivationId),
    /// The day's discovery boot.
    Discovery,
}

/// What a machine boots, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it runs.
    pub plan: BootPlan,
    /// How it is sent to its disk when that fails.
    pub local: LocalBoot,
    /// The rules looked at, in order.
    pub why: Vec<Why>,
    /// The machine, if it is known.
    pub machine: Option<MachineId>,
    /// What serving this plan must write down first.
    pub claim: Option<Claim>,
}

/// Says what the machine boots (DESIGN §4.3).
#[must_use]
pub fn decide(request: &BootRequest, view: &View, now: Timestamp) -> Decision {
    let machine = view.machine_by_mac(request.mac).map(AsRef::as_ref);
    let local = machine.map_or(LocalBoot::Auto, |m| m.local_boot);
    let local = if local == LocalBoot::Auto {
        view.policy.local_boot
    } else {
        local
    };
    let mut why = Vec::new();
    let steps = [config_due, management, peers];
    let (plan, claim) = steps
        .iter()
        .find_map(|step| {
            step(
                &Case {
                    request,
                    view,
                    machine,
                    now,
                },
                &mut why,
            )
        })
        .unwrap_or_else(|| (last_resort(machine, view, local, &mut why), None));
    Decision {
        plan,
        local,
        why,
        machine: machine.map(|m| m.id.clone()),
        claim,
    }
}

/// What each step looks at.
struct Case<'a> {
    request: &'a BootRequest,
    view: &'a View,
    machine: Option<&'a Machine>,
    now: Timestamp,
}

type Found = Option<(BootPlan, Option<Claim>)>;

fn passed(why: &mut Vec<Why>, rule: &'static str, found: impl Into<String>) -> Found {
    why.push(Why {
        rule,
        decided: false,
        found: found.into(),
    });
    None
}

fn decided(why: &mut Vec<Why>, rule: &'static str, found: impl Into<String>) {
    why.push(Why {
        rule,
        decided: true,
        found: found.into(),
    });
}

/// Step 1: a boot config that is due for this machine.
fn config_due(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    const RULE: &str = "config";
    let Some(machine) = case.machine else {
        return passed(why, RULE, "no machine has this MAC");
    };
    if machine.standing == Standing::Seen {
        return passed(
            why,
            RULE,
            format!(
                "{} is only seen: register it before it can be given a config",
                machine.name
            ),
        );
    }
    let Some(due) = case
        .view
        .activations_of(&machine.id)
        .find(|a| a.is_due(case.now))
    else {
        return passed(why, RULE, last_activation(case, machine));
    };
    match config_boot(due, machine, &case.request.base) {
        Ok(boot) => {
            decided(why, RULE, describe_due(due));
            Some((BootPlan::Config(boot), Some(Claim::Activation(due.id))))
        }
        Err(problem) => passed(
            why,
            RULE,
            format!("{} is due, but {problem}", due.config.name),
        ),
    }
}

fn describe_due(due: &Activation) -> String {
    let (boots, scripts) = due.served();
    format!(
        "activation {} of {} is due (served to {boots} boots, {scripts} more fetched only the script)",
        due.id.0, due.config.name
    )
}

fn last_activation(case: &Case<'_>, machine: &Machine) -> String {
    match case.view.activations_of(&machine.id).last() {
        None => format!("nothing was activated for {}", machine.name),
        Some(a) => {
            let end = match a.stage {
                Stage::Confirmed => "is spent",
                Stage::Failed => "failed",
                Stage::Expired | Stage::Armed | Stage::Served | Stage::Running => "is over",
            };
            let reason = a.reason.as_deref().unwrap_or("its time limit has passed");
            format!("activation {} of {} {end}: {reason}", a.id.0, a.config.name)
        }
    }
}

/// The config of an activation with the machine's values filled in.
///
/// # Errors
/// In words, when a template fails or gives what iPXE would misread.
pub fn config_boot(
    activation: &Activation,
    machine: &Machine,
    base: &str,
) -> Result<ConfigBoot, String> {
    let scope = Scope {
        machine,
        base,
        nonce: &activation.nonce,
    };
    let render = |template: &str| scope.render(template).map_err(|e| e.to_string());
    match &activation.config.program {
        Program::Kernel {
            kernel,
            initrds,
            cmdline,
        } => {
            let cmdline = render(cmdline)?;
            check_text(&cmdline).map_err(|e| format!("its command line {e}"))?;
            let file = |name: &str| FileRef {
                name: name.to_owned(),
                path: scope.session_path(name),
            };
            Ok(ConfigBoot::Kernel(KernelBoot {
                loaded: Some(scope.session_path(LOADED)),
                kernel: file(&kernel.name),
                initrds: initrds.iter().map(|i| file(&i.name)).collect(),
                cmdline,
            }))
        }
        Program::Ipxe { script, .. } => Ok(ConfigBoot::Script(render(script)?)),
    }
}

/// Step 2: the management OS, when discovery wants it.
fn management(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    const RULE: &str = "management-os";
    let policy = &case.view.policy;
    if case.request.after_management {
        return passed(why, RULE, "could not be loaded in this boot");
    }
    let standing = case.machine.map_or(Standing::Seen, |m| m.standing);
    match (policy.discovery, standing) {
        (Discovery::Off, _) => return passed(why, RULE, "discovery is off"),
        (Discovery::Registered, Standing::Seen) => {
            return passed(
                why,
                RULE,
                "discovery is for registered machines only (discovery = \"registered\")",
            );
        }
        (Discovery::Registered, Standing::Registered | Standing::Accepted)
        | (Discovery::All, _) => {}
    }
    if let Some(found) = discovered_lately(case) {
        return passed(why, RULE, found);
    }
    let arch = case.request.arch.unwrap_or(Arch::X64);
    let Some(os) = policy.management.iter().find(|os| os.arch == arch) else {
        return passed(
            why,
            RULE,
            "none is installed for this processor: run `enforcer management-os build`",
        );
    };
    decided(
        why,
        RULE,
        format!(
            "discovery wants to know its hardware ({} {})",
            os.flavour, os.version
        ),
    );
    Some((
        BootPlan::Management(management_boot(os, case)),
        Some(Claim::Discovery),
    ))
}

/// Why the machine gets no discovery boot now, if so.
fn discovered_lately(case: &Case<'_>) -> Option<String> {
    let last = case.machine?.discovery.as_ref()?;
    let retry = case.request.session.as_ref() == Some(&last.session);
    let rested = case.now.duration_since(last.at) >= DISCOVERY_EVERY;
    (!retry && !rested).then(|| "it had its discovery boot of the day".to_owned())
}

fn management_boot(os: &ManagementOs, case: &Case<'_>) -> KernelBoot {
    let file = |name: &str| FileRef {
        name: name.to_owned(),
        path: format!("{}/{name}", os.path),
    };
    let idle = case
        .view
        .policy
        .idle_wait_s
        .map_or("forever".to_owned(), |s| s.to_string());
    let cmdline = format!(
        "{} BOOTIF=01-{} enforcer.url={} enforcer.idle={idle}",
        case.view.policy.management_cmdline,
        case.request.mac.hyphens(),
        case.request.base
    );
    KernelBoot {
        loaded: None,
        kernel: file("vmlinuz"),
        initrds: vec![file("initrd.img")],
        cmdline: cmdline.trim().to_owned(),
    }
}

/// Step 3: remote Enforcers; none is known until sites federate.
fn peers(_: &Case<'_>, why: &mut Vec<Why>) -> Found {
    passed(why, "peers", "no remote Enforcer is configured")
}

/// Step 4: the local disk, or silence towards machines that are not ours.
fn last_resort(
    machine: Option<&Machine>,
    view: &View,
    local: LocalBoot,
    why: &mut Vec<Why>,
) -> BootPlan {
    let ours = machine.is_some_and(|m| m.standing.is_ours());
    if !ours && view.policy.discovery != Discovery::All {
        decided(
            why,
            "silence",
            "not registered here, and discovery is not \"all\": it is listed as seen and not answered",
        );
        return BootPlan::Silent;
    }
    decided(why, "local-disk", "nothing else to run");
    BootPlan::LocalDisk(local)
}
