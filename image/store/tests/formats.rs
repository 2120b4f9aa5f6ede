//! Every format comes in whole and goes out as it was; what is no whole image is refused with its reason.

mod common;

use common::{Lab, disk, files, pipe, small};
use image_store::{Format, IngestError, IngestOptions};

/// The disk packed in every way that people pack disks.
fn packed(disk: &[u8]) -> Vec<(&'static str, Format, Vec<u8>)> {
    let (front, back) = disk.split_at(disk.len() / 3);
    let twice = |program, arguments| {
        [
            pipe(program, arguments, front),
            pipe(program, arguments, back),
        ]
        .concat()
    };
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4],
        &pipe("zstd", &["-c"], disk)[..],
    ]
    .concat();
    let padded = [
        pipe("xz", &["-c"], front),
        vec![0; 8],
        pipe("xz", &["-c"], back),
    ]
    .concat();
    vec![
        ("raw", Format::Raw, disk.to_vec()),
        ("gzip", Format::Gzip, pipe("gzip", &["-c"], disk)),
        ("gzip, two members", Format::Gzip, twice("gzip", &["-1c"])),
        ("zstd", Format::Zstd, pipe("zstd", &["-c"], disk)),
        (
            "zstd, two frames",
            Format::Zstd,
            twice("zstd", &["-19c", "--check"]),
        ),
        ("zstd behind a skippable frame", Format::Zstd, skippable),
        ("xz", Format::Xz, pipe("xz", &["-c"], disk)),
        ("xz -9e", Format::Xz, pipe("xz", &["-9ec"], disk)),
        (
            "xz, two streams",
            Format::Xz,
            twice("xz", &["-0c", "--check=sha256"]),
        ),
        ("xz, padded streams", Format::Xz, padded),
        (
            "xz, many blocks",
            Format::Xz,
            pipe("xz", &["-c", "--block-size=100000", "--check=crc32"], disk),
        ),
        (
            "xz with a branch filter",
            Format::Xz,
            pipe("xz", &["-c", "--x86", "--lzma2"], disk),
        ),
    ]
}

#[test]
fn every_format_becomes_the_same_image() {
    let disk = disk(1, 20);
    let lab = Lab::new();
    for (name, format, bytes) in packed(&disk) {
        let done = lab
            .ingest(&bytes, small())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (done.format, done.received_bytes),
            (format, bytes.len() as u64),
            "{name}"
        );
        assert_eq!(done.manifest.size(), disk.len() as u64, "{name}");
        assert!(lab.read(&done, 0..u64::MAX) == disk, "{name}");
        assert_eq!(
            lab.store.manifest(done.digest).unwrap(),
            done.manifest,
            "{name}"
        );
        // The same disk in another coat is nothing new.
        assert_eq!(done.new_bytes == 0, name != "raw", "{name}");
    }
}

#[test]
fn a_stream_cut_anywhere_is_refused_as_truncated() {
    let disk = disk(2, 4);
    let lab = Lab::new();
    for (name, format, bytes) in packed(&disk).into_iter().skip(1) {
        let last = bytes.len() - 1;
        let mid_of_second = if name.contains("two") {
            last - 40
        } else {
            last / 2
        };
        for len in [14, 100, bytes.len() / 5, mid_of_second, last - 3, last] {
            let error = lab.ingest(&bytes[..len], small()).unwrap_err();
            assert!(
                matches!(error, IngestError::Truncated(f) if f == format),
                "{name} cut to {len}: {error:?}"
            );
        }
    }
    assert!(files(&lab.path().join("manifests")).is_empty());
}

#[test]
fn what_follows_the_end_is_refused() {
    let disk = disk(3, 4);
    let lab = Lab::new();
    for (name, _, mut bytes) in packed(&disk).into_iter().skip(1) {
        bytes.extend_from_slice(b"and something else");
        let error = lab.ingest(&bytes, small()).unwrap_err();
        let right = matches!(
            error,
            IngestError::Trailing(_) | IngestError::Corrupt { .. }
        );
        assert!(right, "{name}: {error:?}");
    }
}

#[test]
fn a_flipped_bit_in_a_packed_stream_never_becomes_another_image() {
    let disk = disk(4, 4);
    let lab = Lab::new();
    for (name, _, bytes) in packed(&disk)
        .into_iter()
        .filter(|(name, ..)| !name.starts_with("raw"))
    {
        for at in (0..bytes.len()).step_by(bytes.len() / 40) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let options = IngestOptions {
                limit_bytes: 64 << 20,
                ..small()
            };
            if let Ok(done) = lab.ingest(&flipped, options) {
                // In a file name, a time or a skippable frame a bit means nothing; a broken magic number makes it raw.
                let harmless = done.format == Format::Raw || lab.read(&done, 0..u64::MAX) == disk;
                assert!(harmless, "{name}: bit {at} went unnoticed");
            }
        }
    }
}

#[test]
fn bombs_end_at_the_limit_and_cost_nothing() {
    let lab = Lab::new();
    let zeros = vec![0; 64 << 20];
    for (program, arguments) in [("gzip", ["-9c"]), ("zstd", ["-9c"]), ("xz", ["-0c"])] {
        let bomb = pipe(program, &arguments, &zeros);
        let limited = IngestOptions {
            limit_bytes: 16 << 20,
            ..small()
        };
        let error = lab.ingest(&bomb, limited).unwrap_err();
        assert!(
            matches!(error, IngestError::TooLarge { limit_bytes } if limit_bytes == 16 << 20),
            "{program}: {error:?}"
        );
        let declared = IngestOptions {
            size_bytes: Some(16 << 20),
            ..small()
        };
        let error = lab.ingest(&bomb, declared).unwrap_err();
        assert!(
            matches!(error, IngestError::Size { said_bytes, .. } if said_bytes == 16 << 20),
            "{program}: {error:?}"
        );
        // All holes: the disk is empty, and so is the store.
        assert_eq!(lab.ingest(&bomb, small()).unwrap().stored_bytes, 0);
    }
    // A frame that wants 128 MiB of window: descriptor 0, window 2^27, one empty last block.
    let bomb_of_windows = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0];
    let error = lab.ingest(&bomb_of_windows, small()).unwrap_err();
    assert!(
        matches!(error, IngestError::Window(Format::Zstd)),
        "{error:?}"
    );
    let bomb_of_windows = pipe("xz", &["-c", "--lzma2=preset=0,dict=512MiB"], &disk(5, 4));
    let error = lab.ingest(&bomb_of_windows, small()).unwrap_err();
    assert!(
        matches!(error, IngestError::Window(Format::Xz)),
        "{error:?}"
    );
}

#[test]
fn what_is_no_disk_is_named() {
    let lab = Lab::new();
    let refused = |bytes: &[u8], options| lab.ingest(bytes, options).unwrap_err().to_string();
    let said = |format| IngestOptions {
        format: Some(format),
        ..small()
    };
    assert!(refused(b"", small()).contains("nothing was sent"));
    assert!(refused(&[1; 1000], small()).contains("1000 bytes, is not a whole number of sectors"));
    assert!(refused(&[1; 4], small()).contains("4 bytes"));
    assert!(refused(&[b"BZh9", &[0; 508][..]].concat(), small()).contains("bzip2"));
    let gzip = pipe("gzip", &["-c"], &[5; 1024]);
    assert!(refused(&pipe("zstd", &["-c"], &gzip), small()).contains("compressed twice"));
    assert!(refused(&gzip, said(Format::Xz)).contains("said to be xz, but it is gzip"));
    assert!(refused(&[5; 1024], said(Format::Zstd)).contains("said to be zstd, but it is raw"));
    let declared = IngestOptions {
        size_bytes: Some(4096),
        ..small()
    };
    assert!(refused(&[5; 1024], declared).contains("said to have 4096 bytes and has 1024"));
    // Who insists on a raw disk gets one.
    let qcow = [b"QFI\xfb", &[0; 508][..]].concat();
    assert!(refused(&qcow, small()).contains("qcow2"));
    assert!(lab.ingest(&qcow, said(Format::Raw)).is_ok());
}

#[test]
fn the_sector_size_is_the_partition_tables_unless_it_is_given() {
    let lab = Lab::new();
    let mut disk = disk(6, 2);
    disk.resize(disk.len().next_multiple_of(4096), 0);
    let with = |sector_size| IngestOptions {
        sector_size,
        ..small()
    };
    assert_eq!(
        lab.ingest(&disk, with(None))
            .unwrap()
            .manifest
            .sector_size(),
        512
    );
    assert_eq!(
        lab.ingest(&disk, with(Some(4096)))
            .unwrap()
            .manifest
            .sector_size(),
        4096
    );
    disk[4096..4104].copy_from_slice(b"EFI PART");
    assert_eq!(
        lab.ingest(&disk, with(None))
            .unwrap()
            .manifest
            .sector_size(),
        4096
    );
    let error = lab.ingest(&disk, with(Some(512))).unwrap_err();
    assert!(
        matches!(
            error,
            IngestError::SectorSize {
                said: 512,
                found: 4096
            }
        ),
        "{error:?}"
    );
}
