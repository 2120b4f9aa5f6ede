//! What machines are made of, as their agents told, and how that changed.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::machines;
use crate::{
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::Segment,
    },
    state::{
        Timestamp,
        facts::{FactsChange, FactsRecord},
    },
};

/// A machine's facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Facts)]
pub struct FactsDoc {
    /// The machine's name.
    pub machine: String,
    /// When they were told last.
    pub at: Timestamp,
    /// The boot they were read in.
    pub boot_id: String,
    /// Changes with the hardware.
    pub digest: String,
    /// The facts as the agent sent them (versioned: `"v":1`).
    #[schema(value_type = Object)]
    pub facts: Value,
    /// What changed, newest last; the first entry is the first sight.
    pub history: Vec<FactsChangeDoc>,
}

/// One version of a machine's facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FactsChange)]
pub struct FactsChangeDoc {
    /// When it was told.
    pub at: Timestamp,
    /// Digest of the facts from then on.
    pub digest: String,
    /// What changed, in words; empty at first sight.
    pub what: Vec<String>,
}

impl FactsDoc {
    fn of(record: &FactsRecord, machine: String) -> Self {
        let change = |change: &FactsChange| FactsChangeDoc {
            at: change.at,
            digest: change.digest.clone(),
            what: change.what.clone(),
        };
        Self {
            machine,
            at: record.at,
            boot_id: record.boot_id.clone(),
            digest: record.digest.clone(),
            // Facts came as JSON and always become it again.
            facts: serde_json::to_value(&record.facts).unwrap_or_default(),
            history: record.history.iter().map(change).collect(),
        }
    }
}

/// Shows what a machine is made of.
#[utoipa::path(get, path = "/machines/{machine}/facts", tag = "machines", operation_id = "machines_facts",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = FactsDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Segment(machine): Segment,
) -> Result<Json<FactsDoc>, Problem> {
    let view = api.store.view();
    let machine = machines::find(&view, &machine)?;
    let none = || {
        let text = format!(
            "{} has not told what it is made of; start it into the management OS, or install the agent",
            machine.name
        );
        Problem::new(Code::FactsNotFound, text)
    };
    let record = view.facts(&machine.id).ok_or_else(none)?;
    Ok(Json(FactsDoc::of(record, machine.name.to_string())))
}
