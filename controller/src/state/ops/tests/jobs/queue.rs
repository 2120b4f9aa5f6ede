//! Whose turn it is, who may be written to, and what people are told.

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
fn the_disks_of_machines_that_are_not_accepted_are_never_touched() {
    let hold = |world: &mut World, n: u8| {
        let job = world.deploys(n, write_image("debian"));
        let (plan, after) = (world.plan(n), world.job(job.id));
        assert_eq!(after.state, State::Queued, "{plan:?}");
        (plan, world.next(job.id))
    };
    // Seen: nobody said that it is ours.
    let mut world = World::new();
    world.upload("debian");
    let seen = Machine {
        name: "web1".parse().unwrap(),
        ..Machine::seen(MachineId::from_random(1), card(1), world.now)
    };
    world.puts(Record::Machine(seen.into()));
    let (plan, next) = hold(&mut world, 1);
    assert_eq!(plan, BootPlan::Silent);
    assert!(next.contains("register it"), "{next}");
    // Registered: the management OS comes, so that its key can be proved, and no job.
    world.registered(2);
    let (plan, next) = hold(&mut world, 2);
    assert!(is_management(&plan));
    assert_eq!(next, "waiting: waits until the machine is accepted");
    // Disputed.
    let key = world.idles(3);
    let mut machine = world.machine(3);
    machine.disputed = Some(Dispute {
        at: world.now,
        newcomer: Digest::of(b"x"),
        from: ip(9),
        why: "another board".to_owned(),
        identity: Identity::default(),
    });
    world.puts(Record::Machine(machine.into()));
    let (plan, next) = hold(&mut world, 3);
    assert!(is_disk(&plan), "{plan:?}");
    assert!(next.contains("disputed"), "{next}");
    assert!(world.waits(&key).contains("disputed"));
    // Pending.
    let key = world.idles(4);
    let stranger = world.request(9, Claim::None);
    let mut pending = super::super::waits(world.does(&stranger));
    pending.machine = world.machine(4).id;
    world.puts(Record::Pending(pending.into()));
    let (plan, next) = hold(&mut world, 4);
    assert!(is_disk(&plan), "{plan:?}");
    assert!(next.contains("a key waits for a person"), "{next}");
    assert!(world.waits(&key).contains("a key waits for a person"));
}

#[test]
fn a_registered_machine_is_accepted_by_the_boot_that_its_job_wants() {
    let mut world = World::new();
    world.policy(|p| p.discovery = crate::state::policy::Discovery::Off);
    world.registered(1);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    let key = world.joins(1);
    assert_eq!(world.machine(1).standing, Standing::Accepted);
    assert_eq!(world.takes(&key).id, job.id.0);
}

#[test]
fn a_private_image_waits_for_the_pairing_code() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let private = SetImage {
        name: "debian".parse().unwrap(),
        visibility: Some(Visibility::Private),
        owner: None,
    };
    world.does(&private).unwrap();
    let job = world.deploys(1, write_image("debian"));
    assert!(world.waits(&key).contains("waits for T2: private image"));
    assert!(world.next(job.id).contains("waits for T2: private image"));
    assert_eq!(world.job(job.id).state, State::Queued, "and nothing began");
    let key = world.proves(1);
    world.links(1, &key);
    assert_eq!(world.takes(&key).id, job.id.0);
}

#[test]
fn user_data_waits_for_the_pairing_code_and_makes_the_new_system_speak() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let spec = OrderSpec {
        provision: vec![ProvisionFile {
            name: "user-data".to_owned(),
            text: "#cloud-config\npassword: hunter2\n".to_owned(),
        }],
        ..write_image("debian")
    };
    let job = world.deploys(1, spec);
    assert!(matches!(
        job.order.until,
        Until::Online { within_s: 600, .. }
    ));
    assert!(
        world
            .waits(&key)
            .contains("waits for T2: files for the new system")
    );
    let key = world.proves(1);
    world.links(1, &key);
    let files = world.takes(&key).provision;
    let text = |name: &str| &files.iter().find(|f| f.name == name).unwrap().text;
    assert!(text("user-data").contains("hunter2"));
    assert!(text("meta-data").contains("local-hostname: web1"));
    let home = format!("http://10.0.0.1:4880/boot/n/{}/online", job.nonce);
    assert!(text("vendor-data").contains(&home));
    assert!(
        !format!("{:?}", world.job(job.id)).contains("hunter2"),
        "secrets are not shown"
    );
    world
        .does(&CancelDeployment {
            id: job.id,
            by: "ann".to_owned(),
        })
        .unwrap();
    let kept = serde_json::to_string(&world.job(job.id)).unwrap();
    assert!(!kept.contains("hunter2"), "and not kept when it is over");
}

#[test]
fn only_the_machines_own_management_os_has_its_job() {
    let mut world = World::new();
    let (own, other) = (world.idles(1), world.idles(2));
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    assert!(world.waits(&other).contains("nothing is to be done"));
    world.takes(&own);
    for refused in [
        world.steps(&other, job.id, Step::Writing).unwrap_err(),
        world.ends(&other, job.id, written()).unwrap_err(),
        world.saves(&other, job.id).unwrap_err(),
    ] {
        assert_eq!(refused.code, RefusalCode::NoJob, "{}", refused.text);
    }
    let (_, text) = world.token(Some("web1"));
    let enrol = world.by_token(1, &text);
    let installed = granted(world.does(&enrol)).key;
    world.links(1, &installed);
    assert_eq!(
        world.claims(&installed).unwrap_err().code,
        RefusalCode::NotAllowed
    );
    assert_eq!(world.job(job.id).state, State::Served);
}

#[test]
fn of_two_requests_for_the_same_there_is_one_job() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let keyed = |world: &mut World, key: &str, n: u8| CreateDeployment {
        key: Some(key.to_owned()),
        ..world.order(n, write_image("debian"))
    };
    let ann = keyed(&mut world, "a", 1);
    let first = world.does(&ann).unwrap();
    let bob = keyed(&mut world, "b", 1);
    let second = world.does(&bob).unwrap();
    assert!(!first.existed && second.existed);
    assert_eq!(first.deployment.id, second.deployment.id);
    // At work it is no longer what a third would join, but those who asked still find it.
    world.takes(&key);
    for again in [&ann, &bob] {
        assert_eq!(
            world.does(again).unwrap().deployment.id,
            first.deployment.id
        );
    }
    let third = world.deploys(1, write_image("debian"));
    assert_ne!(third.id, first.deployment.id);
    world.registered(2);
    let elsewhere = keyed(&mut world, "a", 2);
    assert_eq!(
        world.does(&elsewhere),
        Err(DeployError::KeyReused("a".to_owned()))
    );
    let other = world.deploys(
        1,
        OrderSpec {
            grow: true,
            ..write_image("debian")
        },
    );
    assert_ne!(other.id, third.id, "another order is another job");
}

#[test]
fn what_cannot_be_done_is_refused_before_it_is_queued() {
    let mut world = World::new();
    world.idles(1);
    world.upload("debian");
    let mut refused = |spec: OrderSpec| {
        let create = world.order(1, spec);
        world.does(&create).unwrap_err().to_string()
    };
    assert!(refused(OrderSpec::default()).contains("nothing to do"));
    assert!(refused(write_image("arch")).contains("no image is called 'arch'"));
    assert!(refused(write_image("debian@9")).contains("there is no debian@9"));
    let rule = |serial: &str| DiskRule {
        serial: Some(serial.to_owned()),
        ..DiskRule::default()
    };
    let elsewhere = OrderSpec {
        disk: rule("X"),
        ..write_image("debian")
    };
    assert!(refused(elsewhere).contains("no fixed disk fits the rule (serial X)"));
    let back = OrderSpec {
        roll_back: true,
        ..online(write_image("debian"))
    };
    assert!(refused(back).contains("give --save-current"));
    let unknown = OrderSpec {
        roll_back: true,
        ..saving(write_image("debian"), "old")
    };
    assert!(refused(unknown).contains("needs to know"));
    let file = |name: &str| ProvisionFile {
        name: name.to_owned(),
        text: String::new(),
    };
    let twice = OrderSpec {
        provision: vec![file("user-data"), file("USER-DATA")],
        ..write_image("debian")
    };
    assert!(refused(twice).contains("is there twice"));
    let outside = OrderSpec {
        provision: vec![file("../etc")],
        ..write_image("debian")
    };
    assert!(refused(outside).contains("cannot be a file name"));
    let probe = OrderSpec {
        until: Some(Until::Online {
            within_s: 60,
            probe: Some(Probe::Http {
                host: None,
                port: 80,
                path: "x y".to_owned(),
            }),
        }),
        ..write_image("debian")
    };
    assert!(!refused(probe).is_empty());
    assert_eq!(world.view.deployments().count(), 0);
}

#[test]
fn a_disk_that_is_too_small_or_of_other_sectors_is_refused_at_once_when_it_is_known() {
    let mut world = World::new();
    world.idles(1);
    for (size, sector_size) in [(2_000_000_000_000_u64, 512), (SIZE, 4096)] {
        let save = SaveVersion {
            name: "big".parse().unwrap(),
            content: Content {
                size,
                sector_size,
                ..content(9)
            },
            by: "ann".to_owned(),
            upload: None,
            owner: None,
            visibility: None,
            note: None,
        };
        world.does(&save).unwrap();
        let create = world.order(1, write_image("big"));
        let error = world.does(&create).unwrap_err();
        let DeployError::Order(OrderError::Disk { problem, .. }) = &error else {
            panic!("{error}");
        };
        let expected = match sector_size {
            512 => matches!(problem, DiskProblem::TooSmall { .. }),
            _ => matches!(problem, DiskProblem::SectorSize { .. }),
        };
        assert!(expected, "{problem}");
        // Nothing is known of this one: its agent will see.
        world.registered(2);
        assert!(world.deploys(2, write_image("big")).order.disk == DiskRule::default());
    }
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
        by: "enforcer".to_owned(),
    };
    world.does(&reboot).unwrap();
    assert_eq!(
        next_boot_wanted(&world.view, &id, world.now),
        None,
        "told once"
    );
}
