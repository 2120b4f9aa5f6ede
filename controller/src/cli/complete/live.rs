//! Names that the controller knows, for somebody who types: quickly, or none.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::Offer;
use crate::cli::{
    Aim, Session,
    client::{Client, filtered},
    contexts,
};

/// A person waits at the keyboard; a controller answers in milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);
/// Verbs behind which a name is a new one.
const NEW: [&str; 4] = ["add", "create", "invite", "register"];
/// What is told beside a name, the first that the entry has.
const TOLD: [&str; 5] = ["standing", "state", "stage", "role", "title"];

/// Where names come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// This list of the API.
    List {
        /// With its query.
        path: String,
        /// The field that names an entry.
        key: &'static str,
    },
    /// The contexts of this person.
    Contexts,
}

/// What the argument `id` of the command `path` names, of which `typed` is there already; `None`: nothing that is known.
pub(super) fn source(path: &[&str], id: &str, typed: &str) -> Option<Source> {
    let word = |at: usize| path.get(at).copied().unwrap_or_default();
    let (noun, verb) = (word(0), word(1));
    let list = |name: &str, key| {
        // One word that the search understands; the rest is sorted out here.
        let word = Some(typed)
            .filter(|t| !t.is_empty() && !t.contains(char::is_whitespace) && key != "id");
        let path = filtered(&format!("/{name}"), [("limit", Some("1000")), ("q", word)]);
        Some(Source::List { path, key })
    };
    match (id, noun) {
        ("context", _) | ("name", "contexts") => Some(Source::Contexts),
        ("name", _) if NEW.contains(&verb) => None,
        ("name", "boot-configs" | "images" | "sessions" | "setups" | "tokens" | "users") => {
            list(noun, "name")
        }
        ("machine" | "machines" | "helper" | "logs", _) | ("mac", "explain") => {
            list("machines", "name")
        }
        ("config" | "activated", _) => list("boot-configs", "name"),
        ("image" | "save_current", _) => list("images", "name"),
        ("webhook", _) => list("webhooks", "name"),
        ("provider", _) => list("providers", "name"),
        ("site", _) => list("peers", "site"),
        ("owner" | "user" | "holder", _) => list("users", "name"),
        ("mac", "reservations") if verb == "delete" => list(noun, "mac"),
        ("id", "activations" | "deployments") => {
            let path = format!("/{noun}?open=true");
            Some(Source::List { path, key: "id" })
        }
        ("id", "rollouts" | "join-tokens") => list(noun, "id"),
        ("rollout", _) => list("rollouts", "id"),
        _ => None,
    }
}

/// The names there; none when nobody answers in time.
pub(super) async fn names(source: Source, aim: &Aim, session: &Session<'_>) -> Vec<Offer> {
    let (path, key) = match source {
        Source::List { path, key } => (path, key),
        Source::Contexts => {
            let offer = |value| Offer {
                value,
                help: String::new(),
            };
            return contexts::names().into_iter().map(offer).collect();
        }
    };
    let named = aim.context.is_some() || aim.api_socket.is_some();
    let client = match named {
        true => aim.clone().client(),
        false => Ok(session.client.clone()),
    };
    match client {
        Ok(client) => asked(&client, &path, key).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

async fn asked(client: &Client, path: &str, key: &str) -> Option<Vec<Offer>> {
    let page = timeout(PATIENCE, client.get(path)).await.ok()?.ok()?;
    let entries = page["items"].as_array()?;
    Some(
        entries
            .iter()
            .filter_map(|entry| offer(entry, key))
            .collect(),
    )
}

fn offer(entry: &Value, key: &str) -> Option<Offer> {
    let value = match &entry[key] {
        Value::String(name) => name.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let told = TOLD.iter().find_map(|key| entry[*key].as_str());
    Some(Offer {
        value,
        help: told.unwrap_or_default().to_owned(),
    })
}
