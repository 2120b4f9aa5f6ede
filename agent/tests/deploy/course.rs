//! Jobs that go well, and jobs that are refused.

use enforcer_agent::deploy::{BUDGET_BYTES, BlockDisk, Memory};
use mesh_proto::message::job::{Capture, Edit, Erase, Job, Outcome, ProvisionFile, Step};

use crate::disk::{Machine, MemoryDisk};
use crate::site::{Site, cloud_image, deploy, everything, expected, failed, noise, written};

const MIB: usize = 1 << 20;

#[test]
fn the_disk_holds_the_image_and_the_recorded_edits_on_both_kinds_of_sectors() {
    for sector_size in [512, 4096] {
        let site = Site::default();
        let content = cloud_image(1, 8, sector_size);
        let before = noise(5, 20 * MIB);
        let disk = MemoryDisk::with(before.clone(), sector_size);
        let machine = Machine::with(&disk);
        let job = Job {
            erase: None,
            ..everything(site.image(&content, sector_size, 64), 64)
        };
        let ended = site.run(&job, &machine);
        let Outcome::Written { edits, counts, .. } = written(&ended) else {
            unreachable!()
        };
        assert!(
            disk.content() == expected(&content, &disk, &before, &job),
            "{sector_size}"
        );
        assert!(matches!(
            edits[..],
            [
                Edit::BackupTableMoved,
                Edit::PartitionGrown { number: 2, .. },
                Edit::Provisioned { .. },
                Edit::BootOrder
            ]
        ));
        assert_eq!(*machine.asked_boot_order.lock().unwrap(), [1]);
        // Head and tail with the edits, and everything between them.
        assert!(counts.verified_bytes >= content.len() as u64);
        let steps = [
            Step::Capturing,
            Step::Fetching,
            Step::Writing,
            Step::Verifying,
            Step::Editing,
        ];
        assert_eq!(site.steps(), steps);
        let saved = site.saved.lock().unwrap().pop().unwrap();
        assert!(
            site.content(&saved) == before,
            "the capture is what was there"
        );
    }
}

#[test]
fn a_saved_disk_tells_another_machine_nothing_of_the_first_ones_files() {
    let site = Site::default();
    let told = |name: &str| {
        vec![ProvisionFile {
            name: "user-data".to_owned(),
            text: format!("#cloud-config\nhostname: {name}\n"),
        }]
    };
    let first = MemoryDisk::with(vec![0; 24 * MIB], 512);
    let image = site.image(&cloud_image(1, 8, 512), 512, 64);
    let job = |image, name| Job {
        provision: told(name),
        ..deploy(image)
    };
    written(&site.run(&job(image, "the-first"), &Machine::with(&first)));
    let has = |disk: &MemoryDisk, name: &str| {
        let text = told(name)[0].text.clone();
        let content = disk.content();
        let mut sectors = content.chunks(512);
        sectors.any(|sector| sector.starts_with(text.as_bytes()))
    };
    assert!(has(&first, "the-first"));
    let saved = site.image(&first.content(), 512, 64);
    // Also when the disk has the same already, of which only the edits differ.
    for disk in [
        MemoryDisk::with(vec![0; 40 * MIB], 512),
        MemoryDisk::with(first.content(), 512),
    ] {
        let ended = site.run(&job(saved.clone(), "the-second"), &Machine::with(&disk));
        let Outcome::Written { edits, .. } = written(&ended) else {
            unreachable!()
        };
        let removed = |edit: &&Edit| matches!(edit, Edit::ProvisionRemoved { .. });
        assert_eq!(edits.iter().filter(removed).count(), 1, "{edits:?}");
        assert!(has(&disk, "the-second") && !has(&disk, "the-first"));
    }
    // Who is given nothing gets the disk as it was saved.
    let disk = MemoryDisk::with(vec![0; 24 * MIB], 512);
    written(&site.run(&deploy(saved), &Machine::with(&disk)));
    assert!(disk.content() == first.content());
}

#[test]
fn a_changed_image_costs_its_changed_chunks() {
    let site = Site::default();
    let content = cloud_image(1, 16, 512);
    let disk = MemoryDisk::with(noise(5, 16 * MIB), 512);
    written(&site.run(
        &deploy(site.image(&content, 512, 64)),
        &Machine::with(&disk),
    ));
    let mut changed = content.clone();
    changed[5 * MIB..5 * MIB + 100].fill(0xAB);
    changed[9 * MIB..9 * MIB + 100].fill(0xCD);
    site.fetched.lock().unwrap().clear();
    let ended = site.run(
        &deploy(site.image(&changed, 512, 64)),
        &Machine::with(&disk),
    );
    let Outcome::Written { counts, .. } = written(&ended) else {
        unreachable!()
    };
    assert_eq!(site.fetched.lock().unwrap().len(), 2);
    assert!(disk.content() == changed);
    assert!(
        counts.kept_bytes > 13 << 20 && counts.written_bytes < 3 << 20,
        "{counts:?}"
    );
}

#[test]
fn a_chunk_that_an_image_has_often_travels_once() {
    let site = Site::default();
    let content: Vec<u8> = noise(3, 64 << 10).repeat(16 * 32);
    let disk = MemoryDisk::with(vec![0; 32 * MIB], 512);
    let ended = site.run(
        &deploy(site.image(&content, 512, 64)),
        &Machine::with(&disk),
    );
    written(&ended);
    assert!(disk.content() == content);
    // Each lane may ask before another has written it; the ends are fetched on their own.
    let fetched = site.fetched.lock().unwrap().len();
    assert!(fetched <= 5, "{fetched}");
}

#[test]
fn holes_read_as_zeros_whatever_was_there() {
    let site = Site::default();
    let mut content = vec![0; 8 * MIB];
    content[3 * MIB..4 * MIB].copy_from_slice(&noise(1, MIB));
    let disk = MemoryDisk::with(noise(9, 8 * MIB), 512);
    written(&site.run(
        &deploy(site.image(&content, 512, 256)),
        &Machine::with(&disk),
    ));
    assert!(disk.content() == content);
}

#[test]
fn an_image_into_a_partition_touches_nothing_beside_it() {
    let site = Site::default();
    let whole = cloud_image(1, 16, 512);
    let content = noise(3, 4 * MIB);
    for partition in ["root", "#2"] {
        let disk = MemoryDisk::with(whole.clone(), 512);
        let machine = Machine::with(&disk);
        let job = Job {
            partition: Some(partition.parse().unwrap()),
            ..deploy(site.image(&content, 512, 64))
        };
        written(&site.run(&job, &machine));
        let now = disk.content();
        assert!(now[2 * MIB..6 * MIB] == content, "{partition}");
        assert!(
            now[..2 * MIB] == whole[..2 * MIB],
            "the table and what is before it"
        );
        let backup = 16 * MIB - 33 * 512;
        assert!(now[backup..] == whole[backup..], "and behind it");
        assert!(machine.asked_boot_order.lock().unwrap().is_empty());
    }
}

#[test]
fn a_partition_that_is_not_there_or_too_small_is_refused_before_the_first_byte() {
    let site = Site::default();
    let whole = cloud_image(1, 16, 512);
    let disk = MemoryDisk::with(whole.clone(), 512);
    for (partition, mib, words) in [
        (
            "home",
            4,
            "0 partitions are called home; there are: #1, #2 root",
        ),
        ("#7", 4, "0 partitions are called #7"),
        ("#1", 4, "#1 has 1048576 bytes, the image needs 4194304"),
    ] {
        let content = noise(3, mib * MIB);
        let job = Job {
            partition: Some(partition.parse().unwrap()),
            ..deploy(site.image(&content, 512, 64))
        };
        let ended = site.run(&job, &Machine::with(&disk));
        let (why, touched) = failed(&ended);
        assert!(why.contains(words) && !touched, "{partition}: {why}");
        assert!(disk.content() == whole, "{partition}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_the_first_byte() {
    let site = Site::default();
    let content = cloud_image(1, 8, 512);
    let image = site.image(&content, 512, 64);
    let before = noise(5, 8 * MIB);
    let refused = |job: &Job, disks: &[(&str, usize, u32)], why: &str| {
        let mut machine = Machine::default();
        for (name, mib, sector_size) in disks {
            let disk = MemoryDisk::with(before[..mib * MIB].to_vec(), *sector_size);
            machine.disks.insert((*name).to_owned(), disk);
        }
        let ended = site.run(job, &machine);
        let (reason, touched) = failed(&ended);
        assert!(reason.contains(why) && !touched, "{reason}");
        for (name, mib, _) in disks {
            assert!(
                machine.disks[*name].content() == before[..mib * MIB],
                "{reason}"
            );
        }
    };
    let job = deploy(image.clone());
    refused(&job, &[("vda", 7, 512)], "too small");
    refused(&job, &[("vda", 8, 4096)], "sectors");
    refused(&job, &[("usb", 8, 512)], "no fixed disk");
    refused(&job, &[("vda", 8, 512), ("vdb", 8, 512)], "2 disks");
    refused(
        &everything(image.clone(), 64),
        &[("vda", 8, 512)],
        "no free place",
    );
    let other = Job {
        image: Some(mesh_proto::message::job::ImageRef {
            manifest: "ab".repeat(32),
            ..image
        }),
        ..job.clone()
    };
    refused(&other, &[("vda", 8, 512)], "manifest");
}

#[test]
fn an_erased_disk_is_empty_and_one_that_cannot_sanitize_is_untouched() {
    let site = Site::default();
    let before = noise(5, 3 * MIB);
    for how in [Erase::Discard, Erase::Zero] {
        let disk = MemoryDisk::with(before.clone(), 4096);
        let job = Job {
            erase: Some(how),
            image: None,
            ..deploy(site.image(&before, 4096, 64))
        };
        written(&site.run(&job, &Machine::with(&disk)));
        assert!(disk.content().iter().all(|b| *b == 0));
    }
}

#[test]
fn a_cancelled_job_leaves_a_disk_that_does_not_boot_and_reports_nothing() {
    for at in [Step::Writing, Step::Verifying, Step::Editing] {
        let site = Site {
            cancel_at: Some(at),
            ..Site::default()
        };
        let content = cloud_image(1, 8, 512);
        let disk = MemoryDisk::with(cloud_image(2, 8, 512), 512);
        let ended = site.run(
            &deploy(site.image(&content, 512, 64)),
            &Machine::with(&disk),
        );
        assert!(
            matches!(ended, enforcer_agent::deploy::Ended::Cancelled(_)),
            "{ended:?}"
        );
        let left = disk.content();
        assert!(
            left[..MIB].iter().chain(&left[7 * MIB..]).all(|b| *b == 0),
            "{at:?}"
        );
    }
    let site = Site {
        cancel_at: Some(Step::Fetching),
        ..Site::default()
    };
    let before = cloud_image(2, 8, 512);
    let disk = MemoryDisk::with(before.clone(), 512);
    site.run(
        &deploy(site.image(&noise(1, 8 * MIB), 512, 64)),
        &Machine::with(&disk),
    );
    assert!(disk.content() == before, "cancelled in time");
}

#[test]
fn only_used_blocks_are_saved_when_the_file_system_says_which() {
    let site = Site::default();
    let mut before = cloud_image(2, 8, 512);
    // ext4's magic number, so that the machine is asked about the second partition.
    before[2 * MIB + 1080..2 * MIB + 1082].copy_from_slice(b"\x53\xEF");
    let disk = MemoryDisk::with(before.clone(), 512);
    let mut machine = Machine::with(&disk);
    machine
        .unused
        .insert(2, vec![0..0, MIB as u64 + 512..4 * MIB as u64]);
    let job = Job {
        capture: Some(Capture {
            name: "before".to_owned(),
            chunk_size: 64 << 10,
            used_blocks_only: true,
        }),
        image: None,
        ..deploy(site.image(&before, 512, 64))
    };
    written(&site.run(&job, &machine));
    before[3 * MIB + 512..6 * MIB].fill(0);
    let saved = site.saved.lock().unwrap().pop().unwrap();
    assert!(site.content(&saved) == before);
    assert!(disk.content() != before, "the disk itself is only read");
}

#[test]
fn an_image_larger_than_the_budget_is_written_through_few_buffers() {
    let site = Site::default();
    let mib = 160;
    let content = noise(11, mib * MIB);
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len((mib * MIB) as u64).unwrap();
    struct OneFile(std::path::PathBuf);
    impl enforcer_agent::deploy::Host for OneFile {
        fn disks(&self) -> Vec<mesh_proto::facts::Disk> {
            let disk = MemoryDisk::with(vec![0; 160 * MIB], 512);
            Machine::with(&disk).disks()
        }
        fn open(
            &self,
            _: &mesh_proto::facts::Disk,
        ) -> std::io::Result<Box<dyn enforcer_agent::deploy::Disk>> {
            Ok(Box::new(BlockDisk::open_file(&self.0, 512)?))
        }
        fn unused(
            &self,
            _: &mesh_proto::facts::Disk,
            _: &enforcer_agent::deploy::Part,
            _: &str,
        ) -> Option<Vec<std::ops::Range<u64>>> {
            None
        }
        fn sanitize(&self, _: &mesh_proto::facts::Disk) -> Result<(), String> {
            Err(String::new())
        }
        fn boot_order(&self, _: &enforcer_agent::deploy::Part, _: u32) -> Result<bool, String> {
            Ok(false)
        }
        fn say(&self, _: &str) {}
    }
    let memory = Memory::default();
    let host = OneFile(file.path().to_owned());
    let job = deploy(site.image(&content, 512, 1024));
    let setup = enforcer_agent::deploy::Setup {
        host: &host,
        controller: &site,
        sources: vec![&site],
        patience: crate::site::HASTE,
        watcher: &|_| {},
        memory: memory.clone(),
        partition_id: [1; 16],
    };
    written(&enforcer_agent::deploy::run(&job, &setup));
    assert!(std::fs::read(file.path()).unwrap() == content);
    assert!(
        memory.peak() < 16 << 20 && memory.peak() < BUDGET_BYTES,
        "{}",
        memory.peak()
    );
    assert!((mib * MIB) as u64 > BUDGET_BYTES);
}
