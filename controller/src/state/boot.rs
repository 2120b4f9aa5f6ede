//! `decide`: the one place that says what a machine boots, and why.
//!
//! DHCP, HTTP, a peer's question, a helper and `explain` all call it. It only looks; what must be written down before a
//! script leaves is named in [`Decision::claim`] and done by [`ops::ClaimBoot`](super::ops::ClaimBoot).

mod discovered;
mod due;
mod job;
mod lacks;
mod last;
mod management;
mod next;
mod peers;
mod proof;
mod suppose;

use std::net::{IpAddr, SocketAddr};

use ipxe::{Arch, BootPlan, ConfigBoot, FileRef, KernelBoot, LocalBoot, MacAddr, check_text};
use mesh_proto::{facts::HardwareFacts, message::Secret};
use serde::Serialize;

pub(in crate::state) use discovered::armed as armed_by_discovery;
pub use due::{due, first};
use lacks::what_is_missing;
pub use last::came_to_nothing;
use management::management;
pub use next::next_boot_wanted;
pub use peers::askable;
use peers::{no_more_ours, peers};
pub use proof::{not_its_address, unproved};
pub use suppose::{Suppose, SupposeError};

use super::{
    Timestamp, View,
    activation::{Activation, ActivationId, Kind, Stage},
    config::{Evidence, LOADED, Program},
    deployment::DeploymentId,
    machine::{Machine, MachineId, Standing},
    peer::Peers,
    policy::Discovery,
    template::Scope,
};

/// Tells the agent in the booted system which boot to report.
const REPORT_WORD: &str = "enforcer.nonce=";

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
    /// The asker's address, when it is the one that DHCP knows for this station: leased, or seen requested lately.
    pub known_address: Option<IpAddr>,
    /// Where the asker reaches the controller, when it is not the host of `base`: a helper is.
    pub controller: Option<SocketAddr>,
    /// Whether peers were asked.
    pub peers: Peers,
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
    /// The same, of the config that discovery starts: an activation of it.
    DiscoveryConfig,
    /// The management OS for this deployment.
    Serve(DeploymentId),
    /// The disk that this deployment wrote.
    HandOver(DeploymentId),
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
    /// The boot's secret, for the script that is served; never in one that is only looked at.
    pub secret: Option<Secret>,
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
    let due = machine.and_then(|m| due(view, &m.id, now));
    let mut case = Case {
        request,
        view,
        machine,
        due,
        job: machine.and_then(|m| job::due(view, m, now)),
        waits: None,
        local,
        now,
    };
    case.waits = what_is_missing(&case);
    let steps = [
        job::in_work,
        one_shot_config,
        job::queued,
        standing_config,
        management,
        peers,
    ];
    let (plan, claim) = steps
        .iter()
        .find_map(|step| step(&case, &mut why))
        .unwrap_or_else(|| (last_resort(machine, view, local, &mut why), None));
    Decision {
        plan,
        local,
        why,
        machine: machine.map(|m| m.id.clone()),
        claim,
        secret: None,
    }
}

/// What each step looks at.
struct Case<'a> {
    request: &'a BootRequest,
    view: &'a View,
    machine: Option<&'a Machine>,
    /// What was activated and is not over.
    due: Option<&'a Activation>,
    /// What the machine's queue says.
    job: Option<job::Due<'a>>,
    /// Why it has to wait for the management OS.
    waits: Option<String>,
    /// How it is sent to its disk.
    local: LocalBoot,
    now: Timestamp,
}

impl Case<'_> {
    fn facts(&self) -> Option<&HardwareFacts> {
        Some(&self.view.facts(&self.machine?.id)?.facts)
    }
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

/// Step 1: a config that is spent once it was served; also says so when there is none of either kind.
fn one_shot_config(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    match case.due.map(|due| due.kind) {
        Some(Kind::Standing) => None,
        Some(Kind::OneShot) | None => config_due(case, why),
    }
}

/// A config that is served on every boot, when nothing else is due.
fn standing_config(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    match case.due.map(|due| due.kind) {
        Some(Kind::Standing) => config_due(case, why),
        Some(Kind::OneShot) | None => None,
    }
}

/// A boot config that is due for this machine.
fn config_due(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    const RULE: &str = "config";
    let Some(machine) = case.machine else {
        return passed(why, RULE, "no machine has this MAC");
    };
    let taken = case.due.is_some_and(|due| due.taken.is_some());
    if machine.standing == Standing::Seen && !taken {
        return passed(
            why,
            RULE,
            format!(
                "{} is only seen: register it before it can be given a config",
                machine.name
            ),
        );
    }
    let Some(due) = case.due else {
        return passed(why, RULE, last_activation(case, machine));
    };
    if let Some(over) = no_more_ours(case.view, machine, due) {
        return passed(why, RULE, format!("{} is due, but {over}", due.config.name));
    }
    if let Some(holder) = due.holder() {
        let found = format!(
            "{} is due, but lent to {}, which alone serves it",
            due.config.name,
            case.view.machine_name(holder)
        );
        return passed(why, RULE, found);
    }
    if let Some(missing) = &case.waits {
        return passed(
            why,
            RULE,
            format!("{} is due, but {missing}", due.config.name),
        );
    }
    // Before there is a session nothing of it leaves.
    if due.config.level.is_some()
        && case.request.session.is_some()
        && case.request.known_address.is_none()
    {
        return passed(
            why,
            RULE,
            format!(
                "{} is due, but it goes only to the address that DHCP knows for this machine",
                due.config.name
            ),
        );
    }
    match config_boot(due, machine, case.facts(), &case.request.base) {
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
    let standing = match (due.kind, &due.selected) {
        (Kind::OneShot, _) => String::new(),
        (Kind::Standing, None) => ", standing".to_owned(),
        (Kind::Standing, Some(by)) => {
            format!(
                ", standing for {} with priority {}",
                by.selector, by.priority
            )
        }
    };
    let owner = match &due.taken {
        None => String::new(),
        Some(taken) => format!(", granted by {}", taken.site),
    };
    format!(
        "activation {} of {} is due{standing}{owner} (served to {boots} boots, {scripts} more fetched only the script)",
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
    facts: Option<&HardwareFacts>,
    base: &str,
) -> Result<ConfigBoot, String> {
    let scope = Scope {
        machine,
        facts,
        base,
        nonce: &activation.nonce,
    };
    let render = |template: &str| {
        let filled = activation.fill(template, &scope);
        filled.map_err(|e| e.to_string())
    };
    match &activation.config.program {
        Program::Kernel {
            kernel,
            initrds,
            cmdline,
        } => {
            let mut cmdline = render(cmdline)?;
            if activation.config.evidence == Evidence::Agent && !cmdline.contains(REPORT_WORD) {
                cmdline = format!("{cmdline} {REPORT_WORD}{}", activation.nonce);
            }
            let cmdline = cmdline.trim().to_owned();
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
