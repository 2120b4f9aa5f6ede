//! What the store promises when the sender lies, the disk fails or fills up, or the power goes.

#![expect(clippy::unwrap_used, reason = "all of it is test code")]

mod common;

use std::{fs, iter};

use common::{Lab, disk, files, small};
use image::{Builder, ChunkId, ChunkSize, Manifest, parcel::Form};
use image_store::{ChunkStore, Ingest, IngestError, IngestOptions, Limits, Put, StoreError, Usage};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// A bit of some file is flipped: who reads that chunk or manifest is told which one it is, a thousand times of a thousand.
#[test]
fn a_thousand_of_a_thousand_flipped_bits_are_caught_and_named() {
    let lab = Lab::new();
    let done = lab.ingest(&disk(1, 9), small()).unwrap();
    let files = files(&lab.path());
    assert!(files.len() > 5);
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..1000 {
        let path = &files[rng.random_range(0..files.len())];
        let name: ChunkId = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let good = fs::read(path).unwrap();
        let (byte, bit) = (rng.random_range(0..good.len()), rng.random_range(0..8));
        let mut bad = good.clone();
        bad[byte] ^= 1 << bit;
        fs::write(path, &bad).unwrap();
        if name == done.digest {
            assert!(
                matches!(lab.store.manifest(name), Err(StoreError::DamagedManifest(id)) if id == name)
            );
        } else {
            let caught = lab.store.get(name).map(|_| ());
            assert!(
                matches!(caught, Err(StoreError::Damaged(id)) if id == name),
                "bit {bit} of byte {byte} of {name}"
            );
        }
        fs::write(path, &good).unwrap();
    }
}

#[test]
fn a_damaged_chunk_that_was_set_aside_is_taken_anew() {
    let lab = Lab::new();
    let bytes = disk(2, 3);
    let done = lab.ingest(&bytes, small()).unwrap();
    let before = lab.store.usage().unwrap();
    let id = done.manifest.data().next().unwrap().id.unwrap();
    fs::write(
        lab.path().join(&id.to_string()[..2]).join(id.to_string()),
        b"rot",
    )
    .unwrap();
    assert!(matches!(lab.store.get_plain(id), Err(StoreError::Damaged(named)) if named == id));
    lab.store.set_aside(id).unwrap();
    assert!(lab.store.get(id).unwrap().is_none());
    lab.ingest(&bytes, small()).unwrap();
    assert!(lab.store.get_plain(id).is_ok_and(|plain| plain.is_some()));
    assert_eq!(lab.store.usage().unwrap().chunks, before.chunks);
}

#[test]
fn a_chunk_under_a_wrong_name_is_refused_in_every_form() {
    let lab = Lab::new();
    let session = lab.store.session();
    let (right, wrong) = (ChunkId::of(b"right"), ChunkId::of(b"wrong"));
    let frame = zstd::bulk::compress(b"right", 3).unwrap();
    let refused = |form, content: &[u8]| session.put_parcel(wrong, form, content).unwrap_err();
    for error in [
        session.put(wrong, b"right").unwrap_err(),
        refused(Form::Raw, b"right"),
        refused(Form::Zstd, &frame),
    ] {
        assert!(
            matches!(error, StoreError::WrongChunk { claimed, actual } if (claimed, actual) == (wrong, right))
        );
    }
    for (form, content) in [
        (Form::Missing, &b""[..]),
        (Form::Raw, b""),
        (Form::Zstd, b"right"),
        (Form::Zstd, &frame[1..]),
    ] {
        assert!(
            matches!(refused(form, content), StoreError::Unpack(id) if id == wrong),
            "{form:?} {content:?}"
        );
    }
    assert_eq!(session.has(&[wrong, right]).unwrap(), [false, false]);
    assert_eq!(lab.store.usage().unwrap().chunks, 0);
}

#[test]
fn a_parcel_that_unpacks_to_more_than_a_chunk_is_refused_before_it_is_unpacked() {
    let lab = Lab::new();
    let bomb = vec![0; ChunkSize::MAX as usize + 1];
    let id = ChunkId::of(&bomb);
    let frame = zstd::bulk::compress(&bomb, 3).unwrap();
    let session = lab.store.session();
    assert!(matches!(
        session.put_parcel(id, Form::Zstd, &frame),
        Err(StoreError::Unpack(_))
    ));
    // The frame says that it is small and is not; it says nothing; it is two frames.
    let mut lying = frame;
    lying[5..9].copy_from_slice(&512_u32.to_le_bytes());
    assert!(session.put_parcel(id, Form::Zstd, &lying).is_err());
    let silent = zstd::stream::encode_all(&b"x"[..], 3).unwrap();
    assert!(matches!(
        session.put_parcel(ChunkId::of(b"x"), Form::Zstd, &silent),
        Err(StoreError::Unpack(_))
    ));
    let two = zstd::bulk::compress(b"x", 3).unwrap().repeat(2);
    assert!(matches!(
        session.put_parcel(ChunkId::of(b"xx"), Form::Zstd, &two),
        Err(StoreError::Unpack(_))
    ));
}

fn manifest_of(ids: &[ChunkId], size: u64) -> Manifest {
    let mut builder = Builder::new(512, small().chunk_size).unwrap();
    ids.iter().for_each(|id| builder.push(Some(*id)));
    builder.finish(size).unwrap()
}

#[test]
fn a_manifest_with_a_missing_chunk_or_a_lie_is_refused_and_not_kept() {
    let lab = Lab::new();
    let session = lab.store.session();
    let plain = [1; 1024];
    let (there, missing) = (ChunkId::of(&plain), ChunkId::of(b"missing"));
    session.put(there, &plain).unwrap();
    let error = session
        .save(&manifest_of(&[missing, missing], 128 << 10))
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Missing { first, missing: 2 } if first == missing),
        "{error:?}"
    );
    let error = session.save(&manifest_of(&[there], 512)).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::LyingManifest {
                said: 512,
                actual: 1024,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(files(&lab.path().join("manifests")).is_empty());
    let digest = session.save(&manifest_of(&[there], 1024)).unwrap();
    assert_eq!(lab.store.manifest(digest).unwrap().size(), 1024);
    assert!(
        matches!(lab.store.manifest(missing), Err(StoreError::NoManifest(id)) if id == missing)
    );
}

#[test]
fn the_quota_and_the_reserve_have_their_own_errors_and_leave_no_orphan() {
    let bytes = disk(3, 12);
    let lab = Lab::with(Limits {
        quota_bytes: Some(150_000),
        ..Limits::default()
    });
    let error = lab.ingest(&bytes, small()).unwrap_err();
    assert!(
        matches!(
            error,
            IngestError::Store(StoreError::Quota {
                quota_bytes: 150_000,
                ..
            })
        ),
        "{error:?}"
    );
    assert!(lab.store.usage().unwrap().stored_bytes <= 150_000);
    assert!(files(&lab.path().join("tmp")).is_empty());
    lab.store.collect(iter::empty).unwrap();
    assert_eq!(lab.store.usage().unwrap().stored_bytes, 0);
    // What was freed can be used again.
    lab.ingest(&disk(3, 3), small()).unwrap();

    let lab = Lab::with(Limits {
        reserve_bytes: u64::MAX / 2,
        ..Limits::default()
    });
    let error = lab.ingest(&bytes, small()).unwrap_err();
    assert!(
        matches!(error, IngestError::Store(StoreError::Full { .. })),
        "{error:?}"
    );
    // An image that is there already needs no room for chunks.
    assert_eq!(lab.ingest(&[0; 1 << 20], small()).unwrap().stored_bytes, 0);
}

#[test]
fn who_comes_at_the_same_time_does_not_pass_the_quota_together() {
    // Random bytes do not shrink: a chunk of them takes its head more.
    let quota = 10 * (1000 + 9);
    for round in 0..20_u8 {
        let lab = Lab::with(Limits {
            quota_bytes: Some(quota),
            ..Limits::default()
        });
        let together = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for one in 0..8_u8 {
                let (lab, together) = (&lab, &together);
                scope.spawn(move || {
                    let session = lab.store.session();
                    together.wait();
                    for n in 0..4_u8 {
                        let seed = u64::from_le_bytes([round, one, n, 0, 0, 0, 0, 0]);
                        let mut bytes = [0; 1000];
                        StdRng::seed_from_u64(seed).fill(&mut bytes[..]);
                        let _too_much = session.put(ChunkId::of(&bytes), &bytes);
                    }
                });
            }
        });
        assert_eq!(lab.store.usage().unwrap().stored_bytes, quota);
        assert!(files(&lab.path().join("tmp")).is_empty());
    }
}

#[test]
fn chunks_are_counted_and_known_ones_cost_nothing() {
    let lab = Lab::new();
    let first = lab.ingest(&disk(4, 9), small()).unwrap();
    let second = lab.ingest(&disk(4, 12), small()).unwrap();
    assert_eq!(second.known_bytes, first.new_bytes);
    assert_eq!(
        second.new_bytes,
        2 * (64 << 10),
        "two more chunks of data, and the rest was there"
    );
    let usage = lab.store.usage().unwrap();
    assert_eq!(usage.stored_bytes, first.stored_bytes + second.stored_bytes);
    let mut counted_anew = lab;
    counted_anew.reopen();
    assert_eq!(counted_anew.store.usage().unwrap().chunks, usage.chunks);
    assert_eq!(
        counted_anew.store.usage().unwrap().stored_bytes,
        usage.stored_bytes
    );
}

/// What was not synced may be torn after a power cut; the store must not believe in it.
#[test]
fn torn_chunks_and_half_files_of_a_crash_are_gone_on_opening() {
    let mut lab = Lab::new();
    let saved = lab.ingest(&disk(5, 6), small()).unwrap();
    let session = lab.store.session();
    let id = ChunkId::of(b"torn");
    session.put(id, b"torn").unwrap();
    let fresh = files(&lab.path().join("fresh"));
    assert_eq!(fresh.len(), 1);
    fs::write(&fresh[0], b"").unwrap();
    fs::write(lab.path().join("tmp/17"), b"half").unwrap();
    lab.reopen();
    assert_eq!(lab.store.session().has(&[id]).unwrap(), [false]);
    assert!(files(&lab.path().join("tmp")).is_empty());
    assert!(lab.read(&saved, 0..u64::MAX) == disk(5, 6));
    assert_eq!(
        lab.store.session().put(id, b"torn").unwrap(),
        Put::New { stored_bytes: 13 }
    );
}

#[test]
fn what_was_synced_survives_a_crash_and_an_upload_goes_on_there() {
    let mut lab = Lab::new();
    let bytes = disk(6, 9);
    let session = lab.store.session();
    let mut ingest = Ingest::new(session.clone(), small());
    ingest.write(&bytes).unwrap();
    // What still waits for a worker is dropped, so how much is there is a matter of luck; all of it has to survive.
    drop(ingest);
    let there = lab.store.usage().unwrap().chunks;
    assert!(there > 0);
    lab.store.sync().unwrap();
    lab.reopen();
    let again = lab.ingest(&bytes, small()).unwrap();
    assert_eq!(again.known_bytes, there * (64 << 10), "{again:?}");
    drop(session);
}

#[test]
fn many_uploads_at_once_of_the_same_disk_store_it_once() {
    let lab = Lab::new();
    let bytes = disk(7, 30);
    let digests: Vec<_> = std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| lab.ingest(&bytes, small()).unwrap()))
            .collect();
        uploads
            .into_iter()
            .map(|upload| upload.join().unwrap())
            .collect()
    });
    assert!(
        digests
            .windows(2)
            .all(|pair| pair[0].digest == pair[1].digest)
    );
    let usage = lab.store.usage().unwrap();
    assert_eq!(
        digests.iter().map(|done| done.stored_bytes).sum::<u64>(),
        usage.stored_bytes
    );
    let mut lab = lab;
    lab.reopen();
    assert_eq!(
        lab.store.usage().unwrap(),
        Usage {
            free_bytes: lab.store.usage().unwrap().free_bytes,
            ..usage
        }
    );
}

#[test]
fn an_upload_that_has_failed_stays_failed() {
    let store = ChunkStore::open(tempfile::tempdir().unwrap().path(), Limits::default()).unwrap();
    let mut ingest = Ingest::new(
        store.session(),
        IngestOptions {
            limit_bytes: 512,
            ..small()
        },
    );
    assert!(ingest.write(&[1; 1024]).is_err());
    assert!(matches!(ingest.write(&[1; 512]), Err(IngestError::Ended)));
    assert!(matches!(ingest.finish(), Err(IngestError::Ended)));
}
