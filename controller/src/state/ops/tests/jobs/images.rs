//! Images: versions come, are found, are needed, go.

use super::*;

fn upload(name: &str, id: &str) -> SaveVersion {
    SaveVersion {
        name: name.parse().unwrap(),
        content: content(1),
        by: "ann".to_owned(),
        upload: Some(id.to_owned()),
        owner: Some("ann".parse().unwrap()),
        visibility: None,
        note: Some("first\ntry".to_owned()),
    }
}

#[test]
fn an_upload_that_is_saved_twice_is_one_version() {
    let mut world = World::new();
    let first = world.does(&upload("debian", "u1")).unwrap();
    assert_eq!(world.does(&upload("debian", "u1")).unwrap(), first);
    let second = world.does(&upload("debian", "u2")).unwrap();
    assert_eq!(
        (first.to_string(), second.to_string()),
        ("debian@1".into(), "debian@2".into())
    );
    let image = world.view.image(&first.image).unwrap();
    assert_eq!(image.visibility, Visibility::Public, "uploads are");
    assert_eq!(image.versions[0].note.as_deref(), Some("firsttry"));
    assert_eq!(world.view.image_roots().count(), 2);
    assert_eq!(world.told(), ["image.saved", "image.saved"]);
}

#[test]
fn a_version_in_use_is_not_deleted_and_says_by_whom() {
    let mut world = World::new();
    world.registered(1);
    let old = world.upload("debian");
    let new = world.upload("debian");
    let latest = world.deploys(1, write_image("debian"));
    let delete = |world: &mut World, id: &VersionId| world.does(&DeleteVersion(id.clone()));
    let error = delete(&mut world, &new).unwrap_err().to_string();
    assert_eq!(error, "debian@2 is in use: deployment 1 of web1");
    let setup = crate::state::setup::Setup {
        name: "pair".parse().unwrap(),
        owner: None,
        items: vec![crate::state::setup::SetupItem {
            image: "debian@1".parse().unwrap(),
            disk: DiskRule::default(),
            partition: None,
            grow: false,
        }],
        note: None,
        revision: 0,
        updated: world.now,
    };
    world.does(&SetSetup(setup.clone())).unwrap();
    assert!(
        delete(&mut world, &old)
            .unwrap_err()
            .to_string()
            .contains("setup pair")
    );
    let all = world
        .does(&DeleteImage(old.image.clone()))
        .unwrap_err()
        .to_string();
    assert_eq!(all, "debian is in use: deployment 1 of web1, setup pair");
    world
        .does(&CancelDeployment {
            id: latest.id,
            by: "ann".to_owned(),
        })
        .unwrap();
    delete(&mut world, &new).unwrap();
    assert!(matches!(
        delete(&mut world, &new),
        Err(ImageError::NoVersion(_))
    ));
    let third = world.upload("debian");
    assert_eq!(third.number, 3, "numbers are not given twice");
    world.does(&DeleteSetup(setup.name)).unwrap();
    world.does(&DeleteImage(old.image.clone())).unwrap();
    assert_eq!(world.view.image_roots().count(), 0);
    let gone = world.does(&DeleteImage(old.image.clone()));
    assert_eq!(gone, Err(ImageError::NotFound(old.image)));
}

#[test]
fn what_latest_meant_does_not_change_under_a_job() {
    let mut world = World::new();
    let key = world.idles(1);
    let first = world.upload("debian");
    let job = world.deploys(1, write_image("debian@latest"));
    world.upload("debian");
    assert_eq!(world.job(job.id).order.image.unwrap().id, first);
    assert_eq!(world.takes(&key).image.unwrap().name, "debian@1");
}

#[test]
fn an_image_has_an_end_of_versions() {
    let mut world = World::new();
    let name: ImageName = "many".parse().unwrap();
    for n in 0..crate::state::image::MAX_VERSIONS {
        world.does(&upload("many", &n.to_string())).unwrap();
    }
    let more = world.does(&upload("many", "more"));
    assert_eq!(more, Err(ImageError::TooManyVersions(name)));
}

#[test]
fn the_ticket_of_a_job_names_its_image_and_machine_and_an_end() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let job = world.deploys(1, write_image("debian"));
    let JobAnswer::Do { ticket, .. } = world.claims(&key).unwrap() else {
        panic!("nothing to do");
    };
    let ticket = ticket.unwrap();
    assert_eq!(ticket.image, job.order.image.unwrap().manifest);
    assert_eq!(ticket.machine, world.machine(1).id.to_string());
    assert_eq!(ticket.until_unix_s, world.now.as_second() + 24 * 3600);
}
