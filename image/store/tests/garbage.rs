//! Garbage collection loses nothing that a version or a running upload needs, whatever happens in between, and leaves nothing else.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of it is test code")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, iter,
    sync::atomic::{AtomicUsize, Ordering},
};

use common::{Lab, disk, files, small};
use image::{Builder, ChunkId, Manifest};
use image_store::{Ingest, Session, StoreError};
use proptest::prelude::*;

#[test]
fn deleting_one_version_leaves_what_another_shares() {
    let lab = Lab::new();
    let (long, short) = (disk(1, 12), disk(1, 6));
    let long = lab.ingest(&long, small()).unwrap();
    let short_done = lab.ingest(&short, small()).unwrap();
    let collected = lab
        .store
        .collect(|| [long.digest, short_done.digest])
        .unwrap();
    assert_eq!(collected, Default::default());
    let collected = lab.store.collect(|| [short_done.digest]).unwrap();
    assert_eq!((collected.manifests, collected.chunks), (1, 4));
    assert!(lab.read(&short_done, 0..u64::MAX) == short);
    let used = lab.store.usage().unwrap();
    let again = lab.store.collect(iter::empty).unwrap();
    assert_eq!(
        (again.bytes, again.chunks),
        (used.stored_bytes, used.chunks)
    );
    assert!(files(&lab.path()).is_empty());
}

#[test]
fn a_damaged_root_stops_the_collection_before_anything_goes() {
    let lab = Lab::new();
    let done = lab.ingest(&disk(2, 3), small()).unwrap();
    lab.ingest(&disk(3, 3), small()).unwrap();
    let manifest = lab.path().join("manifests").join(done.digest.to_string());
    let before = files(&lab.path());
    fs::write(&manifest, b"rot").unwrap();
    let error = lab.store.collect(|| [done.digest]).unwrap_err();
    assert!(matches!(error, StoreError::DamagedManifest(digest) if digest == done.digest));
    fs::remove_file(&manifest).unwrap();
    assert!(matches!(
        lab.store.collect(|| [done.digest]),
        Err(StoreError::NoManifest(_))
    ));
    assert_eq!(files(&lab.path()).len(), before.len() - 1);
}

/// The version is written down after the collection has asked for the roots, and its session ends before the sweep.
#[test]
fn a_version_that_is_saved_while_the_roots_are_read_is_kept() {
    let lab = Lab::new();
    let bytes = disk(4, 6);
    let mut session = Some(lab.store.session());
    let mut saved = None;
    lab.store
        .collect(|| {
            let mut ingest = Ingest::new(session.take().unwrap(), small());
            ingest.write(&bytes).unwrap();
            saved = Some(ingest.finish().unwrap());
            iter::empty()
        })
        .unwrap();
    let saved = saved.unwrap();
    assert!(lab.read(&saved, 0..u64::MAX) == bytes);
    assert!(lab.store.manifest(saved.digest).is_ok());
    // The next one knows the version or takes all of it.
    lab.store.collect(iter::empty).unwrap();
    assert!(files(&lab.path()).is_empty());
}

#[test]
fn uploads_and_collections_beside_each_other_lose_nothing() {
    let lab = Lab::new();
    let versions = std::sync::Mutex::new(BTreeSet::new());
    let running = AtomicUsize::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while running.load(Ordering::Relaxed) > 0 {
                lab.store
                    .collect(|| versions.lock().unwrap().clone())
                    .unwrap();
            }
        });
        for thread in 0..2 {
            let (lab, versions, running) = (&lab, &versions, &running);
            scope.spawn(move || {
                let _one_less_also_by_a_panic = Running(running);
                for round in 0..12 {
                    let session = lab.store.session();
                    let mut ingest = Ingest::new(session.clone(), small());
                    ingest.write(&disk(round % 4, 6)).unwrap();
                    let digest = ingest.finish().unwrap().digest;
                    versions.lock().unwrap().insert(digest);
                    drop(session);
                    if round % 3 == thread {
                        versions.lock().unwrap().remove(&digest);
                    }
                }
            });
        }
    });
    for digest in versions.into_inner().unwrap() {
        check_whole(&lab, digest);
    }
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn check_whole(lab: &Lab, digest: ChunkId) {
    for piece in lab.store.manifest(digest).unwrap().data() {
        assert!(lab.store.get_plain(piece.id.unwrap()).unwrap().is_some());
    }
}

/// What people, agents, collections and crashes do, in any order.
#[derive(Debug, Clone)]
enum Act {
    Begin,
    Has {
        session: usize,
        chunks: Vec<u8>,
    },
    Put {
        session: usize,
        chunk: u8,
    },
    Save {
        session: usize,
        chunks: Vec<u8>,
    },
    WriteDown {
        session: usize,
    },
    End {
        session: usize,
    },
    Delete {
        version: usize,
    },
    /// A collection; these acts happen after it froze the pins, and before (`early`) or after the roots were read.
    Collect {
        early: Vec<Act>,
        late: Vec<Act>,
    },
    Sync,
    /// The power goes: chunks that were not synced are torn.
    Crash,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let chunk = 0_u8..12;
    let some = proptest::collection::vec(chunk.clone(), 1..5);
    let session = 0_usize..3;
    let act = prop_oneof![
        2 => Just(Act::Begin),
        3 => (session.clone(), some.clone()).prop_map(|(session, chunks)| Act::Has { session, chunks }),
        8 => (session.clone(), chunk).prop_map(|(session, chunk)| Act::Put { session, chunk }),
        6 => (session.clone(), some).prop_map(|(session, chunks)| Act::Save { session, chunks }),
        4 => session.clone().prop_map(|session| Act::WriteDown { session }),
        3 => session.prop_map(|session| Act::End { session }),
        2 => (0_usize..4).prop_map(|version| Act::Delete { version }),
        1 => Just(Act::Sync),
        1 => Just(Act::Crash),
    ];
    let calm = act
        .clone()
        .prop_filter("a crash ends a collection too", |act| {
            !matches!(act, Act::Crash)
        });
    let inner = proptest::collection::vec(calm, 0..6);
    let collect = (inner.clone(), inner).prop_map(|(early, late)| Act::Collect { early, late });
    proptest::collection::vec(prop_oneof![6 => act, 1 => collect], 1..60)
}

/// The store, and what it owes.
struct World {
    lab: Lab,
    sessions: Vec<Open>,
    versions: BTreeMap<ChunkId, Manifest>,
}

struct Open {
    session: Session,
    /// Chunks it was told are there.
    relied: BTreeSet<u8>,
    saved: Option<Manifest>,
}

fn plain(chunk: u8) -> Vec<u8> {
    vec![chunk + 1; 64 << 10]
}

fn id(chunk: u8) -> ChunkId {
    ChunkId::of(&plain(chunk))
}

impl World {
    fn new() -> Self {
        Self {
            lab: Lab::new(),
            sessions: Vec::new(),
            versions: BTreeMap::new(),
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Begin if self.sessions.len() < 3 => self.sessions.push(Open {
                session: self.lab.store.session(),
                relied: BTreeSet::new(),
                saved: None,
            }),
            Act::Begin => {}
            Act::Has { session, chunks } => self.with(*session, |open| {
                let ids: Vec<_> = chunks.iter().map(|chunk| id(*chunk)).collect();
                let there = open.session.has(&ids).unwrap();
                open.relied.extend(
                    chunks
                        .iter()
                        .zip(there)
                        .filter_map(|(chunk, there)| there.then_some(chunk)),
                );
            }),
            Act::Put { session, chunk } => self.with(*session, |open| {
                open.session.put(id(*chunk), &plain(*chunk)).unwrap();
                open.relied.insert(*chunk);
            }),
            Act::Save { session, chunks } => self.with(*session, |open| save(open, chunks)),
            Act::WriteDown { session } => {
                let at = *session % 3;
                if let Some(manifest) = self.sessions.get_mut(at).and_then(|open| open.saved.take())
                {
                    self.versions.insert(manifest.digest(), manifest);
                }
            }
            Act::End { session } if *session < self.sessions.len() => {
                drop(self.sessions.remove(*session));
            }
            Act::End { .. } => {}
            Act::Delete { version } => {
                let digest = self.versions.keys().nth(*version).copied();
                digest.map(|digest| self.versions.remove(&digest));
            }
            Act::Sync => self.lab.store.sync().unwrap(),
            Act::Crash => self.crash(),
            Act::Collect { early, late } => self.collect(early, late),
        }
    }

    fn with(&mut self, session: usize, work: impl FnOnce(&mut Open)) {
        if let Some(open) = self.sessions.get_mut(session) {
            work(open);
        }
    }

    fn collect(&mut self, early: &[Act], late: &[Act]) {
        let store = self.lab.store.clone();
        store
            .collect(|| {
                early.iter().for_each(|act| self.act(act));
                let roots: Vec<_> = self.versions.keys().copied().collect();
                late.iter().for_each(|act| self.act(act));
                roots
            })
            .unwrap();
        // A version deleted after the roots were read may be half there: nobody names it any more.
    }

    fn crash(&mut self) {
        self.sessions.clear();
        for path in files(&self.lab.path().join("fresh")) {
            fs::write(path, b"torn").unwrap();
        }
        self.lab.reopen();
    }

    /// All that was promised is there; after the last session and a collection nothing else is.
    fn check(&self) {
        for (digest, manifest) in &self.versions {
            assert_eq!(&self.lab.store.manifest(*digest).unwrap(), manifest);
            check_whole(&self.lab, *digest);
        }
        for open in &self.sessions {
            for chunk in &open.relied {
                assert!(
                    self.lab.store.get_plain(id(*chunk)).unwrap().is_some(),
                    "{chunk} was relied on"
                );
            }
        }
    }

    fn check_nothing_else(mut self) {
        self.sessions.clear();
        self.lab
            .store
            .collect(|| self.versions.keys().copied().collect::<Vec<_>>())
            .unwrap();
        self.check();
        let mut needed: BTreeSet<_> = self.versions.keys().copied().collect();
        needed.extend(
            self.versions
                .values()
                .flat_map(|manifest| manifest.data().filter_map(|piece| piece.id)),
        );
        let there: BTreeSet<ChunkId> = files(&self.lab.path())
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(there, needed);
    }
}

/// Saves an image of these chunks: refused exactly when one is not there.
fn save(open: &mut Open, chunks: &[u8]) {
    let mut builder = Builder::new(512, small().chunk_size).unwrap();
    chunks
        .iter()
        .for_each(|chunk| builder.push(Some(id(*chunk))));
    let manifest = builder.finish(chunks.len() as u64 * (64 << 10)).unwrap();
    let relied = chunks.iter().all(|chunk| open.relied.contains(chunk));
    match open.session.save(&manifest) {
        Ok(digest) => {
            assert_eq!(digest, manifest.digest());
            open.relied.extend(chunks);
            open.saved = Some(manifest);
        }
        Err(StoreError::Missing { .. }) => {
            assert!(!relied, "a chunk the session relied on is missing");
        }
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn no_order_of_events_loses_a_chunk_or_leaves_one(acts in acts()) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
            world.check();
        }
        world.check_nothing_else();
    }
}
