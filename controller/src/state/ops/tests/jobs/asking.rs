//! What people may ask for.

use super::*;
use crate::state::answered::RequestKey;

type Asked = Result<OnceMade<Result<Created, DeployError>>, KeyReused>;

/// What was asked for now.
fn now(asked: Asked) -> Created {
    match asked {
        Ok(OnceMade::Now(Ok(created))) => created,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_requests_for_the_same_there_is_one_job() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let keyed = |world: &mut World, key: &str, n: u8| Once {
        key: Some(RequestKey::new("ann", key, Digest::of(&[n]))),
        wants: world.order(n, write_image("debian")),
    };
    let ann = keyed(&mut world, "a", 1);
    let first = now(world.does(&ann));
    let bob = keyed(&mut world, "b", 1);
    let second = now(world.does(&bob));
    assert!(!first.existed && second.existed);
    assert_eq!(first.deployment.id, second.deployment.id);
    // At work it is no longer what a third would join, but those who asked still find it.
    world.takes(&key);
    for again in [&ann, &bob] {
        let before = OnceMade::Before(first.made().unwrap());
        assert_eq!(world.does(again), Ok(before));
    }
    let third = world.deploys(1, write_image("debian"));
    assert_ne!(third.id, first.deployment.id);
    world.registered(2);
    let elsewhere = keyed(&mut world, "a", 2);
    assert_eq!(world.does(&elsewhere), Err(KeyReused));
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
