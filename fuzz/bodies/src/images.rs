//! Images: manifests, heads of parcels, parcels, and uploads of arbitrary bytes.

use image::{
    ChunkId, ChunkSize, Manifest,
    parcel::{HEAD_BYTES, Head},
};
use image_store::{ChunkStore, Format, Ingest, IngestOptions, Limits, Plain, StoreError};
use tempfile::TempDir;

/// What an upload may unpack to: two of the smallest chunks and a bit, so that the limit is met as well.
const LIMIT_BYTES: u64 = 150_000;

thread_local! {
    static STORE: (TempDir, ChunkStore) = open();
}

fn open() -> (TempDir, ChunkStore) {
    // In memory where there is one: each upload that becomes an image is synced.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.expect("a folder for the store");
    let store = ChunkStore::open(dir.path(), Limits::default()).expect("a store");
    (dir, store)
}

/// The input is a manifest, a parcel, and an upload, each by itself.
pub fn fuzz_images(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(manifest.encode(), data, "one image has one manifest");
        let last = manifest.pieces_len() - 1;
        assert!(
            manifest
                .piece_at(last)
                .is_some_and(|piece| piece.offset < manifest.size())
        );
    }
    if let Some((head, content)) = data.split_first_chunk::<HEAD_BYTES>() {
        parcel(head, content);
    }
    upload(data);
}

fn parcel(head: &[u8; HEAD_BYTES], content: &[u8]) {
    let Ok(parsed) = Head::parse(head) else {
        return;
    };
    assert_eq!(parsed.encode(), *head);
    STORE.with(|(_, store)| {
        let session = store.session();
        let put = |id| session.put_parcel(id, parsed.form, content);
        // A name that is a hash cannot be guessed: the parcel is named rightly after the first refusal.
        let id = match put(parsed.id) {
            Ok(_) => parsed.id,
            Err(StoreError::WrongChunk { claimed, actual }) => {
                assert_eq!(claimed, parsed.id);
                put(actual).expect("under its right name");
                actual
            }
            Err(_) => return,
        };
        let plain = store
            .get_plain(id)
            .expect("readable")
            .expect("just put there");
        assert_eq!(ChunkId::of(&plain), id);
    });
}

fn upload(data: &[u8]) {
    STORE.with(|(_, store)| {
        let options = IngestOptions {
            chunk_size: ChunkSize::try_from(ChunkSize::MIN).expect("the smallest"),
            limit_bytes: LIMIT_BYTES,
            ..IngestOptions::default()
        };
        let mut ingest = Ingest::new(store.session(), options);
        if data
            .chunks(97)
            .try_for_each(|part| ingest.write(part))
            .is_err()
        {
            return;
        }
        let Ok(done) = ingest.finish() else { return };
        assert!(done.manifest.size() <= LIMIT_BYTES);
        let parts = Plain::new(store.clone(), done.manifest.into(), 0..u64::MAX);
        let plain: Vec<u8> = parts
            .flat_map(|part| part.expect("just stored").to_vec())
            .collect();
        if done.format == Format::Raw {
            assert_eq!(plain, data);
        }
    });
}
