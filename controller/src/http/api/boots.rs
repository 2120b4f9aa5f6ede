//! A machine's boots: their steps, how long each took, and what was slower than usual.

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, machines, page::page_limit};
use crate::{
    http::{
        Api,
        answer::Json,
        error::Problem,
        extract::{Params, Segment},
    },
    state::{
        Timestamp, View,
        boots::{Boot, Compared, boots, compare},
        machine::Machine,
    },
};

/// Boots shown unless more are asked for.
const SHOWN: usize = 20;

/// A boot of a machine, as the events tell it that are still kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Boot)]
pub struct BootDoc {
    /// When its first step was.
    pub from: Timestamp,
    /// From its first step to its last, milliseconds.
    pub took_ms: u64,
    /// Whether the machine has got where it was to go, as far as that can be seen.
    pub finished: bool,
    /// What it was told to boot: `config`, `management-os`, `local-disk`; absent: it never asked so far.
    pub plan: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<BootStepDoc>,
    /// Beside the boots before it; absent while it is not finished, or where fewer than two went the same way.
    pub compared: Option<ComparedDoc>,
}

/// A step of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BootStep)]
pub struct BootStepDoc {
    /// The number of its event.
    pub seq: u64,
    /// The kind of its event.
    pub kind: String,
    /// One sentence.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// Until the next step, milliseconds; 0 for the last one.
    pub took_ms: u64,
}

/// A boot beside the last ones before it that were told the same and came as far, five at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BootCompared)]
pub struct ComparedDoc {
    /// How many those are.
    pub boots: usize,
    /// How long the middle one of them took, milliseconds.
    pub usual_ms: u64,
    /// How much longer this one took, where that is at least two seconds and a fifth.
    pub slower: Option<SlowerDoc>,
}

/// How a boot was slower than usual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BootSlower)]
pub struct SlowerDoc {
    /// By so much, milliseconds.
    pub by_ms: u64,
    /// The step behind which most of it was lost: the kind of its event.
    pub at: String,
    /// What came after that step took so much longer than usual, milliseconds.
    pub at_by_ms: u64,
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl ComparedDoc {
    fn of(compared: Compared) -> Self {
        Self {
            boots: compared.boots,
            usual_ms: ms(compared.usual),
            slower: compared.slower.map(|slower| SlowerDoc {
                by_ms: ms(slower.by),
                at: slower.at,
                at_by_ms: ms(slower.at_by),
            }),
        }
    }
}

impl BootDoc {
    /// `before`: the boots before it, the oldest first.
    fn of(boot: &Boot, before: &[Boot]) -> Option<Self> {
        let step = |step: &crate::state::boots::Step| BootStepDoc {
            seq: step.seq,
            kind: step.kind.clone(),
            text: step.text.clone(),
            at: step.at,
            took_ms: ms(step.took),
        };
        Some(Self {
            from: boot.steps.first()?.at,
            took_ms: ms(boot.took()),
            finished: boot.is_finished(),
            plan: boot.plan.clone(),
            steps: boot.steps.iter().map(step).collect(),
            compared: compare(boot, before).map(ComparedDoc::of),
        })
    }
}

/// The boots of a machine, the oldest first.
fn of(machine: &Machine, view: &View) -> Vec<Boot> {
    let events = view.events_after(0).filter(|event| {
        let draft = &event.draft;
        draft.machine.as_ref() == Some(&machine.id)
            || draft.mac.is_some_and(|mac| machine.macs.contains(&mac))
    });
    boots(events.map(|event| &**event))
}

/// How many boots to show.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BootsQuery {
    /// Boots wanted, 1 to 1000; the newest 20 without it.
    #[serde(default)]
    limit: Option<usize>,
}

/// Lists a machine's boots, the newest first, each with its steps and beside the ones before it.
///
/// They are cut out of the newest 20,000 events of the site.
#[utoipa::path(get, path = "/machines/{machine}/boots", tag = "machines", operation_id = "machines_boots",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling"), BootsQuery),
    responses((status = 200, body = Page<BootDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Segment(machine): Segment,
    Params(query): Params<BootsQuery>,
) -> Result<Json<Page<BootDoc>>, Problem> {
    let limit = page_limit(query.limit.or(Some(SHOWN)))?;
    let view = api.store.view();
    let machine = machines::find(&view, &machine)?;
    let all = of(&machine, &view);
    let shown = (0..all.len()).rev().take(limit);
    let items = shown.filter_map(|at| {
        let (before, rest) = all.split_at(at);
        BootDoc::of(rest.first()?, before)
    });
    Ok(Json(Page {
        items: items.collect(),
        next: None,
    }))
}
