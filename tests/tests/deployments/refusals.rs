//! What goes wrong and is nobody's death: a person changes their mind, the controller has no room, an image is not what
//! its manifest says. The job ends with its reason, and nothing is left behind.

use enforcer::images::Limits;
use enforcer::state::deployment::{Save, State};
use enforcer::state::ops::{CancelDeployment, OrderSpec};
use image_store::IngestOptions;
use mesh_proto::message::job::Step;

use crate::disk::{MIB, filled, written_over};
use crate::fuse::{Came, Fuse, Victim};
use crate::machine::{Boot, Machine};
use crate::site::Site;

/// An operation after the first bytes of a disk were sent, and before the last.
const SAVING: u64 = 14;

fn write_debian() -> OrderSpec {
    OrderSpec {
        image: Some("debian".parse().unwrap()),
        ..OrderSpec::default()
    }
}

fn saving() -> OrderSpec {
    OrderSpec {
        save_current: Some(Save {
            name: "before".parse().unwrap(),
            used_blocks_only: false,
        }),
        ..write_debian()
    }
}

#[test]
fn a_job_that_is_cancelled_mid_write_stops_does_not_boot_and_lets_the_next_begin() {
    let site = Site::new();
    let (before, image) = (filled(1, 24 * MIB), filled(2, 20 * MIB));
    site.upload("debian", &image, IngestOptions::default());
    let machine = Machine::new(&site, 1, &before, 512);
    let job = site.deploy("web1", write_debian());
    // The operations of a run that nobody disturbs.
    let other = Machine::new(&site, 2, &before, 512);
    site.deploy("web2", write_debian());
    let counting = Fuse::none();
    let Boot::Management(alive) = other.powers_on(&site, &counting) else {
        panic!("the management OS is due");
    };
    alive.restarts();
    let steps = other.record.steps.lock().unwrap().clone();
    let began = |step: Step| steps.iter().find(|(s, _)| *s == step).unwrap().1;
    let middle = (began(Step::Writing) + began(Step::Verifying)) / 2;

    let fuse = Fuse::at(middle, Victim::Controller);
    let Boot::Management(alive) = machine.powers_on(&site, &fuse) else {
        panic!("the management OS is due");
    };
    assert_eq!(alive.comes(), Came::Blown);
    let (id, by) = (job.id, "ann".to_owned());
    site.apply(CancelDeployment { id, by }).unwrap();
    fuse.release();
    machine.waits_for("was cancelled: ");
    assert_eq!(site.state(job.id), State::Cancelled);
    assert_eq!(site.job(job.id).reason.as_deref(), Some("ann cancelled it"));
    assert!(
        machine.medium.content()[..512].iter().all(|b| *b == 0),
        "half an image does not boot"
    );
    // The agent is still there: the next job is nudged.
    let next = site.deploy("web1", write_debian());
    alive.restarts();
    machine.goes_on(&site);
    assert_eq!(site.state(next.id), State::HandedOver);
    assert!(machine.medium.content()[..image.len()] == image[..]);
}

#[test]
fn a_job_that_is_cancelled_while_it_saves_a_disk_touches_nothing_and_leaves_nothing_behind() {
    let site = Site::new();
    let (before, image) = (filled(1, 24 * MIB), filled(2, 4 * MIB));
    site.upload("debian", &image, IngestOptions::default());
    let chunks = site.chunks();
    let machine = Machine::new(&site, 1, &before, 512);
    let job = site.deploy("web1", saving());
    let fuse = Fuse::at(SAVING, Victim::Controller);
    let Boot::Management(alive) = machine.powers_on(&site, &fuse) else {
        panic!("the management OS is due");
    };
    assert_eq!(alive.comes(), Came::Blown);
    assert_eq!(site.state(job.id), State::Capturing);
    let sent = machine.record.sent.lock().unwrap().len();
    assert!(sent > 0, "some of it is in the store");
    let (id, by) = (job.id, "ann".to_owned());
    site.apply(CancelDeployment { id, by }).unwrap();
    fuse.release();
    machine.waits_for("was cancelled: ");
    assert_eq!(site.state(job.id), State::Cancelled);
    assert!(machine.medium.content() == before);
    assert!(site.view().image(&"before".parse().unwrap()).is_none());
    assert_eq!(site.chunks(), chunks, "nothing is left behind");
    alive.stops();
}

/// A disk is to be saved by a controller without room for it.
fn without_room(limits: impl FnOnce(u64) -> Limits) -> (String, Site) {
    let mut site = Site::new();
    let (before, image) = (filled(1, 24 * MIB), filled(2, 4 * MIB));
    site.upload("debian", &image, IngestOptions::default());
    let chunks = site.chunks();
    let stored = site.does(site.images().usage()).unwrap().stored_bytes;
    let machine = Machine::new(&site, 1, &before, 512);
    let job = site.deploy("web1", saving());
    site.limit(limits(stored));
    let reason = machine.fails(&site, &job);
    assert!(
        machine.medium.content() == before,
        "nothing is written before it is saved"
    );
    assert!(site.view().image(&"before".parse().unwrap()).is_none());
    assert_eq!(site.chunks(), chunks, "nothing is left behind");
    // With room it goes on as if nothing had been.
    site.limit(Limits::default());
    let again = site.deploy("web1", saving());
    machine.goes_on(&site);
    assert_eq!(site.state(again.id), State::HandedOver);
    assert!(machine.medium.content() == written_over(&before, &image));
    (reason, site)
}

#[test]
fn a_disk_that_is_full_while_another_is_saved_fails_the_job_with_its_cure() {
    let (reason, _site) = without_room(|_| Limits {
        quota_bytes: None,
        reserve_bytes: u64::MAX / 2,
    });
    assert!(
        reason.contains("the disk of the image store is full"),
        "{reason}"
    );
}

#[test]
fn a_quota_that_is_reached_while_a_disk_is_saved_fails_the_job_with_its_cure() {
    let (reason, _site) = without_room(|stored| Limits {
        // Some chunks fit.
        quota_bytes: Some(stored + 1500),
        reserve_bytes: 0,
    });
    assert!(reason.contains("raise the quota"), "{reason}");
}

#[test]
fn a_manifest_that_is_not_what_it_was_is_refused_and_the_disk_stays_as_it_is() {
    let site = Site::new();
    let (before, image) = (filled(1, 12 * MIB), filled(2, 8 * MIB));
    let manifest = site.upload("debian", &image, IngestOptions::default());
    let machine = Machine::new(&site, 1, &before, 512);
    let job = site.deploy("web1", write_debian());
    let file = site
        .folder()
        .join("chunks/manifests")
        .join(manifest.to_string());
    // Another image's, of the same size: all its chunks are there.
    let mut other = image;
    other.reverse();
    let lie = site.upload("other", &other, IngestOptions::default());
    let lying = site.folder().join("chunks/manifests").join(lie.to_string());
    std::fs::copy(lying, &file).unwrap();
    let reason = machine.fails(&site, &job);
    assert!(
        reason.contains(&manifest.to_string()) && reason.contains("damaged"),
        "{reason}"
    );
    assert!(machine.medium.content() == before);
}
