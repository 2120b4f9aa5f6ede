//! What `/metrics` tells beside the counters: what is known now, and how the store fares.

use std::collections::BTreeMap;

use super::{Metrics, family};
use crate::{state::View, store::Store};

/// The counters with what the view and the store hold now, in Prometheus' text format.
#[must_use]
pub fn render(metrics: &Metrics, store: &Store) -> String {
    let mut text = metrics.render();
    known(&mut text, &store.view());
    kept(&mut text, store);
    text
}

/// What is counted from the view.
fn known(text: &mut String, view: &View) {
    let standings = view.machines().map(|m| m.standing.word());
    gauge(
        text,
        "enforcer_machines",
        "Known machines.",
        "standing",
        standings,
    );
    let stages = view.activations().map(|a| a.stage.word());
    gauge(
        text,
        "enforcer_activations",
        "Activations kept.",
        "stage",
        stages,
    );
    let states = view.members().map(|m| m.state.word());
    gauge(
        text,
        "enforcer_members",
        "Members of the mesh.",
        "state",
        states,
    );
    let states = view.provider_members().map(|m| m.state.word());
    gauge(
        text,
        "enforcer_provider_members",
        "Members of providers.",
        "state",
        states,
    );
    let waiting = view.pending().count() as u64;
    let disputed = view.machines().filter(|m| m.disputed.is_some()).count() as u64;
    let deciding = [("pending", waiting), ("disputed", disputed)];
    let help = "What waits for a person.";
    family(text, "enforcer_undecided", "gauge", help, "what", deciding);
    let help = "Records kept.";
    let kept = [
        ("boot-configs", view.configs().count() as u64),
        ("events", view.event_count() as u64),
        ("leases", view.leases().count() as u64),
        ("reservations", view.reservations().count() as u64),
    ];
    family(text, "enforcer_records", "gauge", help, "kind", kept);
}

fn gauge<'a>(
    text: &mut String,
    name: &str,
    help: &str,
    label: &str,
    words: impl Iterator<Item = &'a str>,
) {
    let mut counts = BTreeMap::<&str, u64>::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    family(text, name, "gauge", help, label, counts);
}

/// How the store fares.
fn kept(text: &mut String, store: &Store) {
    let stats = store.stats();
    let help = "What the store did.";
    let counts = [
        ("commits", stats.commits),
        ("conflicts", stats.conflicts),
        ("dropped-notes", stats.dropped_notes),
        ("failures", stats.failures),
        ("transitions", stats.transitions),
    ];
    family(
        text,
        "enforcer_store_total",
        "counter",
        help,
        "what",
        counts,
    );
}
