//! What is taken over of the API's documents. The fields of these types are all that is: a document is read into one of them and
//! written again, so a field that the API gets later is left out until somebody names it here.

use std::collections::BTreeMap;

use ipxe::MacAddr;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use crate::{
    http::api::{
        power::MeansWord,
        words::{
            After, Evidence, Habitat, KeyKind, Kind, Level, LocalBoot, MemberState, PeerState,
            Presence, ProviderKind, ProviderState, Stage, Standing,
        },
    },
    state::Timestamp,
};

/// Whether something is said, without the words.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// A machine, of its document.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    id: String,
    name: String,
    standing: Standing,
    level: Option<Level>,
    member: Option<Agent>,
    #[serde(default)]
    pending: Vec<Pending>,
    #[serde(default, deserialize_with = "said")]
    disputed: bool,
    /// Vendor, product and sizes, as its firmware says.
    hardware: Option<String>,
    macs: Vec<MacAddr>,
    firmware: Option<String>,
    local_boot: LocalBoot,
    restart: MeansWord,
    #[serde(default, deserialize_with = "said")]
    reserved: bool,
    #[serde(default, deserialize_with = "said")]
    helper: bool,
    first_seen: Timestamp,
    last_seen: Timestamp,
    active: Option<Active>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Agent {
    state: MemberState,
    since: Timestamp,
    habitat: Habitat,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    since: Timestamp,
    key: KeyKind,
}

#[derive(Debug, Serialize, Deserialize)]
struct Active {
    id: u64,
    config: String,
    kind: Kind,
    stage: Stage,
}

/// An activation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Activation {
    id: u64,
    machine: String,
    config: String,
    revision: u64,
    kind: Kind,
    stage: Stage,
    evidence: Evidence,
    boots: usize,
    scripts: usize,
    armed: Timestamp,
    until: Option<Timestamp>,
    closed: Option<Timestamp>,
}

/// A deployment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Deployment {
    id: u64,
    machine: String,
    title: String,
    state: crate::http::api::words::DeploymentState,
    since: Timestamp,
    created: Timestamp,
    deadline: Option<Timestamp>,
    after: After,
    tries: u32,
    rollout: Option<u64>,
    history: Vec<Moment>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Moment {
    state: crate::http::api::words::DeploymentState,
    at: Timestamp,
}

/// A member.
#[derive(Debug, Serialize, Deserialize)]
pub struct Member {
    name: String,
    source: String,
    machine: Option<String>,
    state: MemberState,
    since: Timestamp,
    habitat: Option<Habitat>,
    address: Option<String>,
    gossip: Option<String>,
    level: Option<Level>,
    key: Option<KeyKind>,
    agent: Option<String>,
    generation: Option<u32>,
    joined: Timestamp,
}

/// A provider.
#[derive(Debug, Serialize, Deserialize)]
pub struct Provider {
    name: String,
    #[serde(rename = "type")]
    kind: ProviderKind,
    state: ProviderState,
    since: Timestamp,
    members: usize,
    alive: usize,
    passed_over: usize,
    failures: u32,
    next_attempt: Option<Timestamp>,
}

/// Another site.
#[derive(Debug, Serialize, Deserialize)]
pub struct Peer {
    site: String,
    state: PeerState,
    linked: bool,
    presence: Option<Presence>,
    presence_since: Option<Timestamp>,
    rtt_ms: Option<u64>,
    names: usize,
    untold: usize,
    since: Timestamp,
}

/// An event. Its sentence may repeat what others wrote, so it is only there for kinds whose sentences are ours alone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Event {
    seq: u64,
    at: Timestamp,
    kind: String,
    machine: Option<String>,
    mac: Option<MacAddr>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, String>,
}

/// Kinds whose sentences are made of our words, addresses and names of our own files.
const OURS: [&str; 9] = [
    "activation.running",
    "activation.served",
    "boot.firmware-loaded",
    "boot.firmware-offered",
    "boot.management-os",
    "boot.script-offered",
    "boot.without-secret",
    "dhcp.rival",
    "dhcp.server",
];
/// Values for programs that are numbers, addresses or words of ours.
const FIELDS: [&str; 9] = [
    "activation",
    "address",
    "deployment",
    "do",
    "file",
    "firmware",
    "from",
    "plan",
    "server",
];

impl Event {
    /// The event with what of it may leave the house.
    #[must_use]
    pub fn told(mut self) -> Self {
        if !OURS.contains(&self.kind.as_str()) {
            self.text.clear();
        }
        self.fields
            .retain(|name, _| FIELDS.contains(&name.as_str()));
        self
    }
}

/// How full the store of images is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Images {
    stored_bytes: u64,
    chunks: u64,
    free_bytes: u64,
    reserve_bytes: u64,
    quota_bytes: Option<u64>,
}

/// A line of a machine's log, word for word: only of machines that somebody named.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogLine {
    boot: String,
    n: u64,
    uptime_ms: u64,
    source: String,
    text: String,
}

/// Those lines of `/metrics` that are ours.
#[must_use]
pub fn metrics(text: &str) -> String {
    let name = |line: &str| {
        let line = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "));
        line.map(str::to_owned)
    };
    let ours = text.lines().filter(|line| {
        name(line)
            .as_deref()
            .unwrap_or(line)
            .starts_with("enforcer_")
    });
    ours.fold(String::new(), |told, line| told + line + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_an_event_only_our_own_words_are_told() {
        let event = |kind: &str| -> serde_json::Value {
            let event = json!({"seq": 7, "at": "2026-01-02T03:04:05Z", "kind": kind, "machine": null, "machine_name": "web1",
                "mac": "52:54:00:77:00:01", "text": "loaded x", "fields": {"plan": "config", "session": "s3cret", "reason": "s3cret"}});
            let read: Event = serde_json::from_value(event).unwrap();
            serde_json::to_value(read.told()).unwrap()
        };
        let ours = event("boot.firmware-loaded");
        assert_eq!(
            (&ours["text"], &ours["fields"]),
            (&json!("loaded x"), &json!({"plan": "config"}))
        );
        let theirs = event("deployment.failed");
        assert_eq!(theirs.get("text"), None);
        assert_eq!(
            (&theirs["seq"], &theirs["mac"]),
            (&json!(7), &json!("52:54:00:77:00:01"))
        );
    }

    #[test]
    fn of_the_metrics_only_ours_are_told() {
        let text = "# HELP enforcer_x X.\n# TYPE enforcer_x gauge\nenforcer_x 1\nother 2\n# HELP other O.\n# anything\n";
        let ours = "# HELP enforcer_x X.\n# TYPE enforcer_x gauge\nenforcer_x 1\n";
        assert_eq!(metrics(text), ours);
    }
}
