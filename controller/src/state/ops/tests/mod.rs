//! The mesh's transitions as stories: a small world with a clock that tests turn, machines made of numbers.

mod boots;
mod commands;
mod discovered;
mod enrolment;
mod helpers;
mod holds;
mod identities;
mod jobs;
mod lending;
mod members;
mod once;
mod peers;
mod persons;
mod providers;
mod rings;
mod standing;
mod tokens;
mod users;
mod webhooks;

use std::net::{IpAddr, SocketAddr};

use ipxe::{Arch, BootPlan, MacAddr};
use jiff::SignedDuration;
use mesh_proto::{
    facts::HardwareFacts,
    message::{
        Refusal, RefusalCode, Secret,
        enrol::{KeyKind, Level},
        job::Ability,
        link::Habitat,
    },
};

use super::*;
use crate::state::{
    Changes, Record, Timestamp, Transition, View,
    activation::Nonce,
    boot::{BootRequest, Decision},
    event::Event,
    machine::{Machine, MachineId, MachineName, Standing},
    matching::examples,
    policy::{ManagementOs, MeshPolicy, Policy},
    trust::{
        Digest,
        key::{EnrolledKey, Serial},
        secret::BootSecret,
        token::{JoinToken, TokenId, TokenText},
    },
};

/// Where machine `n` lives.
fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// The first card of machine `n`.
fn card(n: u8) -> MacAddr {
    examples::nic(n, 1).mac.parse().unwrap()
}

/// See the module.
struct World {
    view: View,
    now: Timestamp,
    fresh: u64,
}

impl World {
    fn new() -> Self {
        let mut view = View::default();
        view.policy = Policy {
            mesh: Some(MeshPolicy {
                site: "home".to_owned(),
                ca_sha256: Digest::of(b"ca"),
                port: 4848,
            }),
            management: vec![ManagementOs {
                arch: Arch::X64,
                flavour: "generic".to_owned(),
                version: "6.1".to_owned(),
                path: "/assets/management-os/amd64-generic".to_owned(),
            }],
            ..Policy::default()
        }
        .into();
        Self {
            view,
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
            fresh: 0,
        }
    }

    fn policy(&mut self, change: impl FnOnce(&mut Policy)) {
        let mut policy = Policy::clone(&self.view.policy);
        change(&mut policy);
        self.view.policy = policy.into();
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn fresh(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }

    #[track_caller]
    fn does<T: Transition>(&mut self, transition: &T) -> T::Outcome {
        let (Changes { writes, events }, outcome) = transition.run(&self.view, self.now);
        writes.iter().for_each(|w| self.view.absorb(w));
        for draft in events {
            let event = Event {
                seq: self.view.next_event(),
                at: self.now,
                draft,
            };
            self.view.absorb(&Record::Event(event.into()).into());
        }
        outcome
    }

    /// The kinds of the events so far.
    fn told(&self) -> Vec<String> {
        let events = self.view.events_after(0);
        events.map(|e| e.draft.kind.clone()).collect()
    }

    fn last_told(&self) -> String {
        let last = self.view.events_after(0).next_back();
        last.map_or_else(String::new, |e| {
            format!("{}: {}", e.draft.kind, e.draft.text)
        })
    }

    fn registered(&mut self, n: u8) -> Machine {
        let fresh_id = MachineId::from_random(1000 + u64::from(n));
        let name: MachineName = format!("web{n}").parse().unwrap();
        let register = RegisterMachine {
            mac: card(n),
            name: Some(name),
            fresh_id,
        };
        self.does(&register).unwrap()
    }

    fn machine(&self, n: u8) -> Machine {
        Machine::clone(self.view.machine_by_mac(card(n)).unwrap())
    }

    /// A machine asks for its script.
    fn asks(&mut self, mac: MacAddr, session: &str, known: Option<IpAddr>) -> Decision {
        let request = BootRequest {
            mac,
            arch: Some(Arch::X64),
            session: Some(session.to_owned()),
            after_management: false,
            base: "http://10.0.0.1:4880".to_owned(),
            known_address: known,
            controller: None,
            peers: Default::default(),
        };
        let claim = ClaimBoot {
            request,
            fresh_id: MachineId::from_random(self.fresh() + 5000),
            fresh_secret: BootSecret::fresh(self.fresh().into()),
            fresh_nonce: Nonce::from_random(self.fresh().into()),
        };
        self.does(&claim)
    }

    /// Machine `n` boots the management OS: the secret in its script.
    #[track_caller]
    fn boots(&mut self, n: u8) -> Secret {
        let session = format!("s{}", self.fresh());
        let decision = self.asks(card(n), &session, Some(ip(n)));
        assert!(
            matches!(decision.plan, BootPlan::Management(_)),
            "{decision:?}"
        );
        decision.secret.expect("a known address gets a secret")
    }

    /// The request of machine `n`'s agent with a new key.
    fn request(&mut self, n: u8, claim: Claim) -> Enrol {
        let k = self.fresh();
        Enrol {
            key: Digest::of(format!("key {k}").as_bytes()),
            serial: Serial::new(&format!("{k:04x}")),
            kind: KeyKind::Boot,
            claim,
            facts: examples::facts(n),
            boot_id: format!("boot-{k}"),
            agent: "0.1.0".to_owned(),
            code: format!("{n:04}-{k:04}"),
            from: ip(n),
            known_as: Some(card(n)),
            fresh_id: MachineId::from_random(9000 + k),
        }
    }

    fn by_secret(&mut self, n: u8, secret: &Secret) -> Enrol {
        let claim = Claim::Boot {
            mac: card(n),
            shown: Some(secret.clone()),
        };
        self.request(n, claim)
    }

    /// Boots, enrols and opens a link, as the management OS of machine `n` does.
    #[track_caller]
    fn joins(&mut self, n: u8) -> EnrolledKey {
        let secret = self.boots(n);
        let enrol = self.by_secret(n, &secret);
        let key = granted(self.does(&enrol)).key;
        self.links(n, &key);
        self.tells(&key, examples::facts(n)).unwrap();
        key
    }

    fn open(&self, n: u8, key: &EnrolledKey) -> OpenLink {
        OpenLink {
            serial: key.serial.clone(),
            key: key.key,
            boot_id: key.boot_id.clone(),
            address: SocketAddr::new(ip(n), 40_000),
            gossip_port: Some(4849),
            agent: "0.1.0".to_owned(),
            habitat: match key.kind {
                KeyKind::Boot => Habitat::ManagementOs,
                KeyKind::Installed => Habitat::InstalledOs,
            },
            facts_digest: examples::facts(n).digest(),
            last_generation: 0,
            abilities: Ability::OURS.to_vec(),
        }
    }

    #[track_caller]
    fn links(&mut self, n: u8, key: &EnrolledKey) -> LinkOpened {
        let open = self.open(n, key);
        self.does(&open).unwrap()
    }

    fn tells(&mut self, key: &EnrolledKey, facts: HardwareFacts) -> Result<Vec<String>, Refusal> {
        let record = RecordFacts {
            serial: key.serial.clone(),
            boot_id: key.boot_id.clone(),
            facts,
        };
        self.does(&record)
    }

    /// The link of machine `n` falls silent.
    fn silent(&mut self, n: u8) {
        let member = self.view.member(&self.machine(n).id).unwrap().clone();
        let verdict = LinkVerdict {
            machine: member.machine.clone(),
            generation: member.generation,
            state: crate::state::member::MemberState::Unreachable,
            why: "silent for 6 s".to_owned(),
        };
        self.does(&verdict);
    }

    fn token(&mut self, machine: Option<&str>) -> (JoinToken, Secret) {
        let k = self.fresh();
        let id = TokenId::from_random(u32::try_from(k).unwrap());
        let text = TokenText::fresh(id.clone(), k.into(), &Digest::of(b"ca"));
        let create = CreateToken {
            id,
            secret_sha256: text.digest(),
            machine: machine.map(|m| MachineRef(m.to_owned())),
            lives: None,
            by: "ann".to_owned(),
        };
        let token = self.does(&create).unwrap();
        (token, Secret::new(text.reveal()))
    }

    fn by_token(&mut self, n: u8, text: &Secret) -> Enrol {
        Enrol {
            kind: KeyKind::Installed,
            ..self.request(n, Claim::Token(text.clone()))
        }
    }

    fn accepts(&mut self, name: &str, code: Option<&str>) -> Result<Accepted, AcceptError> {
        let accept = AcceptMachine {
            machine: MachineRef(name.to_owned()),
            code: code.map(|c| c.parse().unwrap()),
            by: "ann".to_owned(),
        };
        self.does(&accept)
    }
}

#[track_caller]
fn granted(outcome: EnrolOutcome) -> Grant {
    match outcome {
        EnrolOutcome::Granted(grant) => *grant,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn waits(outcome: EnrolOutcome) -> crate::state::trust::pending::Pending {
    match outcome {
        EnrolOutcome::Pending(pending) => *pending,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(outcome: EnrolOutcome, code: RefusalCode) {
    match outcome {
        EnrolOutcome::Refused(refusal) => assert_eq!(refusal.code, code, "{}", refusal.text),
        other => panic!("{other:?}"),
    }
}

/// T1, T2 in tests that compare both with a standing.
fn standing_and_level(world: &World, n: u8) -> (Standing, Option<Level>) {
    let machine = world.machine(n);
    let level = world.view.live_keys_of(&machine.id).map(|k| k.level).max();
    (machine.standing, level)
}
