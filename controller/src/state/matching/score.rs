//! How much speaks for two descriptions being one machine, with the reasons.

use std::collections::BTreeSet;

use ipxe::MacAddr;

use super::{ENOUGH, Identity, Mark};

/// An SMBIOS value that both have alike: meant to be unique, and mostly is.
const SAME_VALUE: i32 = 4;
/// One that both have and that differs: boards are swapped less often than cards.
const OTHER_VALUE: i32 = -3;
/// A network card in common.
const SAME_CARD: i32 = 3;
/// Cards beyond this many do not add: they come and go together on one board.
const CARDS_COUNTED: usize = 2;
/// Some cards are shared, but each side also has others: a card that was carried over.
const CARDS_DIVERGE: i32 = -2;
/// No card in common although both have some: not even the one on the board.
const NO_CARD: i32 = -6;
/// The same, but a disk is in common: the cards may have been replaced.
const NO_CARD_BUT_DISK: i32 = -2;
/// A fixed disk in common. Disks are carried over more often than anything.
const SAME_DISK: i32 = 2;
/// Disks beyond this many do not add.
const DISKS_COUNTED: usize = 2;
/// No disk in common although both have some.
const NO_DISK: i32 = -1;
/// The card that booted is its own.
const BOOTED: i32 = 1;

/// What speaks for and against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Score {
    /// The sum.
    pub sum: i32,
    /// Each reason, for people.
    pub reasons: Vec<String>,
}

impl Score {
    fn add(&mut self, points: i32, reason: impl Into<String>) {
        self.sum += points;
        self.reasons.push(reason.into());
    }

    /// The reasons as one sentence part.
    #[must_use]
    pub fn words(&self) -> String {
        self.reasons.join(", ")
    }
}

/// Whether a value is on several machines and so tells none apart.
type Common<'a> = dyn Fn(&Mark) -> bool + 'a;

pub(super) fn score(
    known: &Identity,
    who: &Identity,
    common: &Common<'_>,
    booted: Option<MacAddr>,
) -> Score {
    let mut score = Score::default();
    let values = [
        (
            "uuid",
            &known.uuid,
            &who.uuid,
            Mark::Uuid as fn(String) -> Mark,
        ),
        ("serial", &known.serial, &who.serial, Mark::Serial),
        ("board serial", &known.board, &who.board, Mark::Board),
    ];
    for (name, was, is, mark) in values {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        match was == is {
            true if common(&mark(is.clone())) => {}
            true => score.add(SAME_VALUE, format!("same {name}")),
            false => score.add(OTHER_VALUE, format!("another {name}")),
        }
    }
    let disks = shared(&known.disks, &who.disks, |d| {
        !common(&Mark::Disk(d.clone()))
    });
    cards(known, who, disks > 0, &mut score);
    if disks > 0 {
        let counted = i32::try_from(disks.min(DISKS_COUNTED)).expect("at most two");
        score.add(SAME_DISK * counted, count(disks, "disk"));
    } else if !known.disks.is_empty() && !who.disks.is_empty() {
        score.add(NO_DISK, "none of its disks");
    }
    if booted.is_some_and(|mac| known.macs.contains(&mac)) {
        score.add(BOOTED, "booted by its card");
    }
    score
}

fn cards(known: &Identity, who: &Identity, same_disk: bool, score: &mut Score) {
    let same = shared(&known.macs, &who.macs, |_| true);
    if same > 0 {
        let counted = i32::try_from(same.min(CARDS_COUNTED)).expect("at most two");
        score.add(SAME_CARD * counted, count(same, "network card"));
        if known.macs.len() > same && who.macs.len() > same {
            score.add(CARDS_DIVERGE, "other network cards on both sides");
        }
    } else if !known.macs.is_empty() && !who.macs.is_empty() {
        let points = if same_disk { NO_CARD_BUT_DISK } else { NO_CARD };
        score.add(points, "none of its network cards");
    }
}

fn shared<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>, tells: impl Fn(&T) -> bool) -> usize {
    a.intersection(b).filter(|value| tells(value)).count()
}

fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("a {what} in common"),
        n => format!("{n} {what}s in common"),
    }
}

/// Whether an installed key still runs on the board it was made for. A key copied with its disk to another board does
/// not: there only the disk speaks for it.
#[must_use]
pub fn same_board(known: &Identity, now: &Identity) -> bool {
    score(known, now, &|_| false, None).sum >= ENOUGH
}

/// Whether a claim comes from the very hardware that we know, by more than a network card's address, which anyone can
/// set: what SMBIOS says, or where that says nothing, the disks.
#[must_use]
pub fn same_hardware(known: &Identity, now: &Identity) -> bool {
    let values = [
        (&known.uuid, &now.uuid),
        (&known.serial, &now.serial),
        (&known.board, &now.board),
    ];
    let both = || {
        values
            .iter()
            .filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)))
    };
    if both().any(|(was, is)| was != is) {
        return false;
    }
    let disk = known.disks.intersection(&now.disks).next().is_some();
    both().next().is_some() || disk
}
