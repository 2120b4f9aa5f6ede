//! A machine's events cut into boots, and a boot compared with the ones before it: how much slower, and at which step.

use std::{collections::BTreeMap, time::Duration};

use super::{Timestamp, audit::TOLD, event::Event};

/// Firmware that asks again within this time is still at the same boot: PXE ROMs repeat themselves for a minute, seconds.
const SAME_BOOT_S: i64 = 90;
/// After such a silence whatever comes is another boot, seconds.
const LONG_SILENCE_S: i64 = 30 * 60;
/// A boot is compared with so many before it that went the same way.
pub const COMPARED: usize = 5;
/// Fewer are no habit.
const LEAST_COMPARED: usize = 2;
/// Less than this is chance.
const LEAST_SLOWER: Duration = Duration::from_secs(2);

/// What is part of a boot; the rest of a machine's events is people's doing. An entry that ends in a dot is a family.
const PARTS: [&str; 22] = [
    "boot.",
    "activation.served",
    "activation.fetching",
    "activation.running",
    "activation.confirmed",
    "activation.failed",
    "activation.expired",
    "deployment.served",
    "deployment.taken",
    "deployment.captured",
    "deployment.writing",
    "deployment.written",
    "deployment.rebooting",
    "deployment.online",
    "deployment.done",
    "deployment.failed",
    "deployment.handed-over",
    "machine.seen",
    "machine.facts",
    "machine.pending",
    "key.enrolled",
    "member.joined",
];
/// With these a boot may begin.
const STARTS: [&str; 2] = ["boot.firmware-offered", "boot.script-offered"];
/// These may come before anything else of a boot's beginning.
const EARLY: [&str; 4] = [
    "boot.firmware-offered",
    "boot.firmware-loaded",
    "boot.script-offered",
    "machine.seen",
];
/// With these a machine has got somewhere.
const ENDS: [&str; 8] = [
    "activation.confirmed",
    "deployment.written",
    "deployment.online",
    "deployment.done",
    "deployment.handed-over",
    "key.enrolled",
    "machine.facts",
    "member.joined",
];

/// A step of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The event's number.
    pub seq: u64,
    /// The event's kind.
    pub kind: String,
    /// The event's sentence.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// Until the next step; zero for the last one.
    pub took: Duration,
}

/// A boot, its steps in order; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Its steps.
    pub steps: Vec<Step>,
    /// What the machine was told to boot, if it came so far: the word of a plan.
    pub plan: Option<String>,
}

/// A boot beside the ones before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// How many those are.
    pub boots: usize,
    /// How long the middle one of them took.
    pub usual: Duration,
    /// How much longer this one took, where that says something, and where it lost most of it.
    pub slower: Option<Slower>,
}

/// How a boot was slower than usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slower {
    /// By so much.
    pub by: Duration,
    /// Most of it after this step: the kind of its event.
    pub at: String,
    /// What came after that step took so much longer.
    pub at_by: Duration,
}

impl Boot {
    fn begun(event: &Event) -> Self {
        let mut boot = Self {
            steps: Vec::new(),
            plan: None,
        };
        boot.take(event);
        boot
    }

    fn take(&mut self, event: &Event) {
        if let Some(last) = self.steps.last_mut() {
            last.took = between(last.at, event.at);
        }
        let draft = &event.draft;
        if draft.kind == TOLD && self.plan.is_none() {
            self.plan = draft.fields.get("plan").cloned();
        }
        self.steps.push(Step {
            seq: event.seq,
            kind: draft.kind.clone(),
            text: draft.text.clone(),
            at: event.at,
            took: Duration::ZERO,
        });
    }

    /// Whether this event begins another boot.
    fn is_over_before(&self, event: &Event) -> bool {
        let Some(last) = self.steps.last() else {
            return false;
        };
        let silence = event.at.duration_since(last.at).as_secs();
        if silence > LONG_SILENCE_S {
            return true;
        }
        let early = || self.steps.iter().all(|s| EARLY.contains(&s.kind.as_str()));
        STARTS.contains(&event.draft.kind.as_str()) && !(silence < SAME_BOOT_S && early())
    }

    /// From its first step to its last.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.steps.iter().map(|step| step.took).sum()
    }

    /// Whether the machine has got where it was to go, as far as that can be seen.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let Some(last) = self.steps.last() else {
            return false;
        };
        // Of its own disk nothing more is heard.
        let to_disk = last.kind == TOLD && self.plan.as_deref() == Some("local-disk");
        to_disk || ENDS.contains(&last.kind.as_str())
    }

    /// Whether it went the same way: it was told the same and came as far.
    fn is_like(&self, other: &Self) -> bool {
        let end = |boot: &Self| boot.steps.last().map(|step| step.kind.clone());
        self.plan == other.plan && end(self) == end(other)
    }

    /// How long what came after each kind of step took, together.
    fn spans(&self) -> BTreeMap<&str, Duration> {
        let mut spans = BTreeMap::new();
        for step in &self.steps {
            *spans.entry(step.kind.as_str()).or_default() += step.took;
        }
        spans
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    // A clock that was set back makes no time.
    to.duration_since(from).try_into().unwrap_or_default()
}

fn is_part(event: &Event) -> bool {
    let kind = event.draft.kind.as_str();
    let mut parts = PARTS.iter();
    parts.any(|part| kind == *part || (part.ends_with('.') && kind.starts_with(part)))
}

/// The boots in a machine's events, which come in their order; the oldest boot first.
pub fn boots<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Boot> {
    let mut boots: Vec<Boot> = Vec::new();
    for event in events.into_iter().filter(|event| is_part(event)) {
        match boots.last_mut() {
            Some(boot) if !boot.is_over_before(event) => boot.take(event),
            _ => boots.push(Boot::begun(event)),
        }
    }
    boots
}

/// A finished boot beside the last ones of `before` (the oldest first) that are finished and went the same way; `None` where there
/// are too few.
#[must_use]
pub fn compare(boot: &Boot, before: &[Boot]) -> Option<Compared> {
    if !boot.is_finished() {
        return None;
    }
    let alike = before.iter().rev();
    let alike: Vec<&Boot> = alike
        .filter(|b| b.is_finished() && b.is_like(boot))
        .take(COMPARED)
        .collect();
    if alike.len() < LEAST_COMPARED {
        return None;
    }
    let usual = median(alike.iter().map(|b| b.took()).collect());
    let by = boot.took().saturating_sub(usual);
    let says_something = by >= LEAST_SLOWER && by > usual / 5;
    Some(Compared {
        boots: alike.len(),
        usual,
        slower: says_something.then(|| slower(boot, &alike, by)),
    })
}

/// The step that lost most.
fn slower(boot: &Boot, alike: &[&Boot], by: Duration) -> Slower {
    let before: Vec<_> = alike.iter().map(|boot| boot.spans()).collect();
    let lost = boot.spans().into_iter().map(|(kind, took)| {
        let usual = before
            .iter()
            .map(|spans| spans.get(kind).copied().unwrap_or_default());
        (took.saturating_sub(median(usual.collect())), kind)
    });
    let (at_by, at) = lost.max().unwrap_or_default();
    Slower {
        by,
        at: at.to_owned(),
        at_by,
    }
}

/// The middle one; of an even number the earlier of the two in the middle.
fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    let middle = all.len().saturating_sub(1) / 2;
    all.get(middle).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
