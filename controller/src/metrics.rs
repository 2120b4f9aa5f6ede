//! Counters for `/metrics`: labelled, atomic, bounded. What can be counted from the view is counted when somebody asks.

mod gauges;

pub use gauges::render;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Label values kept for one counter; what comes later is counted as `other`. Labels are our own words, so more than this
/// means that a stranger's text became a label.
pub const MAX_LABELS: usize = 64;

/// Everything that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Packets and requests dropped, by reason (`BootNote::Dropped`).
    Dropped,
    /// TFTP transfers, by how they ended.
    TftpTransfers,
    /// API requests, by status code.
    ApiRequests,
    /// Connections and requests at the API that were refused, by reason.
    ApiRefusals,
    /// Passwords that were shown and people who came back from the identity provider, by what became of it.
    SignIns,
    /// Boot HTTP requests, by what was asked for.
    BootRequests,
    /// What machines were told to boot, by plan.
    BootAnswers,
    /// DHCP boot offers, by what was offered.
    BootOffers,
    /// DHCP lease questions, by answer.
    LeaseAnswers,
    /// Requests for certificates, by what became of them.
    Enrolments,
    /// Connections and requests of agents that were refused, by reason.
    MeshRefusals,
    /// Commands that were settled, by outcome.
    Commands,
    /// Attempts to notify somebody, by outcome.
    Notifications,
    /// Lines of the audit that were mirrored, or not, by where and how.
    AuditMirror,
    /// What went wrong with providers (Serf, Consul), by kind.
    ProviderFaults,
    /// About other sites.
    Peer(PeerCounter),
}

/// What is counted about other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerCounter {
    /// Our questions, by what became of them.
    Asked,
    /// Their questions, by what became of them.
    Answered,
    /// Bytes, by what they are and which way they went.
    Bytes,
    /// Frames of the mesh of sites, by what became of them.
    Frames,
    /// What other sites sent and we did not take, by what it was.
    Rejected,
}

impl Counter {
    /// Every counter, in the order of `/metrics`.
    pub const ALL: [Self; 20] = [
        Self::Dropped,
        Self::TftpTransfers,
        Self::ApiRequests,
        Self::ApiRefusals,
        Self::SignIns,
        Self::BootRequests,
        Self::BootAnswers,
        Self::BootOffers,
        Self::LeaseAnswers,
        Self::Enrolments,
        Self::MeshRefusals,
        Self::Commands,
        Self::Notifications,
        Self::AuditMirror,
        Self::ProviderFaults,
        Self::Peer(PeerCounter::Asked),
        Self::Peer(PeerCounter::Answered),
        Self::Peer(PeerCounter::Bytes),
        Self::Peer(PeerCounter::Frames),
        Self::Peer(PeerCounter::Rejected),
    ];

    /// Name, label and help line, as Prometheus shows them.
    fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Dropped => (
                "enforcer_dropped_total",
                "reason",
                "Packets and requests dropped.",
            ),
            Self::TftpTransfers => ("enforcer_tftp_transfers_total", "end", "TFTP transfers."),
            Self::ApiRequests => ("enforcer_api_requests_total", "status", "API requests."),
            Self::ApiRefusals => (
                "enforcer_api_refusals_total",
                "reason",
                "Connections and requests at the API that were refused.",
            ),
            Self::SignIns => (
                "enforcer_sign_ins_total",
                "result",
                "Tries to sign in, by password and at the identity provider.",
            ),
            Self::BootRequests => (
                "enforcer_boot_requests_total",
                "kind",
                "Boot HTTP requests.",
            ),
            Self::BootAnswers => (
                "enforcer_boot_answers_total",
                "plan",
                "What machines were told to boot.",
            ),
            Self::BootOffers => (
                "enforcer_boot_offers_total",
                "offer",
                "Boot offers made by DHCP.",
            ),
            Self::LeaseAnswers => (
                "enforcer_lease_answers_total",
                "answer",
                "Answers to DHCP lease questions.",
            ),
            Self::Enrolments => (
                "enforcer_enrolments_total",
                "result",
                "Requests of agents for certificates.",
            ),
            Self::MeshRefusals => (
                "enforcer_mesh_refusals_total",
                "reason",
                "Connections and requests of agents that were refused.",
            ),
            Self::Commands => (
                "enforcer_commands_total",
                "outcome",
                "Commands that were settled.",
            ),
            Self::Notifications => (
                "enforcer_notifications_total",
                "outcome",
                "Attempts to send a webhook or a mail.",
            ),
            Self::AuditMirror => (
                "enforcer_audit_mirror_total",
                "result",
                "Lines of the audit that were copied to its file and to the journal, and tries that failed.",
            ),
            Self::ProviderFaults => (
                "enforcer_provider_faults_total",
                "fault",
                "What went wrong with providers.",
            ),
            Self::Peer(counter) => counter.describe(),
        }
    }
}

impl PeerCounter {
    /// As [`Counter::describe`].
    fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Asked => (
                "enforcer_peer_asked_total",
                "result",
                "Questions of this site to other sites.",
            ),
            Self::Answered => (
                "enforcer_peer_answered_total",
                "result",
                "Questions of other sites to this one.",
            ),
            Self::Bytes => (
                "enforcer_peer_bytes_total",
                "what",
                "Bytes that travelled on links with other sites.",
            ),
            Self::Frames => (
                "enforcer_peer_frames_total",
                "fate",
                "Frames of the mesh of sites.",
            ),
            Self::Rejected => (
                "enforcer_peer_rejected_total",
                "what",
                "What other sites sent and this one did not take.",
            ),
        }
    }
}

/// The process's counters; share it behind an `Arc`.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: RwLock<BTreeMap<(Counter, String), AtomicU64>>,
}

impl Metrics {
    /// Adds one. Never blocks longer than a map look-up; only a label's first use takes the lock for writing.
    pub fn count(&self, counter: Counter, label: &str) {
        self.add(counter, label, 1);
    }

    /// Adds as many.
    pub fn add(&self, counter: Counter, label: &str, added: u64) {
        let key = (counter, label.to_owned());
        {
            let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get(&key) {
                count.fetch_add(added, Ordering::Relaxed);
                return;
            }
        }
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        let labels = counts.keys().filter(|(c, _)| *c == counter).count();
        let key = if labels < MAX_LABELS || counts.contains_key(&key) {
            key
        } else {
            (counter, "other".to_owned())
        };
        counts
            .entry(key)
            .or_default()
            .fetch_add(added, Ordering::Relaxed);
    }

    /// A counter's value under one label.
    #[must_use]
    pub fn value(&self, counter: Counter, label: &str) -> u64 {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        counts
            .get(&(counter, label.to_owned()))
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// All counters in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for counter in Counter::ALL {
            let (name, label, help) = counter.describe();
            let values = counts
                .iter()
                .filter(|((c, _), _)| *c == counter)
                .map(|((_, value), count)| (value.as_str(), count.load(Ordering::Relaxed)));
            family(&mut text, name, "counter", help, label, values);
        }
        text
    }
}

/// Writes one metric family; one without values is left out.
pub(crate) fn family<'a>(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (&'a str, u64)>,
) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (value, count) in values {
        let value = escape(value);
        let _ = writeln!(text, "{name}{{{label}=\"{value}\"}} {count}");
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_label() {
        let metrics = Metrics::default();
        metrics.count(Counter::Dropped, "rate");
        metrics.count(Counter::Dropped, "rate");
        metrics.count(Counter::Dropped, "a \"quoted\"\nword");
        assert_eq!(
            metrics.render(),
            "# HELP enforcer_dropped_total Packets and requests dropped.\n\
             # TYPE enforcer_dropped_total counter\n\
             enforcer_dropped_total{reason=\"a \\\"quoted\\\"\\nword\"} 1\n\
             enforcer_dropped_total{reason=\"rate\"} 2\n"
        );
    }

    #[test]
    fn strangers_cannot_grow_the_table() {
        let metrics = Metrics::default();
        for n in 0..1000 {
            metrics.count(Counter::Dropped, &n.to_string());
        }
        assert_eq!(metrics.counts.read().unwrap().len(), MAX_LABELS + 1);
        assert_eq!(
            metrics.value(Counter::Dropped, "other"),
            1000 - MAX_LABELS as u64
        );
    }
}
