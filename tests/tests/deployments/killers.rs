//! Somebody is killed in the middle of a deployment: the agent, its machine by the power, the controller; at ten points of
//! each of capture, fetch, write, verify and edit. It ends online with an equal disk; no half image boots, is listed or
//! counted; and what travels again is no more than was in flight.

use std::collections::HashMap;
use std::sync::Arc;

use enforcer::state::deployment::{Deployment, Save, State, Until};
use enforcer::state::ops::OrderSpec;
use image::{ChunkId, ChunkSize};
use image_store::IngestOptions;
use mesh_proto::message::job::Step;

use crate::disk::{MIB, filled, written_over};
use crate::fuse::{Came, Fuse, Victim};
use crate::machine::{Boot, Machine};
use crate::site::Site;

/// Points of each step.
const POINTS: u64 = 10;
/// Lanes of a job (`agent/src/deploy/lanes.rs`): each may have one chunk that came and is not on the disk yet.
const LANES: usize = 4;
/// Chunks of an image's ends: they are in memory until everything else is on the disk, and each boot fetches them.
const ENDS: usize = 16 + 16;

/// Who is killed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killer {
    Agent,
    Power,
    Controller,
    /// The power, and a disk that lies about what it flushed: this must be seen.
    PowerOfALiar,
}

/// One deployment that saves the disk and writes an image.
struct Story {
    before: Vec<u8>,
    image: Vec<u8>,
}

/// A site, the machine and the job.
struct Scene {
    site: Site,
    machine: Machine,
    job: Deployment,
}

impl Story {
    fn new() -> Self {
        Self {
            before: filled(1, 20 * MIB),
            image: filled(2, 12 * MIB),
        }
    }

    fn scene(&self) -> Scene {
        let site = Site::new();
        let machine = Machine::new(&site, 1, &self.before, 512);
        let small = IngestOptions {
            chunk_size: ChunkSize::try_from(64 << 10).unwrap(),
            ..IngestOptions::default()
        };
        site.upload("debian", &self.image, small);
        let order = OrderSpec {
            image: Some("debian".parse().unwrap()),
            save_current: Some(Save {
                name: "before".parse().unwrap(),
                used_blocks_only: false,
            }),
            until: Some(Until::Online {
                within_s: 600,
                probe: None,
            }),
            ..OrderSpec::default()
        };
        let job = site.deploy("web1", order);
        Scene { site, machine, job }
    }

    /// Ten operations of each step, from an undisturbed run.
    fn points(&self) -> Vec<(Step, u64)> {
        let scene = self.scene();
        let fuse = Fuse::none();
        let Boot::Management(alive) = scene.machine.powers_on(&scene.site, &fuse) else {
            panic!("the management OS is due");
        };
        alive.restarts();
        let mut steps = scene.machine.record.steps.lock().unwrap().clone();
        let order = [
            Step::Capturing,
            Step::Fetching,
            Step::Writing,
            Step::Verifying,
            Step::Editing,
        ];
        assert_eq!(
            steps.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
            order
        );
        steps.push((Step::Editing, fuse.used()));
        let points = steps.windows(2).flat_map(|pair| {
            let [(step, from), (_, to)] = *pair else {
                unreachable!()
            };
            assert!(to - from >= POINTS, "{step:?} has {} operations", to - from);
            (0..POINTS).map(move |n| (step, from + n * (to - from) / POINTS))
        });
        points.collect()
    }

    /// Lives through one killing; what is wrong then.
    fn told(&self, killer: Killer, point: u64) -> Result<(), String> {
        let mut scene = self.scene();
        scene.machine.medium.lies = killer == Killer::PowerOfALiar;
        let victim = match killer {
            Killer::Controller => Victim::Controller,
            Killer::Agent | Killer::Power | Killer::PowerOfALiar => Victim::Agent,
        };
        let fuse = Fuse::at(point, victim);
        let Boot::Management(alive) = scene.machine.powers_on(&scene.site, &fuse) else {
            return Err("the management OS is due".to_owned());
        };
        match (alive.comes(), victim) {
            (Came::Blown, Victim::Controller) => {
                scene.site.kill();
                scene.site.start();
                fuse.release();
                alive.restarts();
            }
            (Came::Blown, Victim::Agent | Victim::Nobody) => alive.dies(),
            (Came::Power(_), _) => alive.dies(),
        }
        match killer {
            Killer::Power | Killer::PowerOfALiar => scene.machine.medium.lose_cache(point),
            Killer::Agent | Killer::Controller => scene.machine.medium.keep_cache(),
        }
        self.boots_no_half(&scene.machine)?;
        self.ends_well(&scene)?;
        self.travelled_once(&scene.machine, killer)
    }

    /// Firmware starts the old system, the new one, or nothing.
    fn boots_no_half(&self, machine: &Machine) -> Result<(), String> {
        let left = machine.medium.content();
        let new = written_over(&self.before, &self.image);
        let middle = MIB..left.len() - 2 * MIB;
        let whole = left[middle.clone()] == self.before[middle.clone()]
            || left[middle.clone()] == new[middle];
        match left[510..512] == [0x55, 0xAA] && !whole {
            true => Err("half an image boots".to_owned()),
            false => Ok(()),
        }
    }

    fn ends_well(&self, scene: &Scene) -> Result<(), String> {
        let Scene { site, machine, job } = scene;
        machine.goes_on(site);
        machine.phones_home(site, job);
        let over = site.job(job.id);
        if over.state != State::Online {
            return Err(format!("it ends {}: {:?}", over.state.word(), over.reason));
        }
        if machine.medium.content() != written_over(&self.before, &self.image) {
            return Err("the disk is not the image".to_owned());
        }
        let view = site.view();
        let images: Vec<_> = view.images().collect();
        let versions: Vec<_> = images.iter().flat_map(|i| &i.versions).collect();
        if versions.len() != 2 {
            return Err(format!("{} versions are listed", versions.len()));
        }
        let before = view.image(&"before".parse().unwrap()).unwrap();
        if site.content(before.versions[0].content.manifest) != self.before {
            return Err("what was saved is not what was there".to_owned());
        }
        let counted = site.chunks();
        let needed = self.chunks();
        if counted != needed {
            return Err(format!(
                "the store has {counted} chunks, its images {needed}"
            ));
        }
        Ok(())
    }

    /// The chunks of both images.
    fn chunks(&self) -> u64 {
        let is_data = |bytes: &&[u8]| bytes.iter().any(|b| *b != 0);
        let ids = |bytes: &[u8], size: usize| -> Vec<_> {
            bytes
                .chunks(size)
                .filter(is_data)
                .map(ChunkId::of)
                .collect()
        };
        let mut all = ids(&self.image, 64 << 10);
        all.extend(ids(&self.before, MIB));
        all.sort_unstable();
        all.dedup();
        all.len() as u64
    }

    fn travelled_once(&self, machine: &Machine, killer: Killer) -> Result<(), String> {
        let again = again(&machine.record.fetched.lock().unwrap());
        let most = match killer {
            // It lives on, and knows what it has.
            Killer::Controller => 0,
            Killer::Agent => LANES + ENDS,
            // What was not flushed: here that may be everything, and the window is larger than the image.
            Killer::Power | Killer::PowerOfALiar => usize::MAX,
        };
        match again <= most {
            true => Ok(()),
            false => Err(format!("{again} chunks travelled again, of at most {most}")),
        }
    }
}

/// How many came that had come before.
fn again(ids: &[ChunkId]) -> usize {
    let mut times: HashMap<&ChunkId, usize> = HashMap::new();
    ids.iter().for_each(|id| *times.entry(id).or_default() += 1);
    ids.len() - times.len()
}

/// Kills at every point of these steps.
fn everywhere(killer: Killer, steps: &[Step]) {
    let story = Arc::new(Story::new());
    let points = story.points();
    let mut wrong = Vec::new();
    for (step, point) in points.into_iter().filter(|(step, _)| steps.contains(step)) {
        if let Err(why) = story.told(killer, point) {
            wrong.push(format!("{step:?} at {point}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{killer:?}: {wrong:#?}");
}

const EARLY: &[Step] = &[Step::Capturing, Step::Fetching, Step::Writing];
const LATE: &[Step] = &[Step::Verifying, Step::Editing];

#[test]
fn an_agent_that_is_killed_while_it_saves_fetches_or_writes_is_gone_on_with() {
    everywhere(Killer::Agent, EARLY);
}

#[test]
fn an_agent_that_is_killed_while_it_verifies_or_edits_is_gone_on_with() {
    everywhere(Killer::Agent, LATE);
}

#[test]
fn a_machine_whose_power_is_cut_while_it_saves_fetches_or_writes_goes_on() {
    everywhere(Killer::Power, EARLY);
}

#[test]
fn a_machine_whose_power_is_cut_while_it_verifies_or_edits_goes_on() {
    everywhere(Killer::Power, LATE);
}

#[test]
fn a_controller_that_is_killed_while_a_disk_is_saved_fetched_or_written_costs_nothing() {
    everywhere(Killer::Controller, EARLY);
}

#[test]
fn a_controller_that_is_killed_while_a_disk_is_verified_or_edited_costs_nothing() {
    everywhere(Killer::Controller, LATE);
}

#[test]
fn a_disk_that_lies_about_flushing_is_caught_by_these_very_tests() {
    let story = Story::new();
    // Never: the job ends well, and then the power is cut.
    let caught =
        (u64::MAX - 3..u64::MAX).filter(|point| story.told(Killer::PowerOfALiar, *point).is_err());
    assert_eq!(caught.count(), 3);
}
