//! Whatever machines, strangers and people do in whatever order: what is closed stays closed and is served to nobody,
//! and no one-shot activation is served to more boots than its caps allow.

use std::{collections::BTreeMap, time::Duration};

use ipxe::{BootPlan, MacAddr};
use proptest::prelude::*;

use super::*;
use crate::state::{
    Changes, Record, Transition, View,
    boot::{BootRequest, decide},
    config::{Asset, ConfigName, Program},
    event::{Draft, Event},
    machine::{MachineId, Standing},
    ops::{
        Activate, ActivateError, BeginFetch, Callback, ClaimBoot, Deactivate, ExpireOverdue,
        FetchAnswer, FileSent, MachineRef, RegisterMachine, SetConfig,
    },
    trust::secret::BootSecret,
};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x77, 0, 1]);
const NONCE: u128 = 0xabc;
const FILES: [&str; 2] = ["linux", "initrd.gz"];

/// Something that happens.
#[derive(Debug, Clone)]
enum Happens {
    Script(u8),
    Fetch(Option<u8>, usize),
    Sent(u8, usize),
    Callback(bool),
    Deactivate,
    Expire,
    Passes(u16),
}

fn happening() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (0..40_u8).prop_map(Happens::Script),
        6 => (proptest::option::weighted(0.8, 0..8_u8), 0..2_usize).prop_map(|(s, f)| Happens::Fetch(s, f)),
        6 => (0..8_u8, 0..2_usize).prop_map(|(s, f)| Happens::Sent(s, f)),
        1 => any::<bool>().prop_map(Happens::Callback),
        1 => Just(Happens::Deactivate),
        1 => Just(Happens::Expire),
        1 => (1..400_u16).prop_map(Happens::Passes),
    ]
}

/// What is known, and a clock.
struct World {
    view: View,
    now: Timestamp,
}

impl World {
    fn armed(kind: Kind, evidence: Evidence) -> Self {
        let mut world = Self {
            view: View::default(),
            now: Timestamp::UNIX_EPOCH + Duration::from_secs(1 << 30),
        };
        let fresh_id = MachineId::from_random(1);
        let register = RegisterMachine {
            mac: MAC,
            name: None,
            fresh_id,
        };
        world.does(&register).expect("a good MAC");
        world
            .does(&SetConfig(config(evidence)))
            .expect("a good config");
        let activate = Activate {
            machine: MachineRef(MAC.to_string()),
            config: name(),
            kind,
            until: Some(world.now + Duration::from_secs(600)),
            nonce: Nonce::from_random(NONCE),
        };
        world.does(&activate).expect("nothing else is due");
        world
    }

    fn does<T: Transition>(&mut self, transition: &T) -> T::Outcome {
        let (Changes { writes, events }, outcome) = transition.run(&self.view, self.now);
        writes.iter().for_each(|w| self.view.absorb(w));
        for draft in events {
            self.tells(draft);
        }
        outcome
    }

    fn tells(&mut self, draft: Draft) {
        let event = Event {
            seq: self.view.next_event(),
            at: self.now,
            draft,
        };
        self.view.absorb(&Record::Event(event.into()).into());
    }

    fn request(&self, session: u8) -> BootRequest {
        BootRequest {
            mac: MAC,
            arch: None,
            session: Some(format!("s{session}")),
            after_management: false,
            base: "http://192.0.2.1:4880".into(),
            known_address: None,
            controller: None,
            peers: Default::default(),
        }
    }

    /// What happens; whether the machine was served something of the activation.
    fn happens(&mut self, what: &Happens) -> bool {
        let nonce = Nonce::from_random(NONCE);
        match what.clone() {
            Happens::Script(session) => {
                let request = self.request(session);
                let fresh_id = MachineId::from_random(2);
                let decision = self.does(&ClaimBoot {
                    request,
                    fresh_id,
                    fresh_secret: BootSecret::fresh(1),
                    fresh_nonce: Nonce::from_random(3),
                });
                matches!(decision.plan, BootPlan::Config(_))
            }
            Happens::Fetch(session, file) => {
                let answer = self.does(&BeginFetch {
                    nonce,
                    name: FILES[file].into(),
                    session: session.map(|s| format!("s{s}")),
                    asker: [10, 0, 0, 9].into(),
                    is_its_address: false,
                });
                matches!(answer, FetchAnswer::Asset(..))
            }
            Happens::Sent(session, file) => {
                let (name, session) = (FILES[file].into(), format!("s{session}"));
                self.does(&FileSent {
                    nonce,
                    name,
                    session,
                });
                false
            }
            Happens::Callback(good) => {
                let failure = (!good).then(|| "no".to_owned());
                self.does(&Callback { nonce, failure });
                false
            }
            Happens::Deactivate => {
                let _ = self.does(&Deactivate(MachineRef(MAC.to_string())));
                false
            }
            Happens::Expire => {
                self.does(&ExpireOverdue);
                false
            }
            Happens::Passes(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                false
            }
        }
    }

    fn activation(&self) -> Activation {
        let found = self.view.activation(ActivationId(1));
        Activation::clone(found.expect("armed at the start"))
    }

    /// Events that say it is over.
    fn ends(&self) -> usize {
        let ends = [
            "activation.confirmed",
            "activation.failed",
            "activation.expired",
        ];
        let events = self.view.events_after(0);
        events
            .filter(|e| ends.contains(&e.draft.kind.as_str()))
            .count()
    }
}

fn name() -> ConfigName {
    "debian".parse().expect("plain")
}

fn config(evidence: Evidence) -> BootConfig {
    let asset = |name: &str| Asset::kept(name, &"a".repeat(64), 1);
    let program = Program::Kernel {
        kernel: asset(FILES[0]),
        initrds: vec![asset(FILES[1])],
        cmdline: String::new(),
    };
    BootConfig::new(name(), program, BTreeMap::new(), evidence)
}

/// Holds every claim of this file after each step of one story.
fn story(kind: Kind, evidence: Evidence, steps: &[Happens]) -> Result<(), TestCaseError> {
    let mut world = World::armed(kind, evidence);
    let armed = world.activation();
    for step in steps {
        let (before, was_due) = (world.activation(), world.activation().is_due(world.now));
        let served = world.happens(step);
        let after = world.activation();
        prop_assert_eq!(&after.nonce, &armed.nonce);
        prop_assert!(was_due || !served, "{step:?} was served by {before:?}");
        if !before.is_open() {
            prop_assert_eq!(&before, &after, "{:?} changed what was closed", step);
        }
        prop_assert_eq!(world.ends(), usize::from(!after.is_open()), "{:?}", step);
        let (boots, scripts) = after.served();
        match kind {
            Kind::OneShot => prop_assert!(boots <= MAX_BOOTS && scripts <= MAX_SCRIPTS),
            Kind::Standing => prop_assert!(matches!(
                after.stage,
                Stage::Armed | Stage::Served | Stage::Running | Stage::Expired
            )),
        }
        prop_assert!(after.sessions.len() <= MAX_BOOTS + MAX_SCRIPTS);
        // Looking never differs from asking: what is due is what a new boot sees, unless a cap stands in its way.
        let peeked = decide(&world.request(99), &world.view, world.now).plan;
        prop_assert_eq!(
            matches!(peeked, BootPlan::Config(_)),
            after.is_due(world.now)
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_closed_stays_closed_and_caps_hold(
        one_shot in any::<bool>(),
        fetched in any::<bool>(),
        steps in proptest::collection::vec(happening(), 1..80),
    ) {
        let kind = if one_shot { Kind::OneShot } else { Kind::Standing };
        let evidence = if fetched { Evidence::Fetched } else { Evidence::Callback };
        story(kind, evidence, &steps)?;
    }
}

#[test]
fn a_closed_activation_can_be_armed_again_and_gets_another_nonce() {
    let mut world = World::armed(Kind::OneShot, Evidence::Callback);
    let again = |nonce| Activate {
        machine: MachineRef(MAC.to_string()),
        config: name(),
        kind: Kind::OneShot,
        until: None,
        nonce: Nonce::from_random(nonce),
    };
    assert!(world.does(&again(5)).is_err(), "one at a time");
    world.happens(&Happens::Callback(true));
    let second = world.does(&again(6)).expect("the first is spent");
    assert_eq!((second.id, second.stage), (ActivationId(2), Stage::Armed));
    assert!(world.happens(&Happens::Script(1)));
    assert!(!world.happens(&Happens::Fetch(Some(1), 0)), "the old nonce");
}

#[test]
fn an_edited_config_does_not_change_what_is_armed() {
    let mut world = World::armed(Kind::OneShot, Evidence::Fetched);
    let edited = config(Evidence::Callback);
    assert_eq!(world.does(&SetConfig(edited)).expect("good").revision, 2);
    assert_eq!(world.activation().config.revision, 1);
    assert_eq!(world.activation().config.evidence, Evidence::Fetched);
}

#[test]
fn a_machine_that_is_only_seen_is_never_given_its_config() {
    let mut world = World::armed(Kind::OneShot, Evidence::Fetched);
    let known = world.view.machine_by_mac(MAC).expect("registered");
    let seen = crate::state::machine::Machine {
        standing: Standing::Seen,
        ..(**known).clone()
    };
    world.view.absorb(&seen.into());
    let decision = decide(&world.request(1), &world.view, world.now);
    assert_eq!(decision.plan, BootPlan::Silent);
    let rules: Vec<_> = decision.why.iter().map(|w| (w.rule, w.decided)).collect();
    let order = [
        ("config", false),
        ("management-os", false),
        ("peers", false),
        ("silence", true),
    ];
    assert_eq!(rules, order, "the order of DESIGN §4.3");
}

#[test]
fn fetched_is_no_evidence_for_a_config_whose_answers_are_read_later() {
    let mut world = World::armed(Kind::OneShot, Evidence::Callback);
    let with_answers: ConfigName = "answers".parse().expect("a plain name");
    let set = SetConfig(BootConfig {
        name: with_answers.clone(),
        answers: BTreeMap::from([("preseed.cfg".to_owned(), "x\n".to_owned())]),
        ..config(Evidence::Fetched)
    });
    world.does(&set).expect("a standing one may be so");
    let refused = world.does(&Activate {
        machine: MachineRef(MAC.to_string()),
        config: with_answers.clone(),
        kind: Kind::OneShot,
        until: None,
        nonce: Nonce::from_random(2),
    });
    assert_eq!(refused, Err(ActivateError::TooEarly(with_answers)));
}
