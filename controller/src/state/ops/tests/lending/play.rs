//! The controller's own transitions against a helper's own ledger, with everything that can go wrong between them.

use std::collections::BTreeSet;

use mesh_proto::message::delegation::{
    DelegatedBoot, Moment,
    ledger::{Entry, Ledger},
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::state::activation::MAX_BOOTS;

/// What can happen between the controller, the helper, and the machine.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// The helper asks; the answer may be lost.
    Ask { lost: bool },
    /// The machine asks the helper for its script.
    Script(u8),
    /// For its file.
    Fetch(u8),
    /// It has that whole.
    Whole(u8),
    /// All that at the controller.
    Elsewhere(u8),
    /// The oldest piece of the outbox is told; the helper may die before it notes that.
    Tell { dies: bool },
    /// Seconds pass.
    Pass(i64),
    /// The helper's computer is restarted.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let session = 0..6u8;
    prop_oneof![
        3 => any::<bool>().prop_map(|lost| Act::Ask { lost }),
        4 => session.clone().prop_map(Act::Script),
        3 => session.clone().prop_map(Act::Fetch),
        2 => session.clone().prop_map(Act::Whole),
        2 => session.prop_map(Act::Elsewhere),
        4 => any::<bool>().prop_map(|dies| Act::Tell { dies }),
        2 => prop_oneof![Just(5i64), Just(1000), Just(30_000)].prop_map(Act::Pass),
        1 => Just(Act::Restart),
    ]
}

/// A piece of the outbox.
#[derive(Clone)]
enum Piece {
    Served(String, bool),
    Whole(String),
}

struct Play {
    world: World,
    lent: Activation,
    /// The helper's disk.
    held: Option<(Delegation, Timestamp)>,
    restarted: bool,
    ledger: Ledger,
    outbox: Vec<Piece>,
    /// What really happened.
    evident: bool,
    delegated: bool,
    fetching: BTreeSet<String>,
}

impl Play {
    fn new() -> Self {
        let mut world = room();
        let lent = lent(&mut world);
        Self {
            world,
            lent,
            held: None,
            restarted: false,
            ledger: Ledger::default(),
            outbox: Vec::new(),
            evident: false,
            delegated: false,
            fetching: BTreeSet::new(),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Ask { lost } => self.ask(lost),
            Act::Script(s) => self.serve(&format!("h{s}"), false),
            Act::Fetch(s) => self.serve(&format!("h{s}"), true),
            Act::Whole(s) => self.whole(format!("h{s}")),
            Act::Elsewhere(s) => self.elsewhere(&format!("c{s}")),
            Act::Tell { dies } => self.tell(dies),
            Act::Pass(seconds) => {
                self.world.pass(seconds);
                self.world.does(&ExpireOverdue);
            }
            Act::Restart => self.restarted = true,
        }
        assert!(self.fetching.len() <= MAX_BOOTS, "{:?}", self.fetching);
    }

    /// Only who has told everything asks.
    fn ask(&mut self, lost: bool) {
        if !self.outbox.is_empty() {
            return;
        }
        let all = delegation(&mut self.world);
        let is_in_it = all.boots().next().is_some();
        self.delegated |= is_in_it;
        if !lost {
            if !is_in_it {
                self.ledger = Ledger::default();
            }
            self.held = Some((all, self.world.now));
            self.restarted = false;
        }
    }

    /// The helper's rules, while they are good.
    fn rules(&self) -> Option<DelegatedBoot> {
        let (all, came) = self.held.as_ref()?;
        let now = self.world.now;
        let age = came.duration_until(now).as_secs();
        let at = Moment {
            unix_s: now.as_second(),
            held_s: (!self.restarted).then_some(age),
        };
        all.by_nonce(&self.lent.nonce.to_string(), at).cloned()
    }

    fn serve(&mut self, session: &str, fetched: bool) {
        let Some(once) = self.rules().and_then(|boot| boot.once) else {
            return;
        };
        let entry = match fetched {
            true => self.ledger.begin_fetch(&once, session),
            false => self.ledger.claim(&once, session),
        };
        let goes = !matches!(entry, Entry::Over(_));
        if let Entry::Next(next) | Entry::Over(next) = entry {
            self.ledger = next;
        }
        if goes {
            assert!(!self.evident, "the helper serves it after its evidence");
            if fetched {
                self.fetching.insert(session.to_owned());
            }
            self.outbox.push(Piece::Served(session.to_owned(), fetched));
        }
    }

    fn whole(&mut self, session: String) {
        let Some(boot) = self.rules() else { return };
        if let Entry::Next(next) | Entry::Over(next) =
            self.ledger.sent(&boot, &session, Some("vmlinuz"))
        {
            self.ledger = next;
            self.evident |= self.ledger.over.is_some();
            self.outbox.push(Piece::Whole(session));
        }
    }

    fn elsewhere(&mut self, session: &str) {
        if !is_served(&self.world.asks(card(2), session, None)) {
            return;
        }
        assert!(!self.delegated, "the controller serves what is a helper's");
        assert!(!self.evident, "the controller serves it after its evidence");
        let begin = BeginFetch {
            nonce: self.lent.nonce.clone(),
            name: "vmlinuz".to_owned(),
            session: Some(session.to_owned()),
            asker: ip(2),
            is_its_address: true,
        };
        if matches!(self.world.does(&begin), FetchAnswer::Asset(..)) {
            self.fetching.insert(session.to_owned());
            self.evident = true;
            self.sent(session.to_owned());
        }
    }

    fn sent(&mut self, session: String) {
        let sent = FileSent {
            nonce: self.lent.nonce.clone(),
            name: "vmlinuz".to_owned(),
            session,
        };
        self.world.does(&sent);
    }

    fn tell(&mut self, dies: bool) {
        let Some(piece) = self.outbox.first().cloned() else {
            return;
        };
        match piece {
            Piece::Whole(session) => self.sent(session),
            Piece::Served(session, fetched) => {
                let take = TakeServed {
                    helper: self.world.machine(1).id,
                    nonce: self.lent.nonce.clone(),
                    session,
                    fetched,
                };
                if !self.world.does(&take) && self.ledger.over.is_none() {
                    self.ledger = self.ledger.end("the controller says so".into());
                }
            }
        }
        if !dies {
            self.outbox.remove(0);
        }
    }
}

proptest! {
    #[test]
    fn it_is_served_once_over_crashes_lost_words_and_ends_of_time(acts in vec(act(), 1..50)) {
        let mut play = Play::new();
        acts.into_iter().for_each(|act| play.act(act));
        // Once all is told the controller knows.
        let is_open = play.world.view.activation(play.lent.id).unwrap().is_open();
        prop_assert!(!(play.evident && is_open && play.outbox.is_empty()));
    }
}
