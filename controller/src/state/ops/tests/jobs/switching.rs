//! Machines that are switched for their jobs: when, how often, and when they are left alone.

use super::*;
use crate::state::{
    deployment::restart::{MAX_SWITCHES, Means, to_switch},
    member::MemberState,
};

const MINUTE: i64 = 60;

impl World {
    /// Machine `n` is switched by this from now on.
    fn powered(&mut self, n: u8, address: &str) {
        let set = SetPower {
            machine: MachineRef(format!("web{n}")),
            address: Some(address.parse().unwrap()),
            secret: None,
            by: "ann".to_owned(),
        };
        self.does(&set).unwrap();
    }

    fn switches(&mut self, n: u8) -> Option<(DeploymentId, Means)> {
        let id = self.machine(n).id;
        let switched = self.does(&SwitchOn(id));
        switched.map(|(job, means)| (job.id, means))
    }

    /// Machine `n` was seen by its agent, and is off for a while.
    fn off(&mut self, n: u8, address: &str) {
        self.idles(n);
        self.down(n);
        self.powered(n, address);
        self.pass(10 * MINUTE);
    }

    /// Machine `n` stayed silent.
    fn down(&mut self, n: u8) {
        self.silent(n);
        self.verdict(n, MemberState::Down);
    }

    fn verdict(&mut self, n: u8, state: MemberState) {
        let machine = self.machine(n).id;
        let generation = self.view.member(&machine).unwrap().generation;
        self.does(&LinkVerdict {
            machine,
            generation,
            state,
            why: "a test".to_owned(),
        });
    }
}

const BOARD: &str = "ipmi://ann@10.0.0.9";

#[test]
fn a_machine_that_is_off_is_switched_on_for_its_job_and_gets_its_time() {
    let mut world = World::new();
    world.off(1, BOARD);
    world.upload("debian");
    assert_eq!(world.switches(1), None, "nothing is due");
    let job = world.deploys(1, write_image("debian")).id;
    assert_eq!(world.next(job), "its management controller starts it now");
    for n in 1..=MAX_SWITCHES {
        assert_eq!(world.switches(1), Some((job, Means::Board)), "{n}");
        assert_eq!(world.switches(1), None, "it is starting");
        world.pass(14 * MINUTE);
        assert_eq!(world.switches(1), None, "a large server still is");
        world.pass(2 * MINUTE);
    }
    assert_eq!(world.switches(1), None, "enough is enough");
    let next = world.next(job);
    assert!(
        next.starts_with("waiting: press reset (its management controller started it 3 times"),
        "{next}"
    );
    // A person pressed reset.
    assert!(is_management(&world.plan(1)));
    assert_eq!(world.job(job).state, State::Served);
    assert_eq!(world.job(job).switched, None, "the count begins anew");
}

#[test]
fn a_machine_that_hears_magic_packets_is_woken_for_its_job() {
    let mut world = World::new();
    world.off(1, "wol");
    world.upload("debian");
    let job = world.deploys(1, write_image("debian")).id;
    assert_eq!(world.next(job), "magic packets wake it now");
    assert_eq!(world.switches(1), Some((job, Means::Wake)));
}

#[test]
fn what_a_board_refuses_is_told_and_tried_again_a_minute_later() {
    let mut world = World::new();
    world.off(1, BOARD);
    world.upload("debian");
    let id = world.deploys(1, write_image("debian")).id;
    world.switches(1).unwrap();
    let why = "it answered 401\n".to_owned();
    world.does(&SwitchRefused { id, why });
    assert!(
        world.last_told().starts_with("deployment.not-started"),
        "{}",
        world.last_told()
    );
    let next = "waiting: press reset (its management controller did not do it: it answered 401)";
    assert_eq!(world.next(id), next);
    assert_eq!(world.switches(1), None);
    world.pass(MINUTE);
    assert_eq!(world.switches(1), Some((id, Means::Board)));
}

#[test]
fn a_machine_whose_agent_can_do_it_is_not_switched() {
    let mut world = World::new();
    world.idles(1);
    world.powered(1, BOARD);
    world.upload("debian");
    let (_, text) = world.token(Some("web1"));
    let enrol = world.by_token(1, &text);
    let installed = granted(world.does(&enrol)).key;
    world.links(1, &installed);
    world.deploys(1, write_image("debian"));
    assert_eq!(world.switches(1), None, "its agent restarts it");
    let reboot = IssueCommand {
        machine: MachineRef("web1".into()),
        command: mesh_proto::message::command::Command::Reboot,
        ttl_ms: 1_000,
        by: Giver::Controller("enforcer".to_owned()),
    };
    world.does(&reboot).unwrap();
    world.verdict(1, MemberState::Left);
    world.pass(5 * MINUTE);
    assert_eq!(world.switches(1), None, "it was told, and is on its way");
    world.pass(11 * MINUTE);
    assert!(world.switches(1).is_some(), "it never came");
}

#[test]
fn a_machine_that_is_out_of_reach_for_a_moment_is_left_alone() {
    let mut world = World::new();
    world.idles(1);
    world.powered(1, BOARD);
    world.upload("debian");
    world.verdict(1, MemberState::Unreachable);
    world.deploys(1, write_image("debian"));
    world.pass(10 * MINUTE);
    assert_eq!(world.switches(1), None);
    world.verdict(1, MemberState::Down);
    assert_eq!(world.switches(1), None, "perhaps it is going down in order");
    world.pass(MINUTE);
    assert!(world.switches(1).is_some());
}

#[test]
fn who_wants_to_start_his_machine_himself_is_let_to_and_so_is_who_may_not() {
    let mut world = World::new();
    world.off(1, BOARD);
    world.upload("debian");
    let patient = OrderSpec {
        when: When::NextBoot,
        ..write_image("debian")
    };
    world.deploys(1, patient);
    assert_eq!(world.switches(1), None);
    // Its first boot is how it gets accepted, when registering is enough for that.
    world.registered(2);
    world.powered(2, BOARD);
    let job = world.deploys(2, write_image("debian")).id;
    assert_eq!(world.next(job), "its management controller starts it now");
    world.policy(|p| p.accept = crate::state::policy::Accept::Manual);
    assert_eq!(
        world.next(job),
        "waiting: waits until the machine is accepted"
    );
    assert_eq!(world.switches(2), None);
    world.policy(|p| p.accept = crate::state::policy::Accept::Registered);
    assert!(world.switches(2).is_some());
}

#[test]
fn a_job_whose_agent_went_away_is_gone_on_with_by_switching_the_machine() {
    let mut world = World::new();
    let key = world.idles(1);
    world.powered(1, BOARD);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian")).id;
    world.takes(&key);
    world.steps(&key, job, Step::Writing).unwrap();
    world.down(1);
    world.pass(14 * MINUTE);
    assert_eq!(
        world.switches(1),
        None,
        "it may come back, and writes meanwhile"
    );
    world.pass(2 * MINUTE);
    assert_eq!(world.switches(1), Some((job, Means::Board)));
    assert!(is_management(&world.plan(1)));
}

#[test]
fn a_written_machine_that_does_not_speak_is_switched_for_its_second_try() {
    let mut world = World::new();
    let key = world.idles(1);
    world.powered(1, BOARD);
    world.upload("debian");
    let job = world.deploys(1, online(write_image("debian"))).id;
    world.takes(&key);
    world.writes(&key, job);
    world.down(1);
    world.plan(1);
    world.pass(11 * MINUTE);
    assert_eq!(world.switches(1), None, "it has its time to speak");
    assert_eq!(world.does(&PassDeadlines).len(), 1);
    assert_eq!(world.switches(1), Some((job, Means::Board)));
    assert!(is_disk(&world.plan(1)));
    assert_eq!(world.switches(1), None);
}

#[test]
fn of_a_rollout_no_more_machines_are_switched_than_may_be_at_work() {
    let mut world = World::new();
    world.upload("debian");
    for n in 1..=3 {
        world.off(n, BOARD);
    }
    let jobs = super::rollouts::rolled_out(&mut world, 1);
    let due = |world: &World| {
        let machines = (1..=3).map(|n| world.machine(n));
        let due = machines.filter_map(|m| to_switch(&world.view, &m, world.now).map(|d| d.id));
        due.collect::<Vec<_>>()
    };
    assert_eq!(due(&world), jobs[..1]);
    for _ in 0..MAX_SWITCHES {
        world.switches(1).unwrap();
        assert_eq!(due(&world), [], "the first has its time");
        world.pass(16 * MINUTE);
    }
    assert_eq!(
        due(&world),
        jobs[1..2],
        "one that never comes holds up nobody"
    );
}
