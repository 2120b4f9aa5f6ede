//! Bits that flip on the wire, in the store and on the disk; sources that lie, stall or are empty.

use std::collections::HashSet;
use std::sync::Mutex;

use enforcer_agent::deploy::{ChunkSource, Memory, Request, Take};
use image::parcel::{Form, Head};
use image::{Builder, ChunkId, ChunkSize};
use mesh_proto::message::job::Outcome;

use crate::disk::{Machine, MemoryDisk};
use crate::site::{Site, deploy, failed, noise, written};

const MIB: usize = 1 << 20;

/// Flips one bit of each chunk the first time it is asked for.
struct Wire<'a> {
    site: &'a Site,
    flipped: Mutex<HashSet<ChunkId>>,
    flip_again: bool,
}

impl<'a> Wire<'a> {
    fn new(site: &'a Site, flip_again: bool) -> Self {
        Self {
            site,
            flipped: Mutex::default(),
            flip_again,
        }
    }
}

impl ChunkSource for Wire<'_> {
    fn name(&self) -> String {
        "a bad wire".to_owned()
    }

    fn fetch(&self, request: &Request<'_>, take: Take<'_>) -> Result<(), String> {
        for id in request.ids {
            let mut bytes = self.site.chunks.lock().unwrap()[id].clone();
            let first = self.flipped.lock().unwrap().insert(*id);
            if first || self.flip_again {
                let at = u64::from_le_bytes(*id.as_bytes().first_chunk().unwrap());
                let bit = usize::try_from(at).unwrap() % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let len = u32::try_from(bytes.len()).unwrap();
            let head = Head {
                id: *id,
                form: Form::Raw,
                len,
            };
            if !take(head, &bytes) {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn a_thousand_bits_that_flip_on_the_wire_are_caught_and_counted() {
    let site = Site::default();
    let content = noise(3, 1000 * (64 << 10));
    let disk = MemoryDisk::with(vec![0; 63 * MIB], 512);
    let wire = Wire::new(&site, false);
    let job = deploy(site.image(&content, 512, 64));
    let ended = site.run_from(&job, &Machine::with(&disk), vec![&wire], &Memory::default());
    let Outcome::Written { counts, .. } = written(&ended) else {
        unreachable!()
    };
    assert_eq!(counts.wrong_chunks, [("a bad wire".to_owned(), 1000)]);
    assert!(disk.content()[..content.len()] == content);
}

#[test]
fn a_bit_that_flipped_in_the_store_is_named_and_the_disk_is_not_touched_by_it() {
    let site = Site::default();
    let content = noise(3, 8 * MIB);
    let image = site.image(&content, 512, 64);
    let id = ChunkId::of(&content[4 * MIB..4 * MIB + (64 << 10)]);
    site.chunks.lock().unwrap().get_mut(&id).unwrap()[77] ^= 4;
    let disk = MemoryDisk::with(vec![0; 8 * MIB], 512);
    let ended = site.run(&deploy(image), &Machine::with(&disk));
    let (reason, touched) = failed(&ended);
    assert!(touched && reason.contains(&id.to_string()), "{reason}");
    assert!(
        reason.contains("controller") && reason.contains("came wrong"),
        "{reason}"
    );
    assert!(
        disk.content()[..512].iter().all(|b| *b == 0),
        "it does not boot"
    );
}

#[test]
fn a_thousand_bits_that_flip_on_the_disk_are_caught_and_named() {
    let site = Site::default();
    let mut content = noise(3, 3 * MIB);
    content[MIB + MIB / 2..MIB + MIB / 2 + (64 << 10)].fill(0);
    let job = deploy(site.image(&content, 512, 64));
    for n in 0..1000_u64 {
        let bit = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (content.len() as u64 * 8);
        let mut disk = MemoryDisk::with(vec![0; 3 * MIB], 512);
        disk.bad_bit = Some(bit);
        let ended = site.run(&job, &Machine::with(&disk));
        let (reason, touched) = failed(&ended);
        let place: u64 = reason
            .split("at byte ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let len = if reason.contains("edit") {
            MIB as u64
        } else {
            64 << 10
        };
        assert!(
            touched && (place..place + len).contains(&(bit / 8)),
            "{bit}: {reason}"
        );
    }
}

/// Has nothing, and says so late.
struct Late;

impl ChunkSource for Late {
    fn name(&self) -> String {
        "late".to_owned()
    }

    fn fetch(&self, _: &Request<'_>, _: Take<'_>) -> Result<(), String> {
        Err("no answer in time".to_owned())
    }
}

/// Gives what nobody asked for, and bombs.
struct Liar;

impl ChunkSource for Liar {
    fn name(&self) -> String {
        "liar".to_owned()
    }

    fn fetch(&self, request: &Request<'_>, take: Take<'_>) -> Result<(), String> {
        let bomb = zstd::bulk::compress(&vec![0; 64 * MIB], 1).unwrap();
        for (n, id) in request.ids.iter().enumerate() {
            let (id, form, content) = match n % 3 {
                0 => (ChunkId::of(b"unasked"), Form::Raw, vec![0; 512]),
                1 => (*id, Form::Zstd, bomb.clone()),
                _ => (*id, Form::Zstd, b"no zstd at all".to_vec()),
            };
            let len = u32::try_from(content.len()).unwrap();
            take(Head { id, form, len }, &content);
        }
        Ok(())
    }
}

#[test]
fn a_hostile_source_changes_the_time_and_is_named() {
    let site = Site::default();
    let content = noise(3, 8 * MIB);
    let disk = MemoryDisk::with(vec![0; 8 * MIB], 512);
    let wire = Wire::new(&site, true);
    let job = deploy(site.image(&content, 512, 64));
    let sources: Vec<&dyn ChunkSource> = vec![&Liar, &Late, &wire, &site];
    let memory = Memory::default();
    let ended = site.run_from(&job, &Machine::with(&disk), sources, &memory);
    let Outcome::Written { counts, .. } = written(&ended) else {
        unreachable!()
    };
    assert!(disk.content() == content);
    let names: Vec<_> = counts
        .wrong_chunks
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a bad wire", "liar"]);
    // Both were put last when they had been wrong often enough: not every chunk came wrong twice.
    assert!(
        counts.wrong_chunks.iter().all(|(_, count)| *count < 128),
        "{counts:?}"
    );
    let gone = site.run_from(
        &job,
        &Machine::with(&MemoryDisk::with(vec![0; 8 * MIB], 512)),
        vec![&Late],
        &memory,
    );
    let (reason, _) = failed(&gone);
    assert!(reason.contains("late: no answer in time"), "{reason}");
}

#[test]
fn a_manifest_that_lies_about_its_chunks_is_found_out() {
    let site = Site::default();
    let content = noise(3, 4 * MIB);
    site.image(&content, 512, 64);
    let mut builder = Builder::new(512, ChunkSize::try_from(128 << 10).unwrap()).unwrap();
    for chunk in content.chunks(128 << 10) {
        // Chunks of half the length it says.
        builder.push(Some(ChunkId::of(&chunk[..64 << 10])));
    }
    let image = site.publish(&builder.finish(4 << 20).unwrap());
    let disk = MemoryDisk::with(vec![0; 4 * MIB], 512);
    let ended = site.run(&deploy(image), &Machine::with(&disk));
    let (reason, touched) = failed(&ended);
    assert!(reason.contains("length") && !touched, "{reason}");
}
