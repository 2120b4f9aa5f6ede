//! What a receiver is told: the same bytes at each attempt.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::state::{Timestamp, notify::Delivery};

/// The body of a webhook, in the form of standardwebhooks.com: a type, a time, data.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    /// Told apart by it: the same at each attempt.
    pub(super) id: String,
    /// The event's kind.
    pub(super) r#type: &'a str,
    /// When it happened.
    pub(super) timestamp: Timestamp,
    /// The event.
    pub(super) data: Data<'a>,
}

/// An event, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    pub(super) seq: u64,
    pub(super) machine: Option<&'a str>,
    pub(super) machine_name: Option<&'a str>,
    pub(super) mac: Option<String>,
    pub(super) text: &'a str,
    pub(super) fields: &'a BTreeMap<String, String>,
}

impl<'a> Message<'a> {
    pub(super) fn of(delivery: &'a Delivery) -> Self {
        let draft = &delivery.event.draft;
        Self {
            id: delivery.message_id(),
            r#type: &draft.kind,
            timestamp: delivery.event.at,
            data: Data {
                seq: delivery.event.seq,
                machine: draft.machine.as_ref().map(|id| id.as_str()),
                machine_name: delivery.machine_name.as_deref(),
                mac: draft.mac.map(|mac| mac.to_string()),
                text: &draft.text,
                fields: &draft.fields,
            },
        }
    }

    /// The subject of a mail: what a person waits for says so in its first words.
    pub(super) fn subject(&self) -> String {
        let text = one_line(self.data.text);
        match self.r#type {
            "deployment.online" => format!("Your image is online: {text}"),
            "deployment.failed" => format!("Your deployment failed: {text}"),
            _ => format!("[enforcer] {text}"),
        }
    }

    /// The text of a mail.
    pub(super) fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{}\n\n", one_line(self.data.text));
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name}: {}", one_line(value));
        };
        line("what", self.r#type);
        line("when", &self.timestamp.to_string());
        if let Some(machine) = self.data.machine_name.or(self.data.machine) {
            line("machine", machine);
        }
        for (name, value) in self.data.fields {
            line(name, value);
        }
        line("id", &self.id);
        text
    }
}

/// A text that may come from a stranger, on one line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
