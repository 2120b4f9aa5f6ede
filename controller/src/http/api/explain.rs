//! Explain: what a machine would boot now, and why. Looks only; nothing is claimed.

use axum::extract::State;
use ipxe::{Arch, BootPlan, MacAddr};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::machines;
use crate::{
    federation::LookedUp,
    http::{Api, answer::Json, error::Problem, extract::Params},
    state::{
        View,
        boot::{BootRequest, Claim, Decision, came_to_nothing, decide},
        peer::{PeerAnswer, Peers},
    },
};

/// Processors that a machine can say it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Processor {
    /// 32-bit x86.
    X86,
    /// x86-64.
    X64,
    /// 32-bit Arm.
    Arm32,
    /// 64-bit Arm.
    Arm64,
}

impl From<Processor> for Arch {
    fn from(processor: Processor) -> Self {
        match processor {
            Processor::X86 => Self::X86,
            Processor::X64 => Self::X64,
            Processor::Arm32 => Self::Arm32,
            Processor::Arm64 => Self::Arm64,
        }
    }
}

/// Whose boot to explain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// A MAC in any spelling, also an unknown one; or a machine's name or id.
    mac: String,
    /// Its processor; without it, what its firmware told last.
    #[serde(default)]
    arch: Option<Processor>,
    /// As if the management OS could not be loaded.
    #[serde(default)]
    after_management: bool,
}

/// What a machine would boot now, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Explanation)]
pub struct ExplainDoc {
    /// The MAC that was looked at.
    #[schema(value_type = String)]
    pub mac: MacAddr,
    /// The machine's name, when it is known.
    pub machine: Option<String>,
    /// `config`, `management-os`, `ask-peers`, `local-disk` or `silent`.
    pub plan: String,
    /// How it is sent to its disk when that fails.
    pub local_boot: super::words::LocalBoot,
    /// The rules looked at, in order; the last one decided.
    pub why: Vec<RuleDoc>,
    /// Machines whose agents are boot helpers: on their segments it is answered the same.
    #[serde(default)]
    pub helpers: Vec<String>,
}

/// One rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Rule)]
pub struct RuleDoc {
    /// The rule, a stable word.
    pub rule: String,
    /// Whether it decided.
    pub decided: bool,
    /// What was found, in words.
    pub found: String,
}

impl ExplainDoc {
    fn of(mac: MacAddr, decision: &Decision, view: &View) -> Self {
        let machine = decision.machine.as_ref().and_then(|id| view.machine(id));
        let rules = decision.why.iter().map(|w| RuleDoc {
            rule: w.rule.to_owned(),
            decided: w.decided,
            found: w.found.clone(),
        });
        Self {
            mac,
            machine: machine.map(|m| m.name.to_string()),
            plan: decision.plan.kind().to_owned(),
            local_boot: decision.local.into(),
            why: rules.collect(),
            helpers: view
                .machines()
                .filter(|m| m.helper.is_some())
                .map(|m| m.name.to_string())
                .collect(),
        }
    }
}

/// Says what a machine would boot now, and which rules lead there.
#[utoipa::path(get, path = "/explain", tag = "explain", operation_id = "explain", params(ExplainQuery),
    responses((status = 200, body = ExplainDoc)))]
pub(crate) async fn explain(
    State(api): State<Api>,
    Params(query): Params<ExplainQuery>,
) -> Result<Json<ExplainDoc>, Problem> {
    let view = api.store.view();
    let mut request = request(&query, &view, &api)?;
    let mut decision = decide(&request, &view, api.store.now());
    let mut is_a_peers = is_granted(&decision, &view);
    if decision.plan == BootPlan::AskPeers
        && let Ok(mesh) = api.mesh()
    {
        let found = mesh.federation().look_up(&request, false).await;
        is_a_peers = matches!(found, LookedUp::Offered(..));
        let answers = found.into_answers();
        if is_a_peers {
            tell_offer(&mut decision, &answers);
        } else {
            request.peers = Peers::Asked(answers);
            decision = decide(&request, &view, api.store.now());
        }
    }
    if is_a_peers {
        tell_last_time(&mut decision, request.mac, &view);
    }
    Ok(Json(ExplainDoc::of(request.mac, &decision, &view)))
}

/// The machine would boot what a peer offers: the rule says so.
fn tell_offer(decision: &mut Decision, answers: &[PeerAnswer]) {
    let said: Vec<String> = answers.iter().map(ToString::to_string).collect();
    if let Some(rule) = decision.why.last_mut() {
        rule.found = said.join("; ");
    }
}

/// What it would boot is another site's, granted to us.
fn is_granted(decision: &Decision, view: &View) -> bool {
    let Some(Claim::Activation(id)) = decision.claim else {
        return false;
    };
    view.activation(id).is_some_and(|a| a.taken.is_some())
}

/// What a peer says now need not be what it does: why the last boot came to nothing stands above the rule that decides.
fn tell_last_time(decision: &mut Decision, mac: MacAddr, view: &View) {
    let place = decision.why.len().saturating_sub(1);
    if let Some(why) = came_to_nothing(view, mac) {
        decision.why.insert(place, why);
    }
}

fn request(query: &ExplainQuery, view: &View, api: &Api) -> Result<BootRequest, Problem> {
    let mac = match query.mac.parse() {
        Ok(mac) => mac,
        Err(_) => machine_mac(view, &query.mac)?,
    };
    let told = view.machine_by_mac(mac).and_then(|m| m.firmware);
    Ok(BootRequest {
        mac,
        arch: query.arch.map(Into::into).or(told.and_then(processor)),
        session: None,
        after_management: query.after_management,
        base: api.boot_base.to_string(),
        known_address: None,
        controller: None,
        peers: Default::default(),
    })
}

fn machine_mac(view: &View, text: &str) -> Result<MacAddr, Problem> {
    let machine = machines::find(view, text)?;
    machine.main_mac().ok_or_else(|| {
        Problem::new(
            crate::http::error::Code::BadValue,
            format!("{} has no MAC; nothing can ask for it", machine.name),
        )
    })
}

fn processor(firmware: ipxe::Firmware) -> Option<Arch> {
    match firmware {
        ipxe::Firmware::UefiPxe(arch) | ipxe::Firmware::UefiHttp(arch) => Some(arch),
        ipxe::Firmware::RaspberryPi => Some(Arch::Arm64),
        // A 64-bit processor, or one from before 2004; the decision's own default is right.
        ipxe::Firmware::Bios => None,
    }
}
