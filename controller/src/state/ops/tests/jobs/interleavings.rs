//! Whatever people, agents, links and clocks do in whatever order: no acknowledged job is lost, a machine never has two,
//! one that is not accepted has none, and what is over stays over.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::state::answered::RequestKey;

/// Machines in the game.
const MACHINES: u8 = 3;

#[derive(Debug, Clone)]
enum Move {
    Create {
        n: u8,
        image: u8,
        keyed: bool,
        rich: bool,
    },
    Cancel(usize),
    Shift(usize, usize),
    /// The machine's agent asks for its job.
    Claim(u8),
    /// The agent says something of a job that may be another's, or over.
    Step(u8, usize, u8),
    Save(u8, usize),
    End(u8, usize, u8),
    /// The machine boots by PXE.
    Boot(u8),
    /// It boots the management OS and its agent links.
    Join(u8),
    Silence(u8),
    Home(usize, bool),
    Time(u16),
    Dispute(u8, bool),
    /// The controller restarts: only what was written down is left.
    Kill,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let n = || 1..=MACHINES;
    let job = || 0..12_usize;
    let one = prop_oneof![
        3 => (n(), 0..2_u8, any::<bool>(), any::<bool>())
            .prop_map(|(n, image, keyed, rich)| Move::Create { n, image, keyed, rich }),
        1 => job().prop_map(Move::Cancel),
        1 => (job(), 0..4_usize).prop_map(|(j, to)| Move::Shift(j, to)),
        5 => n().prop_map(Move::Claim),
        5 => (n(), job(), 0..6_u8).prop_map(|(n, j, s)| Move::Step(n, j, s)),
        2 => (n(), job()).prop_map(|(n, j)| Move::Save(n, j)),
        4 => (n(), job(), 0..3_u8).prop_map(|(n, j, how)| Move::End(n, j, how)),
        3 => n().prop_map(Move::Boot),
        2 => n().prop_map(Move::Join),
        1 => n().prop_map(Move::Silence),
        2 => (job(), any::<bool>()).prop_map(|(j, good)| Move::Home(j, good)),
        2 => (1..2_000_u16).prop_map(Move::Time),
        1 => (n(), any::<bool>()).prop_map(|(n, on)| Move::Dispute(n, on)),
        1 => Just(Move::Kill),
    ];
    vec(one, 1..120)
}

/// The world, and what everybody was told.
struct Game {
    world: World,
    keys: BTreeMap<u8, EnrolledKey>,
    acknowledged: Vec<DeploymentId>,
    over: BTreeMap<DeploymentId, State>,
}

impl Game {
    fn new() -> Self {
        let mut world = World::new();
        for n in 1..=MACHINES {
            world.registered(n);
        }
        world.upload("one");
        world.upload("two");
        Self {
            world,
            keys: BTreeMap::new(),
            acknowledged: Vec::new(),
            over: BTreeMap::new(),
        }
    }

    fn nth(&self, at: usize) -> DeploymentId {
        let known = self.acknowledged.len().max(1);
        let id = self.acknowledged.get(at % known);
        id.copied().unwrap_or(DeploymentId(9_999))
    }

    fn makes(&mut self, step: &Move) {
        let world = &mut self.world;
        match step {
            Move::Create {
                n,
                image,
                keyed,
                rich,
            } => self.create(*n, *image, *keyed, *rich),
            Move::Cancel(at) => {
                let cancel = CancelDeployment {
                    id: self.nth(*at),
                    by: "ann".to_owned(),
                };
                let _ = self.world.does(&cancel);
            }
            Move::Shift(at, to) => {
                let shift = MoveDeployment {
                    id: self.nth(*at),
                    to: *to,
                };
                let _ = self.world.does(&shift);
            }
            Move::Boot(n) => {
                world.plan(*n);
            }
            Move::Join(n) => self.join(*n),
            Move::Silence(n) => {
                if self.keys.contains_key(n) {
                    world.silent(*n);
                }
            }
            Move::Home(at, good) => {
                if let Some(job) = self.world.view.deployment(self.nth(*at)) {
                    let failure = (!good).then(|| "no".to_owned());
                    let home = PhoneHome {
                        nonce: job.nonce.clone(),
                        failure,
                    };
                    self.world.does(&home);
                }
            }
            Move::Time(seconds) => {
                world.pass((*seconds).into());
                world.does(&PassDeadlines);
            }
            Move::Dispute(n, on) => self.dispute(*n, *on),
            Move::Kill => self.kill(),
            Move::Claim(n) | Move::Step(n, ..) | Move::Save(n, _) | Move::End(n, ..) => {
                if let Some(key) = self.keys.get(n).cloned() {
                    self.speaks(&key, step);
                }
            }
        }
    }

    fn create(&mut self, n: u8, image: u8, keyed: bool, rich: bool) {
        let name = if image == 0 { "one" } else { "two" };
        let plain = write_image(name);
        let order = if rich {
            let roll_back = true;
            saving(online(OrderSpec { roll_back, ..plain }), "old")
        } else {
            plain
        };
        let wants = self.world.order(n, order);
        let key = || RequestKey::new("ann", &format!("{n}-{image}"), Digest::of(&[n, image]));
        let key = keyed.then(key);
        if let Ok(OnceMade::Now(Ok(created))) = self.world.does(&Once { key, wants }) {
            self.acknowledged.push(created.deployment.id);
        }
    }

    fn join(&mut self, n: u8) {
        let session = format!("s{}", self.world.fresh());
        let Some(secret) = self.world.asks(card(n), &session, Some(ip(n))).secret else {
            return;
        };
        let enrol = self.world.by_secret(n, &secret);
        if let EnrolOutcome::Granted(grant) = self.world.does(&enrol) {
            let open = self.world.open(n, &grant.key);
            if self.world.does(&open).is_ok() {
                let _ = self.world.tells(&grant.key, examples::facts(n));
                self.keys.insert(n, grant.key);
            }
        }
    }

    fn speaks(&mut self, key: &EnrolledKey, step: &Move) {
        let steps = [
            Step::Capturing,
            Step::Erasing,
            Step::Fetching,
            Step::Writing,
            Step::Verifying,
            Step::Editing,
        ];
        match step {
            Move::Claim(_) => {
                let before = self.world.machine_of(key);
                if let Ok(JobAnswer::Do { job, .. }) = self.world.claims(key) {
                    assert_eq!(before.standing, Standing::Accepted, "{job:?}");
                    assert!(before.disputed.is_none(), "{job:?}");
                }
            }
            Move::Step(_, at, step) => {
                let _ = self
                    .world
                    .steps(key, self.nth(*at), steps[usize::from(*step)]);
            }
            Move::Save(_, at) => {
                let _ = self.world.saves(key, self.nth(*at));
            }
            Move::End(_, at, how) => {
                let outcome = match how {
                    0 => failed(true),
                    1 => failed(false),
                    _ => written(),
                };
                let _ = self.world.ends(key, self.nth(*at), outcome);
            }
            _ => {}
        }
    }

    fn dispute(&mut self, n: u8, on: bool) {
        let mut machine = self.world.machine(n);
        machine.disputed = on.then(|| Dispute {
            at: self.world.now,
            newcomer: Digest::of(b"x"),
            from: ip(9),
            why: "a test".to_owned(),
            identity: Identity::default(),
        });
        self.world.puts(Record::Machine(machine.into()));
    }

    /// Only rows survive: everything else is made of them again.
    fn kill(&mut self) {
        let old = self.world.view.clone();
        let mut fresh = old.clone();
        let jobs: Vec<Record> = old
            .deployments()
            .map(|d| {
                let row = serde_json::to_vec(d).unwrap();
                Record::Deployment(serde_json::from_slice(&row).unwrap())
            })
            .collect();
        for job in &jobs {
            fresh.absorb(&Write::Delete(job.key()));
        }
        assert_eq!(fresh.open_deployments().count(), 0);
        for job in jobs.into_iter().rev() {
            fresh.absorb(&Write::Put(job));
        }
        assert!(fresh == old, "a view made of its rows is the same view");
        self.world.view = fresh;
    }

    fn holds(&mut self) {
        let view = &self.world.view;
        for id in &self.acknowledged {
            // What is over is kept for a while only.
            let known = view.deployment(*id).is_some() || self.over.contains_key(id);
            assert!(known, "deployment {id} is lost");
        }
        for n in 1..=MACHINES {
            let machine = self.world.machine(n);
            let active: Vec<_> = view
                .deployments_of(&machine.id)
                .filter(|d| d.is_active())
                .collect();
            assert!(active.len() <= 1, "two jobs at once: {active:?}");
            let indexed = view.active_deployment(&machine.id).map(|d| d.id);
            assert_eq!(indexed, active.first().map(|d| d.id));
            if let Some(job) = active.first() {
                assert_eq!(machine.standing, Standing::Accepted, "{job:?}");
            }
        }
        for job in view.deployments() {
            let saved = job.order.save_current.is_none() || job.captured.is_some();
            assert!(
                saved || job.state <= State::Capturing || !job.is_open(),
                "{job:?}"
            );
            if let Some(was) = self.over.get(&job.id) {
                // A disk that was handed over may still speak; everything else that is over is.
                let spoke = (*was, job.state) == (State::HandedOver, State::Online);
                assert!(*was == job.state || spoke, "{was:?} became {job:?}");
            }
        }
        let over = view.deployments().filter(|d| !d.is_open());
        self.over.extend(over.map(|d| (d.id, d.state)));
    }
}

impl World {
    fn machine_of(&self, key: &EnrolledKey) -> Machine {
        Machine::clone(self.view.machine(&key.machine).unwrap())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_done_to_strangers(moves in moves()) {
        let mut game = Game::new();
        for step in &moves {
            game.makes(step);
            game.holds();
        }
    }
}
