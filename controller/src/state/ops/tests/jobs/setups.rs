//! Setups: several images, in order, as one.

use mesh_proto::{facts::Disk, message::job::Erase};

use super::*;
use crate::state::setup::{Setup, SetupItem};

fn by_serial(serial: &str) -> DiskRule {
    DiskRule {
        serial: Some(serial.to_owned()),
        ..DiskRule::default()
    }
}

fn setup(items: &[(&str, &str)]) -> Setup {
    let item = |(image, serial): &(&str, &str)| SetupItem {
        image: image.parse().unwrap(),
        disk: by_serial(serial),
        partition: None,
        grow: false,
    };
    Setup {
        name: "baas".parse().unwrap(),
        owner: None,
        items: items.iter().map(item).collect(),
        note: None,
        revision: 0,
        updated: Timestamp::UNIX_EPOCH,
    }
}

fn deploy(world: &mut World) -> DeploySetup {
    DeploySetup {
        machine: MachineRef("web1".into()),
        setup: "baas".parse().unwrap(),
        provision: Vec::new(),
        join: false,
        after: After::Reboot,
        until: None,
        when: When::Now,
        by: "ann".to_owned(),
        nonce: Nonce::from_random(u128::from(world.fresh()) << 64),
    }
}

/// Machine 1 with two disks, and a setup for both.
fn two_disks() -> (World, EnrolledKey) {
    let mut world = World::new();
    let key = world.idles(1);
    let mut facts = examples::facts(1);
    facts.disks = vec![
        examples::disk("DISK-1"),
        Disk {
            name: "sdb".to_owned(),
            ..examples::disk("DATA-1")
        },
    ];
    world.tells(&key, facts).unwrap();
    world.upload("system");
    world.upload("data");
    world
        .does(&SetSetup(setup(&[
            ("system", "DISK-1"),
            ("data", "DATA-1"),
        ])))
        .unwrap();
    (world, key)
}

#[test]
fn the_parts_are_done_in_order_and_nothing_comes_between() {
    let (mut world, key) = two_disks();
    let ask = deploy(&mut world);
    let parts: Vec<_> = world
        .does(&ask)
        .unwrap()
        .into_iter()
        .map(|c| c.deployment)
        .collect();
    assert_eq!(parts.len(), 2);
    let [system, data] = [&parts[0], &parts[1]];
    assert_ne!(system.nonce, data.nonce);
    assert_eq!(
        (system.order.after, data.order.after),
        (After::Stay, After::Reboot)
    );
    world.upload("other");
    let other = world
        .deploys(
            1,
            OrderSpec {
                disk: by_serial("DISK-1"),
                ..write_image("other")
            },
        )
        .id;
    let told = world.takes(&key);
    assert_eq!(
        (told.id, told.disk.serial.as_deref()),
        (system.id.0, Some("DISK-1"))
    );
    assert_eq!(world.writes(&key, system.id).state, State::Done);
    let moved = world.does(&MoveDeployment { id: other, to: 0 }).unwrap();
    assert_eq!(
        moved,
        [data.id, other],
        "what was begun is not put behind anything"
    );
    // A power cut, and somebody armed a config: the setup goes on all the same.
    super::super::boots::activate(
        &mut world,
        "echo hi",
        crate::state::config::Evidence::Callback,
    );
    assert!(is_management(&world.plan(1)));
    let told = world.takes(&key);
    assert_eq!(
        (told.id, told.disk.serial.as_deref()),
        (data.id.0, Some("DATA-1"))
    );
    assert_eq!(world.writes(&key, data.id).state, State::Written);
    world.plan(1);
    assert_eq!(world.job(data.id).state, State::HandedOver);
}

#[test]
fn when_a_part_fails_the_rest_is_not_done() {
    let (mut world, key) = two_disks();
    let ask = deploy(&mut world);
    let parts = world.does(&ask).unwrap();
    world.takes(&key);
    let first = parts[0].deployment.id;
    world.steps(&key, first, Step::Writing).unwrap();
    world.ends(&key, first, failed(true)).unwrap();
    let rest = world.job(parts[1].deployment.id);
    assert_eq!(rest.state, State::Cancelled);
    assert_eq!(
        rest.reason.unwrap(),
        format!("part {first} of its setup failed")
    );
}

#[test]
fn the_parts_are_moved_and_cancelled_together() {
    let (mut world, _) = two_disks();
    world.upload("other");
    let disk = by_serial("DISK-1");
    let a = world
        .deploys(
            1,
            OrderSpec {
                disk: disk.clone(),
                ..write_image("other")
            },
        )
        .id;
    let ask = deploy(&mut world);
    let parts = world.does(&ask).unwrap();
    let [s, d] = [parts[0].deployment.id, parts[1].deployment.id];
    let b = world
        .deploys(
            1,
            OrderSpec {
                disk,
                ..write_image("system")
            },
        )
        .id;
    assert_eq!(
        world.does(&MoveDeployment { id: d, to: 0 }).unwrap(),
        [s, d, a, b]
    );
    assert_eq!(
        world.does(&MoveDeployment { id: b, to: 1 }).unwrap(),
        [s, d, b, a],
        "not into it"
    );
    assert_eq!(
        world.does(&MoveDeployment { id: s, to: 2 }).unwrap(),
        [b, a, s, d]
    );
    world
        .does(&CancelDeployment {
            id: d,
            by: "ann".to_owned(),
        })
        .unwrap();
    assert_eq!(world.job(s).state, State::Cancelled);
}

#[test]
fn two_parts_never_mean_one_disk() {
    let (mut world, _) = two_disks();
    let same = setup(&[("system", "DISK-1"), ("data", "DISK-1")]);
    assert_eq!(world.does(&SetSetup(same)), Err(SetupError::SameDisk(1, 2)));
    let mut sly = setup(&[("system", "DISK-1"), ("data", "x")]);
    sly.items[1].disk = DiskRule {
        smallest: true,
        max_bytes: Some(u64::MAX),
        ..by_serial("DISK-1")
    };
    world.does(&SetSetup(sly)).unwrap();
    let ask = deploy(&mut world);
    assert_eq!(
        world.does(&ask),
        Err(DeployError::SameDisk("web1".to_owned()))
    );
    assert!(matches!(
        world.does(&SetSetup(setup(&[]))),
        Err(SetupError::Items)
    ));
    let unknown = setup(&[("nothing", "DISK-1")]);
    assert!(matches!(
        world.does(&SetSetup(unknown)),
        Err(SetupError::Image(_))
    ));
}

/// A setup for one disk: `None` is all of it.
fn on_one_disk(partitions: &[Option<&str>]) -> Setup {
    let mut all = setup(&vec![("system", "DISK-1"); partitions.len()]);
    for (item, partition) in all.items.iter_mut().zip(partitions) {
        item.partition = partition.map(|p| p.parse().unwrap());
    }
    all
}

#[test]
fn parts_share_a_disk_as_long_as_none_overwrites_another() {
    let (mut world, key) = two_disks();
    let lost = |earlier, later| Err(SetupError::SameDisk(earlier, later));
    for (partitions, expected) in [
        (&[None, Some("home"), Some("#3")][..], Ok(())),
        (&[Some("#3"), Some("home")], Ok(())),
        (&[None, Some("home"), Some("home")], lost(2, 3)),
        (&[Some("home"), None], lost(1, 2)),
    ] {
        let set = world.does(&SetSetup(on_one_disk(partitions)));
        assert_eq!(set.map(drop), expected, "{partitions:?}");
    }
    let both = on_one_disk(&[None, Some("home")]);
    world.does(&SetSetup(both)).unwrap();
    let ask = deploy(&mut world);
    let parts = world.does(&ask).unwrap();
    let first = world.takes(&key);
    assert_eq!((first.partition, first.after), (None, After::Stay));
    world.writes(&key, parts[0].deployment.id);
    let second = world.takes(&key);
    assert_eq!(second.partition, Some("home".parse().unwrap()));
    assert_eq!(second.after, After::Reboot);
}

#[test]
fn an_agent_that_does_not_say_that_it_writes_partitions_gets_none_and_the_disk_stays_as_it_is() {
    let (mut world, key) = two_disks();
    let older = OpenLink {
        abilities: Vec::new(),
        ..world.open(1, &key)
    };
    world.does(&older).unwrap();
    let part = OrderSpec {
        disk: by_serial("DISK-1"),
        partition: Some("home".parse().unwrap()),
        ..write_image("data")
    };
    let job = world.deploys(1, part.clone());
    assert!(
        world
            .waits(&key)
            .contains("agent 0.1.0 cannot write one partition")
    );
    let failed = world.job(job.id);
    assert_eq!((failed.state, failed.boots), (State::Failed, 0));
    assert!(
        failed
            .reason
            .unwrap()
            .contains("its management OS is too old")
    );

    // Of a setup not even the part that it could do.
    let both = on_one_disk(&[None, Some("home")]);
    world.does(&SetSetup(both)).unwrap();
    let ask = deploy(&mut world);
    let parts = world.does(&ask).unwrap();
    assert!(world.waits(&key).contains("too old"));
    let ends: Vec<_> = parts
        .iter()
        .map(|p| world.job(p.deployment.id).state)
        .collect();
    assert_eq!(ends, [State::Failed, State::Cancelled]);

    // What it can do it is given; and a job that a newer agent began is not gone on with.
    let whole = world.deploys(
        1,
        OrderSpec {
            partition: None,
            after: After::Stay,
            ..part.clone()
        },
    );
    assert_eq!(world.takes(&key).id, whole.id.0);
    world.writes(&key, whole.id);
    world.links(1, &key);
    let begun = world.deploys(1, part);
    world.takes(&key);
    world.steps(&key, begun.id, Step::Writing).unwrap();
    world.does(&older).unwrap();
    assert!(world.waits(&key).contains("too old"));
    assert_eq!(world.job(begun.id).state, State::Failed);
}

#[test]
fn into_a_partition_goes_an_image_and_nothing_more() {
    let (mut world, _) = two_disks();
    let part = || OrderSpec {
        disk: by_serial("DISK-1"),
        partition: Some("home".parse().unwrap()),
        ..write_image("data")
    };
    world.deploys(1, part());
    for more in [
        OrderSpec {
            grow: true,
            ..part()
        },
        OrderSpec {
            image: None,
            erase: Some(Erase::Zero),
            ..part()
        },
        saving(part(), "before"),
    ] {
        let create = world.order(1, more);
        let refused = world.does(&create).unwrap_err();
        assert_eq!(refused, DeployError::Order(OrderError::OnlyImage));
    }
}

#[test]
fn a_setup_calls_home_with_the_word_of_its_last_part() {
    let (mut world, _) = two_disks();
    let key = world.proves(1);
    world.links(1, &key);
    let ask = DeploySetup {
        provision: vec![ProvisionFile {
            name: "user-data".to_owned(),
            text: "#cloud-config\n".to_owned(),
        }],
        ..deploy(&mut world)
    };
    let parts = world.does(&ask).unwrap();
    let last = &parts[1].deployment;
    assert!(matches!(last.order.until, Until::Online { .. }) && last.order.provision.is_empty());
    let files = world.takes(&key).provision;
    let vendor = files.iter().find(|f| f.name == "vendor-data").unwrap();
    assert!(
        vendor.text.contains(&last.nonce.to_string()),
        "{}",
        vendor.text
    );
}
