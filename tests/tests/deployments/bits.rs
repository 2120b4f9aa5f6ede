//! Bits that flip, on the wire, on the target and in the store: each is caught, and who did it is named.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use enforcer::state::deployment::{Deployment, State};
use enforcer::state::ops::OrderSpec;
use image::{ChunkId, ChunkSize};
use image_store::IngestOptions;

use crate::disk::MIB;
use crate::machine::Machine;
use crate::site::Site;
use crate::workplace::HASTY;

/// Bytes of a chunk.
const CHUNK: usize = 64 << 10;
/// Bits that flip.
const BITS: usize = 1000;

/// Chunks that all hold data and differ.
fn chunks(count: usize) -> Vec<u8> {
    let mut content = vec![0; count * CHUNK];
    for (n, chunk) in (1_u64..).zip(content.chunks_mut(CHUNK)) {
        chunk.fill(n as u8 | 1);
        chunk[..8].copy_from_slice(&n.to_le_bytes());
    }
    content
}

fn queued(site: &Site, image: &[u8]) -> Deployment {
    let small = IngestOptions {
        chunk_size: ChunkSize::try_from(CHUNK as u32).unwrap(),
        ..IngestOptions::default()
    };
    site.upload("debian", image, small);
    let order = OrderSpec {
        image: Some("debian".parse().unwrap()),
        ..OrderSpec::default()
    };
    site.deploy("web1", order)
}

#[test]
fn a_thousand_bits_that_flip_on_the_wire_are_caught_and_named_and_the_disk_is_equal() {
    let site = Site::new();
    let image = chunks(BITS);
    let machine = Machine::new(&site, 1, &vec![0; image.len()], 512);
    machine.record.bad_wire.store(1, Ordering::SeqCst);
    let job = queued(&site, &image);
    assert_eq!(machine.goes_on(&site), 1);
    assert!(machine.medium.content() == image);
    let wrong = &site
        .job(job.id)
        .written
        .clone()
        .unwrap()
        .counts
        .wrong_chunks;
    let [(name, count)] = &wrong[..] else {
        panic!("{wrong:?}")
    };
    assert!(name.starts_with("controller 127.0.0.1:"), "{name}");
    assert_eq!(*count, BITS as u64);
}

#[test]
fn a_thousand_bits_that_flip_on_the_target_are_caught_and_named_and_nothing_boots() {
    let site = Site::new();
    // The first mebibyte and the last two are written and read back by themselves, in the end.
    let ends = 4 * MIB / CHUNK;
    let image = chunks(BITS + ends);
    let mut machine = Machine::new(&site, 1, &vec![0; image.len()], 512);
    let first = 2 * MIB / CHUNK;
    let bad = (first..first + BITS).map(|chunk| {
        let bit = (chunk * 0x9E37_79B9) % (CHUNK * 8);
        (chunk * CHUNK * 8 + bit) as u64
    });
    machine.medium.bad_bits = Arc::new(bad.collect());
    let job = queued(&site, &image);
    let reason = machine.fails(&site, &job);
    let places = format!("{BITS} places differ");
    assert!(reason.contains(&places), "{reason}");
    let at = format!("at byte {}", first * CHUNK);
    let id = ChunkId::of(&image[first * CHUNK..][..CHUNK]).to_string();
    assert!(reason.contains(&at) && reason.contains(&id), "{reason}");
    assert!(
        machine.medium.content()[..512].iter().all(|b| *b == 0),
        "it does not boot"
    );
}

#[test]
fn a_bit_that_flipped_in_the_store_never_reaches_a_disk_and_its_chunk_is_named() {
    let site = Site::new();
    let image = chunks(64);
    let mut machine = Machine::new(&site, 1, &vec![0; image.len()], 512);
    machine.patience = HASTY;
    let job = queued(&site, &image);
    let id = ChunkId::of(&image[40 * CHUNK..][..CHUNK]);
    let file = site
        .folder()
        .join("chunks")
        .join(&id.to_string()[..2])
        .join(id.to_string());
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 4;
    fs::write(&file, bytes).unwrap();
    let reason = machine.fails(&site, &job);
    assert!(reason.contains(&id.to_string()), "{reason}");
    assert!(reason.contains("controller 127.0.0.1:"), "{reason}");
    assert!(!file.exists(), "the next upload brings a good one");
    // So it does.
    let again = queued(&site, &image);
    assert_eq!(machine.goes_on(&site), 1);
    assert_eq!(site.state(again.id), State::HandedOver);
    assert!(machine.medium.content() == image);
}
