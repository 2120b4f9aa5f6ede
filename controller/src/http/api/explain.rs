//! Explain: what a machine would boot now, and why. Looks only; nothing is claimed.

mod query;

use axum::extract::State;
use ipxe::{BootPlan, MacAddr};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::query::ExplainQuery;
pub use self::query::{FirmwareWord, Processor};
use crate::{
    federation::LookedUp,
    http::{Api, answer::Json, error::Problem, extract::Params},
    state::{
        View,
        boot::{Claim, Decision, came_to_nothing, decide},
        peer::{PeerAnswer, Peers},
    },
};

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
    /// What was supposed, in words after "if"; empty: this is what it would boot now.
    #[serde(default)]
    pub supposed: Vec<String>,
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
    fn of(mac: MacAddr, decision: &Decision, view: &View, supposed: Vec<String>) -> Self {
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
            supposed,
        }
    }
}

/// Says what a machine would boot now, and which rules lead there.
///
/// What is supposed of it (`state`, `label`, `at` and the like) counts for this answer alone: nothing is written, claimed or asked
/// of other sites.
#[utoipa::path(get, path = "/explain", tag = "explain", operation_id = "explain", params(ExplainQuery),
    responses((status = 200, body = ExplainDoc)))]
pub(crate) async fn explain(
    State(api): State<Api>,
    Params(query): Params<ExplainQuery>,
) -> Result<Json<ExplainDoc>, Problem> {
    let (view, now) = (api.store.view(), api.store.now());
    let asked = query.read(&view, &api, now)?;
    let (mut request, view, at) = (asked.request, asked.view, asked.at);
    let mut decision = decide(&request, &view, at);
    let mut is_a_peers = is_granted(&decision, &view);
    if decision.plan == BootPlan::AskPeers
        && asked.supposed.is_empty()
        && let Ok(mesh) = api.mesh()
    {
        let found = mesh.federation().look_up(&request, false).await;
        is_a_peers = matches!(found, LookedUp::Offered(..));
        let answers = found.into_answers();
        if is_a_peers {
            tell_offer(&mut decision, &answers);
        } else {
            request.peers = Peers::Asked(answers);
            decision = decide(&request, &view, at);
        }
    }
    if is_a_peers {
        tell_last_time(&mut decision, request.mac, &view);
    }
    let told = ExplainDoc::of(request.mac, &decision, &view, asked.supposed);
    Ok(Json(told))
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
