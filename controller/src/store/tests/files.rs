//! The database's file: not usable, of another version, cut short, damaged.

use std::path::PathBuf;

use super::*;
use crate::{state::hold::Hold, store::records};

fn refused(path: &Path) -> String {
    sentence(Redb::open(path))
}

#[test]
fn a_place_that_cannot_be_used_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enforcer.redb");
    let first = Redb::open(&path).unwrap();
    let told = refused(&path);
    assert!(told.starts_with("another enforcer uses "), "{told}");
    drop(first);
    Redb::open(&path).unwrap();

    let told = refused(&folder.path().join("none/enforcer.redb"));
    assert!(told.contains("does not exist; create its folder"), "{told}");

    std::fs::write(&path, vec![7; 9_000]).unwrap();
    let told = refused(&path);
    assert!(
        told.contains("is damaged") && told.contains("backup"),
        "{told}"
    );

    // Never a new database in place of one that was there.
    std::fs::write(&path, "").unwrap();
    let told = refused(&path);
    assert!(
        told.contains("is damaged") && told.contains("empty"),
        "{told}"
    );

    let old = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
    let told = BackendError::from_io("/srv", old).to_string();
    assert!(
        told.starts_with("/srv cannot be written; run enforcer as"),
        "{told}"
    );
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enforcer.redb");
    drop(Redb::open(&path).unwrap());
    let meta = redb::TableDefinition::<&str, u32>::new("meta");
    let database = redb::Database::open(&path).unwrap();
    let writing = database.begin_write().unwrap();
    writing
        .open_table(meta)
        .unwrap()
        .insert("schema", 9)
        .unwrap();
    writing.commit().unwrap();
    drop(database);
    let told = refused(&path);
    assert!(
        told.contains("newer enforcer (schema 9, this one knows 3)"),
        "{told}"
    );
}

#[test]
fn a_file_of_an_older_version_is_read_and_then_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enforcer.redb");
    drop(Redb::open(&path).unwrap());
    let write = |schema: u32, row: Option<&[u8]>| {
        let meta = redb::TableDefinition::<&str, u32>::new("meta");
        let machines = redb::TableDefinition::<&[u8], &[u8]>::new("machines");
        let database = redb::Database::open(&path).unwrap();
        let writing = database.begin_write().unwrap();
        let before = writing
            .open_table(meta)
            .unwrap()
            .insert("schema", schema)
            .unwrap()
            .map(|row| row.value());
        if let Some(row) = row {
            let mut table = writing.open_table(machines).unwrap();
            table.insert(b"0000000000000001".as_slice(), row).unwrap();
        }
        writing.commit().unwrap();
        before
    };
    // As version 1 wrote it.
    let machine = br#"{"id":"0000000000000001","name":"web1","standing":"registered","macs":["02:00:00:00:00:01"],
        "discovery":{"at":"2026-01-01T00:00:00Z","session":"s"},
        "first_seen":"2026-01-01T00:00:00Z","last_seen":"2026-01-01T00:00:00Z"}"#;
    write(1, Some(machine));
    let store = open(Redb::open(&path).unwrap());
    let view = store.view();
    let known = view.machine_by_mac(MAC).unwrap();
    assert!(known.accepted.is_none() && known.discovery.as_ref().unwrap().secret.is_none());
    drop(store);
    drop(view);
    let redb = loop {
        // The store's thread lets the file go in its own time.
        match Redb::open(&path) {
            Ok(redb) => break redb,
            Err(BackendError::InUse { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    drop(redb);
    assert_eq!(
        write(3, None),
        Some(3),
        "an older program refuses it from now on"
    );
}

#[test]
fn a_making_cut_short_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enforcer.redb");
    std::fs::write(path.with_extension("new"), vec![0; 5_000]).unwrap();
    let store = Store::open(Redb::open(&path).unwrap(), Policy::default(), SystemClock).unwrap();
    assert_eq!(store.view().machines().count(), 0);
}

#[test]
fn a_row_that_cannot_be_read_is_damage_and_never_skipped() {
    let mut memory = Memory::calm();
    let row = |key: &[u8], value: &[u8]| RawWrite {
        table: crate::store::Table::Leases,
        key: key.into(),
        value: Some(value.into()),
    };
    let good = br#"{"mac":"02:00:00:00:00:01","ip":"10.0.0.9","expires":"2026-01-01T00:00:00Z","later":1}"#;
    memory.commit(&[row(&MAC.0, good)]).unwrap();
    let store = open(memory.clone());
    assert!(
        store.view().lease(MAC).is_some(),
        "unknown fields are ignored"
    );
    for bad in [row(&[9; 6], good), row(&MAC.0, b"{}"), row(&MAC.0, b"")] {
        let mut memory = memory.clone();
        memory.commit(&[bad]).unwrap();
        let clock = ManualClock::new(start());
        let told = sentence(Store::open(memory, Policy::default(), clock));
        assert!(told.contains("is damaged (a row of table leases"), "{told}");
    }
}

/// A machine with one of everything that is known about machines, images and people.
struct Everything;

impl Transition for Everything {
    type Outcome = ();

    fn run(&self, _: &View, now: Timestamp) -> (Changes, ()) {
        let (id, mac) = (MachineId::from_random(7), MacAddr([2, 0, 0, 0, 0, 7]));
        let mut machine = Machine::seen(id, mac, now);
        machine.name = "web1".parse().unwrap();
        machine.owner = Some("ann".parse().unwrap());
        machine.labels = [("pool".parse().unwrap(), "web".parse().unwrap())].into();
        machine.hold = Some(Hold {
            holder: "ann".parse().unwrap(),
            until: now,
            by: "local:ann".to_owned(),
        });
        let mut changes = Changes::none();
        for record in records::all(&machine.id, now) {
            changes.write(record);
        }
        changes.write(machine);
        changes.event(Draft::new("test.kept", "it was kept"));
        (changes, ())
    }
}

/// Where the stores are kept that programs of earlier versions left.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// What of its kind a store holds.
fn counts(view: &View) -> [usize; 6] {
    [
        view.images().count(),
        view.deployments().count(),
        view.rollouts().count(),
        view.setups().count(),
        view.webhooks().count(),
        view.users().count(),
    ]
}

/// With `ENFORCER_KEEP_STORE=schema-4` in its environment it also keeps the store for those who come: once per finished
/// issue that changed what is stored.
#[tokio::test]
async fn a_store_with_one_of_everything_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enforcer.redb");
    let store = open(Redb::open(&path).unwrap());
    store.apply(Everything).await.unwrap();
    let before = store.view();
    store.close().await;
    if let Ok(name) = std::env::var("ENFORCER_KEEP_STORE") {
        let packed = zstd::encode_all(&std::fs::read(&path).unwrap()[..], 19).unwrap();
        std::fs::write(fixtures().join(format!("store-{name}.redb.zst")), packed).unwrap();
    }
    let store = open(Redb::open(&path).unwrap());
    assert_eq!(counts(&store.view()), [1; 6]);
    assert_eq!(*store.view(), *before);
}

#[tokio::test]
async fn the_stores_of_every_earlier_version_open_and_are_used_on() {
    let kept = std::fs::read_dir(fixtures()).unwrap();
    let mut kept: Vec<PathBuf> = kept.map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    let names = kept
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["store-schema-2.redb.zst", "store-schema-3.redb.zst"]
    );
    for (from, expected) in kept.iter().zip([[0; 6], [1; 6]]) {
        let from = from.display();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("enforcer.redb");
        let packed = std::fs::read(from.to_string()).unwrap();
        std::fs::write(&path, zstd::decode_all(&packed[..]).unwrap()).unwrap();
        let store = open(Redb::open(&path).unwrap());
        let view = store.view();
        let web1 = view.machine_by_name(&"web1".parse().unwrap()).unwrap();
        assert_eq!(web1.labels.len(), expected[0], "{from}");
        assert_eq!(web1.hold.is_some(), expected[0] > 0, "{from}");
        assert_eq!(counts(&view), expected, "{from}");
        assert!(view.events_after(0).count() > 0, "{from}");
        if expected[0] == 0 {
            let armed = view.activations_of(&web1.id).next().unwrap();
            assert_eq!(armed.config.name.to_string(), "live", "{from}");
        }
        store.apply(Count).await.unwrap();
        store.close().await;
        assert_eq!(count(&open(Redb::open(&path).unwrap()).view()), 1, "{from}");
    }
}
