//! Disks and images of all shapes: every packing, both sizes of sectors, larger than memory, several machines at once, and
//! a disk that is too small.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use enforcer::state::deployment::{Deployment, Phase, State};
use enforcer::state::ops::OrderSpec;
use image_store::IngestOptions;
use mesh_proto::message::job::Edit;

use crate::disk::{MIB, filled, written_over};
use crate::fuse::{Came, Fuse, Victim};
use crate::machine::{Alive, Boot, Machine};
use crate::site::Site;

fn order(image: &str) -> OrderSpec {
    OrderSpec {
        image: Some(image.parse().unwrap()),
        ..OrderSpec::default()
    }
}

/// What a program of the host makes of bytes.
fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed (tests/packages.txt): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// Partitioned as cloud images are.
fn cloud_image(folder: &Path, mib: usize, sector_size: u32) -> Vec<u8> {
    let mut content = filled(3, mib * MIB);
    content[..MIB].fill(0);
    let path = folder.join(format!("image-{sector_size}"));
    std::fs::write(&path, &content).unwrap();
    let table = "label: gpt\nstart=1MiB, size=1MiB, type=uefi\nstart=2MiB, type=linux\n";
    let script = folder.join("table");
    std::fs::write(&script, table).unwrap();
    let (size, file) = (sector_size.to_string(), path.to_str().unwrap());
    // It alone of its family believes any sector size of a file.
    let words = format!("I\n{}\nw\n", script.display());
    pipe(
        "fdisk",
        &["--sector-size", &size, "--wipe", "never", file],
        words.as_bytes(),
    );
    std::fs::read(path).unwrap()
}

/// The disk is the image, but for what was recorded as changed on top of it.
fn is_equal_outside_the_edits(machine: &Machine, job: &Deployment, image: &[u8]) {
    let sector = machine.medium.sector_size as usize;
    // The table: its header and 16 KiB of entries behind a sector for a BIOS.
    let table = 2 * sector + (16 << 10);
    let mut disk = machine.medium.content();
    let mut image = image.to_vec();
    let mut kept = Vec::new();
    for edit in &job.written.as_ref().unwrap().edits {
        match edit {
            // The image's own backup is no longer where a table ends.
            Edit::BackupTableMoved => kept.extend([0..table, image.len() - table..image.len()]),
            other => panic!("nobody asked for {other:?}"),
        }
    }
    for range in kept {
        disk[range.clone()].fill(0);
        image[range].fill(0);
    }
    assert!(disk[..image.len()] == image[..]);
}

#[test]
fn an_image_of_every_packing_and_sector_size_comes_out_as_it_went_in() {
    let site = Site::new();
    for sector_size in [512, 4096] {
        let image = cloud_image(site.folder(), 8, sector_size);
        let half = image.len() / 2;
        let two_members = [
            pipe("gzip", &["-1"], &image[..half]),
            pipe("gzip", &["-1"], &image[half..]),
        ];
        let packed = [
            ("raw", image.clone()),
            ("gzip", two_members.concat()),
            ("zstd", pipe("zstd", &["-1", "-q"], &image)),
            ("xz", pipe("xz", &["-0"], &image)),
        ];
        for (n, (name, bytes)) in (1..).zip(packed) {
            let name = format!("{name}-{sector_size}");
            let manifest = site.upload(&name, &bytes, IngestOptions::default());
            assert!(site.content(manifest) == image, "{name}");
            let n = n + u8::from(sector_size == 4096) * 4;
            let before = filled(u64::from(n), 12 * MIB);
            let machine = Machine::new(&site, n, &before, sector_size);
            let job = site.deploy(&machine.name, order(&name));
            assert_eq!(machine.goes_on(&site), 1);
            let job = site.job(job.id);
            assert_eq!(job.state, State::HandedOver, "{name}");
            let edits = &job.written.as_ref().unwrap().edits;
            assert_eq!(edits[..], [Edit::BackupTableMoved], "{name}");
            is_equal_outside_the_edits(&machine, &job, &image);
        }
    }
}

/// An operation in the middle of each of eight jobs.
const MIDWAY: u64 = 30;

/// Eight machines, each with a job of its own; the disks that they had.
struct Eight {
    site: Site,
    image: Vec<u8>,
    machines: Vec<Machine>,
    jobs: Vec<Deployment>,
}

impl Eight {
    fn new() -> Self {
        let site = Site::new();
        let image = filled(2, 16 * MIB);
        site.upload("debian", &image, IngestOptions::default());
        let machines = (1..=8).map(|n| Machine::new(&site, n, &Self::before(n), 512));
        let machines: Vec<_> = machines.collect();
        let jobs = machines
            .iter()
            .map(|m| site.deploy(&m.name, order("debian")));
        Self {
            jobs: jobs.collect(),
            site,
            image,
            machines,
        }
    }

    fn before(n: u8) -> Vec<u8> {
        filled(u64::from(n), 20 * MIB)
    }

    /// Powers all on; each machine's fuse is the one of its place.
    fn begin(&self, fuses: &[Arc<Fuse>]) -> Vec<Alive> {
        let machines = self.machines.iter().zip(fuses);
        let alive = machines.map(|(machine, fuse)| {
            let Boot::Management(alive) = machine.powers_on(&self.site, fuse) else {
                panic!("the management OS is due");
            };
            alive
        });
        alive.collect()
    }

    /// Machine `place` has got what it was to get.
    fn is_written(&self, place: usize) {
        let (machine, job) = (&self.machines[place], &self.jobs[place]);
        assert_eq!(machine.goes_on(&self.site), 0, "its disk is next");
        assert_eq!(self.site.state(job.id), State::HandedOver);
        let before = Self::before(machine.mac.0[5]);
        let name = &machine.name;
        assert!(
            machine.medium.content() == written_over(&before, &self.image),
            "{name}"
        );
    }
}

#[test]
fn eight_machines_are_written_at_once() {
    let eight = Eight::new();
    // Each is held up in the middle of its job until all are there.
    let fuses = [(); 8].map(|()| Fuse::at(MIDWAY, Victim::Controller));
    let alive = eight.begin(&fuses);
    for alive in &alive {
        assert_eq!(alive.comes(), Came::Blown);
    }
    for job in &eight.jobs {
        assert_eq!(eight.site.job(job.id).phase(), Phase::AtWork);
    }
    fuses.iter().for_each(|fuse| fuse.release());
    alive.into_iter().for_each(Alive::restarts);
    (0..8).for_each(|place| eight.is_written(place));
}

#[test]
fn a_machine_that_stands_still_holds_none_of_the_seven_others() {
    let eight = Eight::new();
    let mut fuses = [(); 8].map(|()| Fuse::none());
    fuses[0] = Fuse::at(MIDWAY, Victim::Nobody);
    let mut alive = eight.begin(&fuses);
    assert_eq!(alive[0].comes(), Came::Blown);
    let still = alive.remove(0);
    alive.into_iter().for_each(Alive::restarts);
    (1..8).for_each(|place| eight.is_written(place));
    assert_eq!(eight.site.job(eight.jobs[0].id).phase(), Phase::AtWork);
    fuses[0].release();
    still.restarts();
    eight.is_written(0);
}

#[test]
fn an_image_larger_than_memory_is_written_within_the_budget() {
    let site = Site::new();
    let image = filled(2, 160 * MIB);
    site.upload("large", &image, IngestOptions::default());
    let machine = Machine::new(&site, 1, &vec![0; image.len()], 512);
    let job = site.deploy("web1", order("large"));
    machine.goes_on(&site);
    assert_eq!(site.state(job.id), State::HandedOver);
    assert!(machine.medium.content() == image);
    let peak = machine.record.memory.peak();
    assert!(
        peak > 0 && peak < enforcer_agent::deploy::BUDGET_BYTES,
        "{peak}"
    );
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_its_first_byte() {
    let site = Site::new();
    let image = filled(2, 12 * MIB);
    site.upload("debian", &image, IngestOptions::default());
    let before = filled(1, 12 * MIB - 512);
    let machine = Machine::new(&site, 1, &before, 512);
    // Nobody knows its disk yet: its agent sees it first.
    let job = site.deploy("web1", order("debian"));
    let Boot::Management(alive) = machine.powers_on(&site, &Fuse::none()) else {
        panic!("the management OS is due");
    };
    let reason = site.until(|view| {
        let job = view.deployment(job.id)?;
        (job.state == State::Failed).then(|| job.reason.clone().unwrap())
    });
    assert!(
        reason.contains("DISK-web1") && reason.contains("is too small"),
        "{reason}"
    );
    assert!(machine.medium.content() == before);
    alive.stops();
    // Now it is known: refused when it is asked for.
    let refused = site
        .apply(site.create("web1", order("debian")))
        .unwrap_err();
    assert!(refused.to_string().contains("is too small"), "{refused}");
}
