//! After the writing: who says that the new system is there, and what happens when nobody does.

use super::*;
use crate::state::deployment::MAX_TRIES;

/// Machine 1 with a disk that was saved and written, and waits to be started.
fn ready(world: &mut World, spec: OrderSpec) -> (EnrolledKey, DeploymentId) {
    ready_with(world, spec, None)
}

/// Its agent says this of the wish to start the kernel at once.
fn ready_with(
    world: &mut World,
    spec: OrderSpec,
    said: Option<Kexec>,
) -> (EnrolledKey, DeploymentId) {
    world.idles(1);
    // A roll-back writes a private image.
    let key = world.proves(1);
    world.links(1, &key);
    world.upload("debian");
    let job = world.deploys(1, spec);
    world.takes(&key);
    if job.order.save_current.is_some() {
        world.steps(&key, job.id, Step::Capturing).unwrap();
        world.saves(&key, job.id).unwrap();
    }
    world.writes_and_says(&key, job.id, written_and(said));
    (key, job.id)
}

fn late(world: &mut World) -> Vec<DeploymentId> {
    world.pass(16 * 60);
    assert!(deadline_passed(&world.view, world.now));
    let again = world.does(&PassDeadlines);
    again.into_iter().map(|d| d.id).collect()
}

#[test]
fn the_installed_agent_is_evidence_and_only_after_the_writing() {
    let mut world = World::new();
    let key = world.idles(1);
    let (_, text) = world.token(Some("web1"));
    let enrol = world.by_token(1, &text);
    let installed = granted(world.does(&enrol)).key;
    world.upload("debian");
    let job = world.deploys(1, online(write_image("debian"))).id;
    world.takes(&key);
    world.steps(&key, job, Step::Writing).unwrap();
    world.links(1, &installed);
    assert_eq!(
        world.job(job).state,
        State::Writing,
        "the old system is no evidence"
    );
    let key = world.joins(1);
    world.writes(&key, job);
    world.plan(1);
    world.links(1, &installed);
    let done = world.job(job);
    assert_eq!(done.state, State::Online);
    assert_eq!(done.reason.as_deref(), Some("its agent speaks"));
}

#[test]
fn a_system_that_nobody_waited_for_may_speak_all_the_same() {
    let mut world = World::new();
    let (_, job) = ready(&mut world, write_image("debian"));
    world.plan(1);
    let over = world.job(job);
    assert_eq!(
        (over.state, over.phase(), over.deadline),
        (State::HandedOver, Phase::Over, None)
    );
    let home = PhoneHome {
        nonce: over.nonce,
        failure: None,
    };
    world.does(&home);
    assert_eq!(world.job(job).state, State::Online);
}

#[test]
fn the_probe_counts_once_the_disk_was_started() {
    let mut world = World::new();
    let spec = OrderSpec {
        until: Some(Until::Online {
            within_s: 60,
            probe: Some(Probe::Tcp {
                host: None,
                port: 22,
            }),
        }),
        ..write_image("debian")
    };
    let (_, job) = ready(&mut world, spec);
    world.does(&ProbeAnswered(job));
    assert_eq!(
        world.job(job).state,
        State::Written,
        "what answered was not the new system"
    );
    world.plan(1);
    world.does(&ProbeAnswered(job));
    assert_eq!(world.job(job).state, State::Online);
}

#[test]
fn a_silent_system_is_started_once_more_and_then_failed() {
    let mut world = World::new();
    let (_, job) = ready(&mut world, online(write_image("debian")));
    world.silent(1);
    world.plan(1);
    assert_eq!(world.job(job).tries, 1);
    assert_eq!(late(&mut world), [job]);
    let again = world.job(job);
    assert_eq!((again.state, again.tries), (State::Rebooting, MAX_TRIES));
    assert!(
        world.next(job).starts_with("waiting: press reset"),
        "{}",
        world.next(job)
    );
    assert!(is_disk(&world.plan(1)));
    assert_eq!(world.job(job).state, State::HandedOver);
    assert_eq!(late(&mut world), []);
    let over = world.job(job);
    assert_eq!(over.state, State::Failed);
    let reason = over.reason.unwrap();
    assert!(
        reason.contains("did not speak within 600 s, 2 starts"),
        "{reason}"
    );
    assert!(!deadline_passed(&world.view, world.now));
    let home = PhoneHome {
        nonce: over.nonce,
        failure: None,
    };
    world.does(&home);
    assert_eq!(world.job(job).state, State::Failed, "too late");
    assert!(world.told().contains(&"deployment.retried".to_owned()));
}

#[test]
fn a_system_that_says_it_failed_is_believed() {
    let mut world = World::new();
    let (_, job) = ready(&mut world, online(write_image("debian")));
    world.plan(1);
    let home = PhoneHome {
        nonce: world.job(job).nonce,
        failure: Some("no network\u{7}".to_owned()),
    };
    world.does(&home);
    let reason = world.job(job).reason.unwrap();
    assert_eq!(reason, "the new system reported: no network");
    let unknown = PhoneHome {
        nonce: Nonce::from_random(1),
        failure: None,
    };
    assert!(!world.does(&unknown));
}

#[test]
fn a_roll_back_writes_the_saved_disk_back_before_anything_else() {
    let mut world = World::new();
    let spec = OrderSpec {
        roll_back: true,
        ..saving(online(write_image("debian")), "web1-old")
    };
    let (key, job) = ready(&mut world, spec);
    let waiting = world
        .deploys(
            1,
            OrderSpec {
                grow: true,
                ..write_image("debian")
            },
        )
        .id;
    let saved = world.job(job).captured.unwrap();
    let delete = world.does(&DeleteVersion(saved.clone()));
    assert!(
        delete
            .unwrap_err()
            .to_string()
            .contains("the roll-back of deployment 1 of web1")
    );
    world.plan(1);
    late(&mut world);
    world.plan(1);
    late(&mut world);
    let machine = world.machine(1).id;
    let queue: Vec<_> = world.view.queue_of(&machine).cloned().collect();
    assert_eq!(queue.len(), 2);
    let back = &queue[0];
    assert_eq!(back.part, Some(Part::RollBack { failed: job }));
    assert_eq!(back.order.image.as_ref().unwrap().id, saved);
    assert_eq!(back.order.disk.serial.as_deref(), Some("DISK-1"));
    assert_ne!(back.nonce, world.job(job).nonce);
    assert_eq!(queue[1].id, waiting);
    assert!(world.does(&DeleteVersion(saved)).is_err());
    assert!(is_management(&world.plan(1)));
    assert_eq!(world.takes(&key).id, back.id.0);
}

#[test]
fn what_failed_before_the_disk_was_touched_is_not_rolled_back() {
    for (touched, jobs) in [(false, 1), (true, 2)] {
        let mut world = World::new();
        let key = world.idles(1);
        world.upload("debian");
        let spec = OrderSpec {
            roll_back: true,
            ..saving(online(write_image("debian")), "web1-old")
        };
        let job = world.deploys(1, spec).id;
        world.takes(&key);
        world.steps(&key, job, Step::Capturing).unwrap();
        world.saves(&key, job).unwrap();
        world.steps(&key, job, Step::Writing).unwrap();
        let over = world.ends(&key, job, failed(touched)).unwrap();
        assert_eq!(
            over.reason.as_deref(),
            Some("the medium is [31mbad"),
            "no control characters"
        );
        assert_eq!(world.view.deployments().count(), jobs);
        assert_eq!(
            world.ends(&key, job, failed(touched)).unwrap(),
            over,
            "said twice, heard once"
        );
        assert_eq!(world.view.deployments().count(), jobs);
    }
}

#[test]
fn a_disk_is_not_touched_before_it_is_saved() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let job = world.deploys(1, saving(write_image("debian"), "old")).id;
    assert!(world.takes(&key).capture.is_some());
    for step in [Step::Erasing, Step::Fetching, Step::Writing] {
        assert_eq!(
            world.steps(&key, job, step).unwrap_err().code,
            RefusalCode::Protocol
        );
    }
    world.steps(&key, job, Step::Capturing).unwrap();
    let version = world.saves(&key, job).unwrap();
    assert_eq!(
        world.saves(&key, job).unwrap(),
        version,
        "saved again it is the same version"
    );
    assert!(
        world.takes(&key).capture.is_none(),
        "after a crash it is not saved again"
    );
    world.steps(&key, job, Step::Writing).unwrap();
    let image = world.view.image(&version.image).unwrap();
    assert_eq!(
        (image.visibility, image.versions.len()),
        (Visibility::Private, 1)
    );
}

#[test]
fn power_off_and_stay_end_as_they_should() {
    for (after, written, silent) in [
        (After::PowerOff, State::Done, State::Done),
        (After::Stay, State::Done, State::Done),
        (After::Reboot, State::Written, State::Rebooting),
    ] {
        let mut world = World::new();
        let (_, job) = ready(
            &mut world,
            OrderSpec {
                after,
                ..write_image("debian")
            },
        );
        assert_eq!(world.job(job).state, written, "{after:?}");
        world.silent(1);
        assert_eq!(world.job(job).state, silent, "{after:?}");
    }
}

#[test]
fn a_kernel_that_starts_at_once_is_handed_over_and_one_that_does_not_restarts_with_its_reason() {
    let not = Kexec::Not("no \u{1b}watchdog".to_owned());
    let why = "its kernel was not started by kexec: no watchdog";
    for (said, silent, reason) in [
        (
            Some(Kexec::Loaded),
            State::HandedOver,
            Some("its kernel was started by kexec"),
        ),
        (Some(not), State::Rebooting, Some(why)),
        // An agent that is older than the wish.
        (None, State::Rebooting, None),
    ] {
        let mut world = World::new();
        let spec = OrderSpec {
            after: After::Kexec,
            ..write_image("debian")
        };
        let (_, job) = ready_with(&mut world, spec, said);
        assert_eq!(world.job(job).state, State::Written);
        world.silent(1);
        let job = world.job(job);
        assert_eq!((job.state, job.reason.as_deref()), (silent, reason));
    }
}

#[test]
fn a_management_os_that_does_not_restart_by_itself_is_told_to() {
    let mut world = World::new();
    let (_, job) = ready(&mut world, write_image("debian"));
    let id = world.machine(1).id;
    assert_eq!(next_boot_wanted(&world.view, &id, world.now), None);
    world.pass(60);
    let why = next_boot_wanted(&world.view, &id, world.now).unwrap();
    assert_eq!(why, format!("deployment {job} is written"));
}
