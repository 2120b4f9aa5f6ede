//! The power goes at ten points of each act, with part of the disk's cache lost; the machine starts again.

use mesh_proto::message::job::{Job, Step};

use crate::disk::{Machine, MemoryDisk, Power};
use crate::site::{Site, cloud_image, deploy, everything, expected, written};

const MIB: usize = 1 << 20;

/// One whole life of a job: what it was, and what the disk is to become.
struct Story {
    content: Vec<u8>,
    before: Vec<u8>,
    erase: bool,
}

impl Story {
    fn job(&self, site: &Site) -> Job {
        let all = everything(site.image(&self.content, 512, 64), 64);
        Job {
            erase: all.erase.filter(|_| self.erase),
            ..all
        }
    }

    fn disk(&self) -> MemoryDisk {
        MemoryDisk::with(self.before.clone(), 512)
    }

    fn expected(&self, disk: &MemoryDisk, job: &Job) -> Vec<u8> {
        let before = match self.erase {
            true => vec![0; self.before.len()],
            false => self.before.clone(),
        };
        expected(&self.content, disk, &before, job)
    }

    /// At which operation each step begins, and how many there are in all.
    fn steps(&self) -> (Vec<(Step, u64)>, u64) {
        let site = Site::default();
        let power = Power::steady();
        *site.power.lock().unwrap() = power.clone();
        let disk = self.disk().on(&power);
        let job = self.job(&site);
        written(&site.run(&job, &Machine::with(&disk)));
        assert!(disk.content() == self.expected(&disk, &job));
        let mut steps: Vec<_> = site
            .progress
            .lock()
            .unwrap()
            .iter()
            .map(|(p, at)| (p.step, *at))
            .collect();
        steps.dedup_by_key(|(step, _)| *step);
        (steps, power.used())
    }

    fn cut_at(&self, operation: u64, step: Step) {
        let site = Site::default();
        let power = Power::cut_at(operation);
        *site.power.lock().unwrap() = power.clone();
        let disk = self.disk();
        let mut job = self.job(&site);
        let _died = site.run(&job, &Machine::with(&disk.on(&power)));
        disk.lose_cache(operation);
        let want = self.expected(&disk, &job);
        let left = disk.content();
        let middle = MIB..left.len() - MIB;
        let boots =
            left[510..512] == [0x55, 0xAA] || left[left.len() - 512..].starts_with(b"EFI PART");
        // The old system, the new one, or nothing that firmware would start.
        let whole = left[middle.clone()] == self.before[middle.clone()]
            || left[middle.clone()] == want[middle];
        assert!(
            !boots || whole,
            "half an image boots: {step:?}, {operation}"
        );
        *site.power.lock().unwrap() = Power::steady();
        // The controller knows that the disk is saved.
        if !site.saved.lock().unwrap().is_empty() {
            job.capture = None;
        }
        let machine = Machine::with(&disk);
        written(&site.run(&job, &machine));
        assert!(disk.content() == want, "cut in {step:?} at {operation}");
        let saved = site.saved.lock().unwrap();
        assert!(
            saved
                .iter()
                .all(|manifest| site.content(manifest) == self.before)
        );
        assert!(!saved.is_empty());
    }
}

fn cut_everywhere(story: &Story) {
    let (mut steps, end) = story.steps();
    steps.push((Step::Editing, end));
    for pair in steps.windows(2) {
        let [(step, from), (_, to)] = pair else {
            unreachable!()
        };
        let span = to - from;
        for n in 0..span.min(10) {
            story.cut_at(from + n * span / span.min(10), *step);
        }
    }
    // The first thing, and each of the last.
    for operation in std::iter::once(0).chain(end.saturating_sub(12)..end) {
        story.cut_at(operation, Step::Editing);
    }
}

#[test]
fn a_power_cut_at_any_point_ends_in_an_equal_disk_and_never_boots_half() {
    cut_everywhere(&Story {
        content: cloud_image(1, 4, 512),
        before: cloud_image(40, 10, 512),
        erase: false,
    });
}

#[test]
fn a_power_cut_while_erasing_first_ends_in_an_equal_disk_too() {
    cut_everywhere(&Story {
        content: cloud_image(1, 4, 512),
        before: cloud_image(40, 10, 512),
        erase: true,
    });
}

#[test]
fn a_resumed_job_fetches_only_what_was_not_written() {
    let story = Story {
        content: cloud_image(1, 16, 512),
        before: cloud_image(40, 32, 512),
        erase: false,
    };
    let (steps, _) = story.steps();
    let start = |wanted: Step| steps.iter().find(|(step, _)| *step == wanted).unwrap().1;
    let site = Site::default();
    let power = Power::cut_at(start(Step::Verifying) - 2);
    *site.power.lock().unwrap() = power.clone();
    let disk = story.disk();
    let mut job = story.job(&site);
    let _died = site.run(&job, &Machine::with(&disk.on(&power)));
    let first = site.fetched.lock().unwrap().len();
    *site.power.lock().unwrap() = Power::steady();
    site.fetched.lock().unwrap().clear();
    job.capture = None;
    written(&site.run(&job, &Machine::with(&disk)));
    let again = site.fetched.lock().unwrap().len();
    assert!(
        first > 100 && again < 40,
        "{first}, then {again}: the ends and little more"
    );
}

/// Chunks that all differ, made quickly: 64 KiB each.
fn large_image(mib: usize) -> Vec<u8> {
    let mut content = vec![0; mib * MIB];
    for (n, chunk) in (1_u64..).zip(content.chunks_mut(64 << 10)) {
        chunk.fill(n as u8 | 1);
        chunk[..8].copy_from_slice(&n.to_le_bytes());
    }
    content
}

#[test]
fn a_disk_that_keeps_nothing_of_its_cache_costs_no_more_than_the_named_window() {
    // What is written between two flushes, and what four lanes had asked for; each end is two chunks and a mebibyte.
    const WINDOW: usize = (64 + 4 * 8) * MIB + 6 * MIB;
    let content = large_image(176);
    let site = Site::default();
    let job = deploy(site.image(&content, 512, 64));
    let disk = MemoryDisk::with(vec![0; content.len()], 512);
    let power = Power::steady();
    *site.power.lock().unwrap() = power.clone();
    written(&site.run(&job, &Machine::with(&disk.on(&power))));
    let steps = site.progress.lock().unwrap();
    let verifying = steps.iter().find(|(p, _)| p.step == Step::Verifying);
    let verifying = verifying.unwrap().1;
    drop(steps);
    let disk = MemoryDisk::with(vec![0; content.len()], 512);
    // In the last words of the writing: nothing of the end was flushed.
    let power = Power::cut_at(verifying - 8);
    *site.power.lock().unwrap() = power.clone();
    site.fetched.lock().unwrap().clear();
    let _died = site.run(&job, &Machine::with(&disk.on(&power)));
    disk.lose_all_of_the_cache();
    let first = site.fetched.lock().unwrap().len();
    assert!(first * (64 << 10) > 160 * MIB, "{first}");
    *site.power.lock().unwrap() = Power::steady();
    site.fetched.lock().unwrap().clear();
    written(&site.run(&job, &Machine::with(&disk)));
    let again = site.fetched.lock().unwrap().len() * (64 << 10);
    assert!(disk.content() == content);
    assert!(again <= WINDOW, "{} MiB again", again / MIB);
}
