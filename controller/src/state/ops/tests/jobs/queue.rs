//! Whose turn it is, and what people are told.

use super::*;

#[test]
fn a_deployment_goes_from_the_queue_to_online() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let job = world.deploys(1, online(write_image("debian")));
    assert_eq!(world.next(job.id), "its agent takes it now");
    let told = world.takes(&key);
    assert_eq!(
        (told.id, told.image.unwrap().name),
        (job.id.0, "debian@1".to_owned())
    );
    assert_eq!(
        told.disk.serial.as_deref(),
        Some("DISK-1"),
        "the disk the operator saw"
    );
    assert_eq!(world.takes(&key).id, job.id.0, "asked again it is the same");
    assert_eq!(world.writes(&key, job.id).state, State::Written);
    assert!(world.waits(&key).contains("is written"));
    world.silent(1);
    assert_eq!(world.job(job.id).state, State::Rebooting);
    assert!(is_disk(&world.plan(1)));
    assert_eq!(world.job(job.id).state, State::HandedOver);
    assert!(
        world
            .next(job.id)
            .starts_with("waits until the new system speaks")
    );
    assert!(is_disk(&world.plan(1)), "however often it starts");
    let home = PhoneHome {
        nonce: job.nonce.clone(),
        failure: None,
    };
    assert!(world.does(&home));
    let done = world.job(job.id);
    assert_eq!((done.state, done.phase()), (State::Online, Phase::Over));
    let states: Vec<_> = done.history.iter().map(|m| m.state.word()).collect();
    assert_eq!(
        states.join(" "),
        "queued served fetching writing verifying editing written rebooting handed-over online"
    );
    let told: Vec<_> = world
        .told()
        .into_iter()
        .filter(|k| k.starts_with("deployment."))
        .collect();
    let kinds: Vec<_> = states.iter().map(|s| format!("deployment.{s}")).collect();
    assert_eq!(told, kinds, "each is an event, once");
    assert!(world.does(&home), "said twice it is heard once");
    assert_eq!(world.job(job.id), done);
}

#[test]
fn a_machine_that_is_off_is_given_the_management_os_at_its_next_boot() {
    let mut world = World::new();
    world.idles(1);
    world.silent(1);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    assert_eq!(world.next(job.id), "waiting: press reset");
    let decision = world.asks(card(1), "a", Some(ip(1)));
    let BootPlan::Management(boot) = &decision.plan else {
        panic!("{:?}", decision.plan)
    };
    let tools = " enforcer.tools=/assets/management-os/amd64-generic/tools.img ";
    assert!(boot.cmdline.contains(tools), "{}", boot.cmdline);
    assert!(decision.secret.is_some(), "its agent can enrol");
    let rule = decision
        .why
        .iter()
        .find(|w| w.rule == "deployment")
        .unwrap();
    assert!(
        rule.decided && rule.found.contains("deployment 1 of debian@1 is first"),
        "{rule:?}"
    );
    assert_eq!(world.job(job.id).state, State::Served);
    world.asks(card(1), "a", Some(ip(1)));
    assert_eq!(world.job(job.id).boots, 1, "a retry is no new boot");
    assert!(
        is_management(&world.plan(1)),
        "and again until the job is done"
    );
    assert_eq!(world.job(job.id).boots, 2);
}

#[test]
fn jobs_are_done_in_order_and_can_be_moved_and_cancelled() {
    let mut world = World::new();
    let key = world.idles(1);
    for name in ["a", "b", "c"] {
        world.upload(name);
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| world.deploys(1, write_image(name)).id);
    assert!(
        world
            .next(b)
            .contains("waits for 1 before it: deployment 1 is first")
    );
    let queue = |world: &World| {
        let machine = world.machine(1).id;
        world
            .view
            .queue_of(&machine)
            .map(|d| d.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        world.does(&MoveDeployment { id: c, to: 0 }).unwrap(),
        [c, a, b]
    );
    assert_eq!(queue(&world), [c, a, b]);
    assert_eq!(world.takes(&key).id, c.0);
    let moved = world.does(&MoveDeployment { id: c, to: 1 });
    assert_eq!(moved, Err(DeployError::NotWaiting(c, "served")));
    assert_eq!(
        world.does(&MoveDeployment { id: b, to: 9 }).unwrap(),
        [a, b]
    );
    let cancel = |id| CancelDeployment {
        id,
        by: "ann".to_owned(),
    };
    world.does(&cancel(a)).unwrap();
    assert_eq!(queue(&world), [b]);
    // In the middle of the work the agent is told at its next word.
    world.steps(&key, c, Step::Writing).unwrap();
    world.does(&cancel(c)).unwrap();
    assert_eq!(
        world.steps(&key, c, Step::Verifying).unwrap_err().code,
        RefusalCode::NoJob
    );
    assert_eq!(
        world.ends(&key, c, written()).unwrap_err().code,
        RefusalCode::NoJob
    );
    assert_eq!(world.job(c).state, State::Cancelled);
    world.does(&cancel(c)).unwrap();
    assert_eq!(world.takes(&key).id, b.0, "the next one has its turn");
    world.writes(&key, b);
    world.plan(1);
    assert_eq!(
        world.does(&cancel(b)),
        Err(DeployError::Over(b, "handed-over"))
    );
}

#[test]
fn an_armed_config_comes_between_jobs_and_never_into_one() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    super::super::boots::activate(
        &mut world,
        "echo hi",
        crate::state::config::Evidence::Callback,
    );
    assert!(world.next(job.id).contains("boot config live is due"));
    assert!(world.waits(&key).contains("boot config live is due"));
    assert!(matches!(world.plan(1), BootPlan::Config(_)));
    let off = Deactivate(MachineRef("web1".into()));
    world.does(&off).unwrap();
    world.takes(&key);
    super::super::boots::activate(
        &mut world,
        "echo hi",
        crate::state::config::Evidence::Callback,
    );
    assert!(is_management(&world.plan(1)), "the job has the machine");
}

#[test]
fn when_the_management_os_cannot_be_loaded_the_disk_is_started_and_no_config() {
    let mut world = World::new();
    world.idles(1);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    world.plan(1);
    let request = BootRequest {
        mac: card(1),
        arch: Some(Arch::X64),
        session: Some("x".to_owned()),
        after_management: true,
        base: "http://10.0.0.1:4880".to_owned(),
        known_address: None,
        controller: None,
        peers: Default::default(),
    };
    let decision = crate::state::boot::decide(&request, &world.view, world.now);
    assert!(
        is_disk(&decision.plan) && decision.claim.is_none(),
        "{decision:?}"
    );
    assert_eq!(world.job(job.id).state, State::Served);
}

#[test]
fn a_machine_that_boots_and_boots_fails_its_job_and_loops_no_more() {
    let mut world = World::new();
    world.idles(1);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    for _ in 0..crate::state::deployment::MAX_BOOTS {
        assert!(is_management(&world.plan(1)));
    }
    assert!(is_disk(&world.plan(1)));
    let over = world.job(job.id);
    assert_eq!(over.state, State::Failed);
    assert!(
        over.reason
            .unwrap()
            .contains("20 boots of the management OS")
    );
    assert!(
        world.last_told().starts_with("deployment.failed"),
        "{}",
        world.last_told()
    );
}

#[test]
fn a_job_that_erases_or_saves_is_done_without_a_start() {
    let mut world = World::new();
    let key = world.idles(1);
    let erase = world.deploys(
        1,
        OrderSpec {
            erase: Some(mesh_proto::message::job::Erase::Discard),
            ..OrderSpec::default()
        },
    );
    let told = world.takes(&key);
    assert!(told.erase.is_some() && told.image.is_none());
    world.steps(&key, erase.id, Step::Erasing).unwrap();
    assert_eq!(
        world.ends(&key, erase.id, written()).unwrap().state,
        State::Done
    );
    let save = world.deploys(1, saving(OrderSpec::default(), "web1-disk"));
    assert!(world.takes(&key).capture.is_some());
    world.steps(&key, save.id, Step::Capturing).unwrap();
    let refused = world.ends(&key, save.id, written()).unwrap_err();
    assert!(
        refused.text.contains("has to be saved before"),
        "{}",
        refused.text
    );
    let version = world.saves(&key, save.id).unwrap();
    assert_eq!(
        world.ends(&key, save.id, written()).unwrap().state,
        State::Done
    );
    assert_eq!(world.job(save.id).captured, Some(version));
}

#[test]
fn a_machine_that_is_up_is_told_to_restart_for_its_job_once_per_boot() {
    let mut world = World::new();
    world.idles(1);
    let (_, text) = world.token(Some("web1"));
    let enrol = world.by_token(1, &text);
    let installed = granted(world.does(&enrol)).key;
    world.links(1, &installed);
    world.upload("debian");
    let id = world.machine(1).id;
    let later = OrderSpec {
        when: When::NextBoot,
        ..write_image("debian")
    };
    let patient = world.deploys(1, later);
    assert_eq!(next_boot_wanted(&world.view, &id, world.now), None);
    assert_eq!(
        world.next(patient.id),
        "waits until the machine starts by itself"
    );
    world
        .does(&CancelDeployment {
            id: patient.id,
            by: "ann".to_owned(),
        })
        .unwrap();
    let job = world.deploys(1, write_image("debian"));
    assert_eq!(world.next(job.id), "the machine is told to restart");
    assert!(
        next_boot_wanted(&world.view, &id, world.now)
            .unwrap()
            .contains("deployment 2 is due")
    );
    let reboot = IssueCommand {
        machine: MachineRef("web1".into()),
        command: mesh_proto::message::command::Command::Reboot,
        ttl_ms: 1_000,
        by: Giver::Controller("enforcer".to_owned()),
    };
    world.does(&reboot).unwrap();
    assert_eq!(
        next_boot_wanted(&world.view, &id, world.now),
        None,
        "told once"
    );
}

#[test]
fn each_boot_that_takes_a_job_is_told_once() {
    let mut world = World::new();
    world.idles(1);
    world.silent(1);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    let taken = |world: &World| {
        let events = world.view.events_after(0);
        let taken = events.filter(|e| e.draft.kind == "deployment.taken");
        taken.map(|e| e.draft.text.clone()).collect::<Vec<_>>()
    };
    let first = world.joins(1);
    assert_eq!(world.job(job.id).state, State::Served, "by its script");
    for _ in 0..2 {
        world.takes(&first);
        assert_eq!(taken(&world), ["web1 takes debian@1"]);
    }
    world.steps(&first, job.id, Step::Writing).unwrap();
    world.silent(1);
    let second = world.joins(1);
    world.takes(&second);
    assert_eq!(taken(&world)[1..], ["web1 goes on with debian@1"]);
}
