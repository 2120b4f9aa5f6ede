//! Images come out as they went in, from any offset, plain and as a zstd stream.

#![expect(clippy::unwrap_used, reason = "all of it is test code")]

mod common;

use std::sync::Arc;

use common::{Lab, disk, pipe, small};
use image::{Manifest, parcel::Form};
use image_store::{Plain, StoreError, ZstdStream};
use proptest::prelude::*;

fn zstd_stream(lab: &Lab, manifest: &Arc<Manifest>) -> ZstdStream {
    ZstdStream::new(lab.store.clone(), Arc::clone(manifest)).unwrap()
}

fn all(stream: ZstdStream) -> Vec<u8> {
    stream.flat_map(|part| part.unwrap().to_vec()).collect()
}

#[test]
fn the_zstd_stream_is_what_zstd_unpacks_to_the_disk() {
    let lab = Lab::new();
    let disk = disk(1, 20);
    let done = lab.ingest(&disk, small()).unwrap();
    let manifest = Arc::new(done.manifest);
    let forms: Vec<_> = manifest
        .data()
        .map(|piece| lab.store.get(piece.id.unwrap()).unwrap().unwrap().form)
        .collect();
    assert!(
        forms.contains(&Form::Raw) && forms.contains(&Form::Zstd),
        "both kinds of frames are in it"
    );
    let stream = zstd_stream(&lab, &manifest);
    let total = stream.total_bytes();
    let bytes = all(stream);
    assert_eq!(bytes.len() as u64, total);
    assert!(pipe("zstd", &["-dc"], &bytes) == disk);
    // And so it comes back as the same image.
    assert_eq!(lab.ingest(&bytes, small()).unwrap().digest, done.digest);
}

#[test]
fn the_stream_of_one_version_is_the_same_each_time_and_another_packing_has_another_tag() {
    let lab = Lab::new();
    let disk = disk(1, 3);
    let manifest = Arc::new(lab.ingest(&disk, small()).unwrap().manifest);
    let tag = zstd_stream(&lab, &manifest).tag();
    assert_eq!(zstd_stream(&lab, &manifest).tag(), tag);
    let other = Lab::new();
    let session = other.store.session();
    for (piece, plain) in manifest.pieces().zip(disk.chunks(64 << 10)) {
        let Some(id) = piece.id else { continue };
        let content = zstd::bulk::compress(plain, 19).unwrap();
        session.put_parcel(id, Form::Zstd, &content).unwrap();
    }
    session.save(&manifest).unwrap();
    assert_ne!(zstd_stream(&other, &manifest).tag(), tag);
    assert!(pipe("zstd", &["-dc"], &all(zstd_stream(&other, &manifest))) == disk);
}

#[test]
fn every_range_is_the_part_of_the_whole() {
    let lab = Lab::new();
    let disk = disk(2, 7);
    let done = lab.ingest(&disk, small()).unwrap();
    let manifest = Arc::new(done.manifest.clone());
    let packed = all(zstd_stream(&lab, &manifest));
    let check = |whole: &[u8], from: usize, to: usize, part: Vec<u8>| {
        let to = to.min(whole.len());
        assert!(part == whole[from.min(to)..to], "{from}..{to}");
    };
    proptest!(ProptestConfig::with_cases(200), |(from in 0_usize..500_000, len in 0_usize..200_000)| {
        let range = from as u64..(from + len) as u64;
        check(&disk, from, from + len, lab.read(&done, range.clone()));
        check(&packed, from, from + len, all(zstd_stream(&lab, &manifest).range(range)));
    });
}

#[test]
fn a_missing_chunk_ends_the_reading_with_its_name() {
    let lab = Lab::new();
    let done = lab.ingest(&disk(3, 5), small()).unwrap();
    let lost = done.manifest.data().nth(1).unwrap().id.unwrap();
    std::fs::remove_file(
        lab.path()
            .join(&lost.to_string()[..2])
            .join(lost.to_string()),
    )
    .unwrap();
    let mut plain = Plain::new(lab.store.clone(), done.manifest.clone().into(), 0..u64::MAX);
    assert!(plain.next().unwrap().is_ok());
    assert!(matches!(plain.next(), Some(Err(StoreError::Missing { first, .. })) if first == lost));
    assert!(plain.next().is_none());
    let stream = ZstdStream::new(lab.store.clone(), done.manifest.into());
    assert!(matches!(stream, Err(StoreError::Missing { first, .. }) if first == lost));
}
