//! Whose disk may be written, by whom, and with what.

use super::*;

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
