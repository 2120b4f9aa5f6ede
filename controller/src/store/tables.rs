//! Records as rows: which table, which key bytes, and the value as JSON.
//!
//! Key bytes sort as the typed keys do (numbers and addresses big-endian). A value holds its key, so that a row says
//! everything about itself; unknown fields are ignored, missing ones take their default, and what cannot be read so is a
//! new [`SCHEMA`](super::backend::SCHEMA).

use std::sync::Arc;

use mesh_proto::json::from_slice;
use serde::{Serialize, de::DeserializeOwned};

use super::RawWrite;
use crate::state::{Key, Record, event::Recorded};

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "named after the records")]
pub enum Table {
    Machines,
    Configs,
    Activations,
    Leases,
    Reservations,
    Declined,
    Events,
    Keys,
    Pending,
    Tokens,
    Facts,
    Members,
    Commands,
    Ring,
    Stamp,
    Webhooks,
    Deliveries,
    Power,
    Images,
    Deployments,
    Rollouts,
    Setups,
    Users,
    ApiTokens,
    Passwords,
    Sessions,
    ProviderMembers,
    Peers,
    Invitations,
    NamedMacs,
    Outgoing,
    Answers,
    Audit,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 33] = [
        Self::Machines,
        Self::Configs,
        Self::Activations,
        Self::Leases,
        Self::Reservations,
        Self::Declined,
        Self::Events,
        Self::Keys,
        Self::Pending,
        Self::Tokens,
        Self::Facts,
        Self::Members,
        Self::Commands,
        Self::Ring,
        Self::Stamp,
        Self::Webhooks,
        Self::Deliveries,
        Self::Power,
        Self::Images,
        Self::Deployments,
        Self::Rollouts,
        Self::Setups,
        Self::Users,
        Self::ApiTokens,
        Self::Passwords,
        Self::Sessions,
        Self::ProviderMembers,
        Self::Peers,
        Self::Invitations,
        Self::NamedMacs,
        Self::Outgoing,
        Self::Answers,
        Self::Audit,
    ];

    /// Its name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Machines => "machines",
            Self::Configs => "configs",
            Self::Activations => "activations",
            Self::Leases => "leases",
            Self::Reservations => "reservations",
            Self::Declined => "declined",
            Self::Events => "events",
            Self::Keys => "keys",
            Self::Pending => "pending",
            Self::Tokens => "tokens",
            Self::Facts => "facts",
            Self::Members => "members",
            Self::Commands => "commands",
            Self::Ring => "ring",
            Self::Stamp => "stamp",
            Self::Webhooks => "webhooks",
            Self::Deliveries => "deliveries",
            Self::Power => "power",
            Self::Images => "images",
            Self::Deployments => "deployments",
            Self::Rollouts => "rollouts",
            Self::Setups => "setups",
            Self::Users => "users",
            Self::ApiTokens => "api-tokens",
            Self::Passwords => "passwords",
            Self::Sessions => "sessions",
            Self::ProviderMembers => "provider-members",
            Self::Peers => "peers",
            Self::Invitations => "invitations",
            Self::NamedMacs => "named-macs",
            Self::Outgoing => "outgoing",
            Self::Answers => "answers",
            Self::Audit => "audit",
        }
    }

    /// Whether its rows are in the view. The audit's are read when somebody asks.
    #[must_use]
    pub fn is_in_view(self) -> bool {
        self != Self::Audit
    }
}

/// The key of a table that has one row.
const ONLY_ROW: &[u8] = b"site";

/// Where the value of `key` is kept.
#[must_use]
pub(crate) fn place_of(key: &Key) -> (Table, Vec<u8>) {
    match key {
        Key::Machine(id) => (Table::Machines, id.as_str().into()),
        Key::Config(name) => (Table::Configs, name.to_string().into()),
        Key::Activation(id) => (Table::Activations, id.0.to_be_bytes().into()),
        Key::Lease(mac) => (Table::Leases, mac.0.into()),
        Key::Reservation(mac) => (Table::Reservations, mac.0.into()),
        Key::Declined(ip) => (Table::Declined, ip.octets().into()),
        Key::Event(seq) => (Table::Events, seq.to_be_bytes().into()),
        Key::EnrolledKey(serial) => (Table::Keys, serial.as_str().into()),
        Key::Pending(key) => (Table::Pending, key.0.into()),
        Key::Token(id) => (Table::Tokens, id.as_str().into()),
        Key::Facts(id) => (Table::Facts, id.as_str().into()),
        Key::Member(id) => (Table::Members, id.as_str().into()),
        Key::Command(id) => (Table::Commands, id.0.to_be_bytes().into()),
        Key::Ring => (Table::Ring, ONLY_ROW.into()),
        Key::Stamp => (Table::Stamp, ONLY_ROW.into()),
        Key::Webhook(name) => (Table::Webhooks, name.as_str().into()),
        Key::Delivery(id) => (Table::Deliveries, id.0.to_be_bytes().into()),
        Key::Power(id) => (Table::Power, id.as_str().into()),
        Key::Image(name) => (Table::Images, name.as_str().into()),
        Key::Deployment(id) => (Table::Deployments, id.0.to_be_bytes().into()),
        Key::Rollout(id) => (Table::Rollouts, id.0.to_be_bytes().into()),
        Key::Setup(name) => (Table::Setups, name.as_str().into()),
        Key::User(name) => (Table::Users, name.as_str().into()),
        Key::ApiToken(prefix) => (Table::ApiTokens, prefix.to_be_bytes().into()),
        Key::Password(user) => (Table::Passwords, user.as_str().into()),
        Key::Session(id) => (Table::Sessions, id.0.into()),
        Key::ProviderMember(provider, node) => {
            // Neither name has a zero byte, which sorts before all others.
            let key = format!("{provider}\0{node}");
            (Table::ProviderMembers, key.into())
        }
        Key::Peer(site) => (Table::Peers, site.as_str().into()),
        Key::Invitation(id) => (Table::Invitations, id.as_str().into()),
        Key::NamedMacs(site) => (Table::NamedMacs, site.as_str().into()),
        Key::Outgoing(nonce) => (Table::Outgoing, String::from(nonce.clone()).into()),
        Key::Answered(name) => (Table::Answers, name.0.into()),
    }
}

/// The row that puts `record` at `key`, or deletes it.
///
/// # Errors
/// When a value cannot be said in JSON: a mistake in our own types.
pub(crate) fn encode(key: &Key, record: Option<&Record>) -> Result<RawWrite, serde_json::Error> {
    let (table, key) = place_of(key);
    let value = record.map(to_json).transpose()?;
    Ok(RawWrite { table, key, value })
}

fn to_json(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    fn json(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(value)
    }
    match record {
        Record::Machine(m) => json(m),
        Record::Config(c) => json(c),
        Record::Activation(a) => json(a),
        Record::Lease(l) => json(l),
        Record::Reservation(r) => json(r),
        Record::Declined(d) => json(d),
        Record::Event(e) => json(&**e),
        Record::EnrolledKey(k) => json(k),
        Record::Pending(p) => json(p),
        Record::Token(t) => json(t),
        Record::Facts(f) => json(f),
        Record::Member(m) => json(m),
        Record::Command(c) => json(c),
        Record::Ring(r) => json(r),
        Record::Stamp(s) => json(s),
        Record::Webhook(w) => json(w),
        Record::Delivery(d) => json(d),
        Record::Power(p) => json(p),
        Record::Image(i) => json(i),
        Record::Deployment(d) => json(d),
        Record::Rollout(r) => json(r),
        Record::Setup(s) => json(s),
        Record::User(u) => json(u),
        Record::ApiToken(t) => json(t),
        Record::Password(p) => json(p),
        Record::Session(s) => json(s),
        Record::ProviderMember(m) => json(m),
        Record::Peer(p) => json(p),
        Record::Invitation(i) => json(i),
        Record::NamedMacs(n) => json(n),
        Record::Outgoing(o) => json(o),
        Record::Answered(a) => json(a),
    }
}

/// An event's row, which is read when somebody looks.
fn event(key: &[u8], value: &[u8]) -> Result<Recorded, String> {
    let seq = key.try_into().map(u64::from_be_bytes);
    let seq = seq.map_err(|_| "a row of table events has no number".to_owned())?;
    Ok(Recorded::of_row(seq, value.to_vec()))
}

/// The record of a row; the error says for a person what is wrong with the row.
///
/// # Errors
/// When the value is not what this table holds, or names another key.
pub(crate) fn decode(table: Table, key: &[u8], value: &[u8]) -> Result<Record, String> {
    fn json<T: DeserializeOwned>(value: &[u8]) -> Result<Arc<T>, serde_json::Error> {
        from_slice(value).map(Arc::new)
    }
    let record = match table {
        Table::Machines => json(value).map(Record::Machine),
        Table::Configs => json(value).map(Record::Config),
        Table::Activations => json(value).map(Record::Activation),
        Table::Leases => json(value).map(Record::Lease),
        Table::Reservations => json(value).map(Record::Reservation),
        Table::Declined => from_slice(value).map(Record::Declined),
        Table::Events => return event(key, value).map(Record::Event),
        Table::Keys => json(value).map(Record::EnrolledKey),
        Table::Pending => json(value).map(Record::Pending),
        Table::Tokens => json(value).map(Record::Token),
        Table::Facts => json(value).map(Record::Facts),
        Table::Members => json(value).map(Record::Member),
        Table::Commands => json(value).map(Record::Command),
        Table::Ring => json(value).map(Record::Ring),
        Table::Stamp => from_slice(value).map(Record::Stamp),
        Table::Webhooks => json(value).map(Record::Webhook),
        Table::Deliveries => json(value).map(Record::Delivery),
        Table::Power => json(value).map(Record::Power),
        Table::Images => json(value).map(Record::Image),
        Table::Deployments => json(value).map(Record::Deployment),
        Table::Rollouts => json(value).map(Record::Rollout),
        Table::Setups => json(value).map(Record::Setup),
        Table::Users => json(value).map(Record::User),
        Table::ApiTokens => json(value).map(Record::ApiToken),
        Table::Passwords => json(value).map(Record::Password),
        Table::Sessions => json(value).map(Record::Session),
        Table::ProviderMembers => json(value).map(Record::ProviderMember),
        Table::Peers => json(value).map(Record::Peer),
        Table::Invitations => json(value).map(Record::Invitation),
        Table::NamedMacs => json(value).map(Record::NamedMacs),
        Table::Outgoing => json(value).map(Record::Outgoing),
        Table::Answers => json(value).map(Record::Answered),
        Table::Audit => return Err("the audit holds no records".to_owned()),
    }
    .map_err(|e| format!("a row of table {}: {e}", table.name()))?;
    if place_of(&record.key()) == (table, key.to_vec()) {
        Ok(record)
    } else {
        Err(format!("a row of table {} names another key", table.name()))
    }
}
