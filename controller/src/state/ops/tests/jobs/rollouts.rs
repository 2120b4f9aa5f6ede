//! Rollouts: many machines, a few at a time.

use super::*;

fn labelled(world: &mut World, n: u8) -> EnrolledKey {
    let key = world.idles(n);
    label(world, n);
    key
}

/// Machines 1 to 3 get an image, so many at a time.
pub(super) fn rolled_out(world: &mut World, limit: u32) -> Vec<DeploymentId> {
    (1..=3).for_each(|n| label(world, n));
    let ask = rollout(world, limit, None);
    world.does(&ask).unwrap().rollout.deployments
}

fn label(world: &mut World, n: u8) {
    world
        .does(&UpdateMachine {
            machine: MachineRef(format!("web{n}")),
            name: None,
            local_boot: None,
            owner: None,
            labels: [("pool".parse().unwrap(), Some("web".parse().unwrap()))].into(),
        })
        .unwrap();
}

fn rollout(world: &mut World, limit: u32, max_failures: Option<u32>) -> CreateRollout {
    CreateRollout {
        selector: "pool=web".parse().unwrap(),
        order: write_image("debian"),
        limit,
        max_failures,
        by: "ann".to_owned(),
        nonce: Nonce::from_random(u128::from(world.fresh()) << 64),
    }
}

#[test]
fn a_machine_that_is_only_seen_is_never_meant_also_when_it_has_the_label() {
    let mut world = World::new();
    labelled(&mut world, 1);
    let seen = Machine {
        name: "web2".parse().unwrap(),
        ..Machine::seen(MachineId::from_random(2), card(2), world.now)
    };
    world.puts(Record::Machine(seen.into()));
    label(&mut world, 2);
    world.upload("debian");
    let ask = rollout(&mut world, 2, None);
    let made = world.does(&ask).unwrap();
    assert_eq!((made.rollout.deployments.len(), made.refused.len()), (1, 0));
}

#[test]
fn no_more_machines_are_at_work_than_were_asked_for() {
    let mut world = World::new();
    let keys: Vec<_> = (1..=4).map(|n| labelled(&mut world, n)).collect();
    world.idles(5);
    world.upload("debian");
    let ask = rollout(&mut world, 2, None);
    let made = world.does(&ask).unwrap();
    assert_eq!(made.rollout.deployments.len(), 4, "web5 has no label");
    let jobs = made.rollout.deployments;
    // Whoever comes first, in any order.
    world.takes(&keys[3]);
    world.takes(&keys[1]);
    assert!(
        world
            .waits(&keys[0])
            .contains("rollout 1 has 2 of 2 machines at work")
    );
    assert!(is_disk(&world.plan(3)), "and no management OS for nothing");
    assert!(world.next(jobs[2]).contains("rollout 1 has 2 of 2"));
    world.writes(&keys[3], jobs[3]);
    assert!(
        world.waits(&keys[0]).contains("rollout 1"),
        "its machine is not started yet"
    );
    world.plan(4);
    world.takes(&keys[0]);
    assert!(world.waits(&keys[2]).contains("rollout 1"));
    let faster = SetRollout {
        id: made.rollout.id,
        limit: Some(3),
        max_failures: None,
        by: "ann".to_owned(),
    };
    world.does(&faster).unwrap();
    world.takes(&keys[2]);
    let tally = world
        .view
        .rollout(made.rollout.id)
        .unwrap()
        .tally(&world.view);
    assert_eq!(
        (tally.active, tally.good, tally.waiting, tally.failed),
        (3, 1, 0, 0)
    );
}

#[test]
fn a_rollout_stops_when_too_many_fail() {
    let mut world = World::new();
    let keys: Vec<_> = (1..=3).map(|n| labelled(&mut world, n)).collect();
    world.upload("debian");
    let ask = rollout(&mut world, 1, Some(1));
    let made = world.does(&ask).unwrap().rollout;
    world.takes(&keys[0]);
    world
        .ends(&keys[0], made.deployments[0], failed(false))
        .unwrap();
    let words = world.waits(&keys[1]);
    assert!(
        words.contains("rollout 1 stopped after 1 failures"),
        "{words}"
    );
    let bear = SetRollout {
        id: made.id,
        limit: None,
        max_failures: Some(2),
        by: "ann".to_owned(),
    };
    world.does(&bear).unwrap();
    world.takes(&keys[1]);
    let cancel = CancelRollout {
        id: made.id,
        by: "ann".to_owned(),
    };
    assert_eq!(world.does(&cancel), Ok(1), "what is at work goes on");
    assert_eq!(world.job(made.deployments[1]).state, State::Served);
    assert_eq!(world.job(made.deployments[2]).state, State::Cancelled);
}

#[test]
fn a_machine_for_which_it_cannot_be_done_is_named_and_the_others_go_on() {
    let mut world = World::new();
    let key = labelled(&mut world, 1);
    labelled(&mut world, 2);
    let mut facts = examples::facts(1);
    facts.disks[0].bytes = 1 << 30;
    world.tells(&key, facts).unwrap();
    world.upload("debian");
    let ask = rollout(&mut world, 1, None);
    let made = world.does(&ask).unwrap();
    assert_eq!((made.rollout.deployments.len(), made.refused.len()), (1, 1));
    assert_eq!(made.refused[0].0, "web1");
    assert!(
        made.refused[0].1.to_string().contains("too small"),
        "{}",
        made.refused[0].1
    );
    let none = CreateRollout {
        selector: "pool=db".parse().unwrap(),
        ..ask.clone()
    };
    assert!(matches!(world.does(&none), Err(RolloutError::NoneFits(_))));
    let zero = CreateRollout {
        limit: 0,
        ..ask.clone()
    };
    assert_eq!(world.does(&zero), Err(RolloutError::NoLimit));
    let none = CreateRollout {
        max_failures: Some(0),
        ..ask
    };
    assert_eq!(world.does(&none), Err(RolloutError::NoFailures));
}

#[test]
fn a_machine_that_is_off_does_not_hold_the_places_of_others() {
    let mut world = World::new();
    let keys: Vec<_> = (1..=3).map(|n| labelled(&mut world, n)).collect();
    world.upload("debian");
    let ask = rollout(&mut world, 1, None);
    world.does(&ask).unwrap();
    world.silent(1);
    world.takes(&keys[2]);
    assert!(world.waits(&keys[1]).contains("rollout 1 has 1 of 1"));
}

/// What people are told about rollouts, in order.
fn told(world: &World) -> Vec<String> {
    let told = world.told().into_iter();
    told.filter(|k| k.starts_with("rollout.")).collect()
}

#[test]
fn a_paused_rollout_begins_nothing_until_it_is_resumed() {
    let mut world = World::new();
    let keys: Vec<_> = (1..=3).map(|n| labelled(&mut world, n)).collect();
    world.upload("debian");
    let ask = rollout(&mut world, 2, Some(3));
    let made = world.does(&ask).unwrap().rollout;
    world.takes(&keys[0]);
    let (id, by) = (made.id, "bob".to_owned());
    let pause = PauseRollout { id, by: by.clone() };
    world.does(&pause).unwrap();
    world.does(&pause).unwrap();
    let words = world.waits(&keys[1]);
    assert!(words.contains("rollout 1 was paused by bob"), "{words}");
    assert!(is_disk(&world.plan(2)), "no management OS for nothing");
    world.takes(&keys[0]);
    world.does(&ResumeRollout { id, by }).unwrap();
    world.takes(&keys[1]);
    assert_eq!(
        told(&world),
        ["rollout.created", "rollout.paused", "rollout.resumed"]
    );
}

#[test]
fn one_failure_too_many_and_the_last_end_are_told_once() {
    let mut world = World::new();
    let keys: Vec<_> = (1..=4).map(|n| labelled(&mut world, n)).collect();
    world.upload("debian");
    let ask = rollout(&mut world, 4, Some(2));
    let made = world.does(&ask).unwrap().rollout;
    let (id, jobs) = (made.id, made.deployments);
    for n in 0..3 {
        world.takes(&keys[n]);
        world.ends(&keys[n], jobs[n], failed(false)).unwrap();
        let stopped = world.told().iter().any(|k| k == "rollout.stopped");
        assert_eq!(stopped, n > 0, "after {} failures", n + 1);
        if n == 1 {
            assert!(world.waits(&keys[2]).contains("stopped after 2 failures"));
            let by = "ann".to_owned();
            world.does(&ResumeRollout { id, by }).unwrap();
        }
    }
    world.takes(&keys[3]);
    world.writes(&keys[3], jobs[3]);
    world.plan(4);
    assert_eq!(
        told(&world),
        [
            "rollout.created",
            "rollout.stopped",
            "rollout.resumed",
            "rollout.done"
        ],
        "and it bore two more after it was resumed"
    );
    assert_eq!(
        world.last_told(),
        "rollout.done: rollout 1 is over: 1 good, 3 failed, 0 ended otherwise"
    );
    let by = "ann".to_owned();
    let again = ResumeRollout { id, by };
    assert_eq!(world.does(&again), Err(RolloutError::Over(id)));
}

#[test]
fn a_rollout_of_which_all_waiting_is_cancelled_is_over() {
    let mut world = World::new();
    (1..=3).for_each(|n| drop(labelled(&mut world, n)));
    world.upload("debian");
    let ask = rollout(&mut world, 1, None);
    let id = world.does(&ask).unwrap().rollout.id;
    let by = "ann".to_owned();
    let cancel = CancelRollout { id, by };
    assert_eq!(world.does(&cancel), Ok(3));
    assert_eq!(told(&world), ["rollout.created", "rollout.done"]);
    assert_eq!(world.does(&cancel), Ok(0));
}
