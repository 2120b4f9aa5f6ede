//! The copies beside a store: nothing twice, nothing lost, nobody kept waiting.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;
use crate::{
    state::{
        event::{Draft, Origin},
        policy::Policy,
    },
    store::{SystemClock, memory::Memory},
};

/// A store, and a mirror of it that can be stopped.
struct Place {
    store: Store,
    metrics: Arc<Metrics>,
}

impl Place {
    fn new() -> Self {
        let store = Store::open(Memory::calm(), Policy::default(), SystemClock).unwrap();
        let metrics = Arc::default();
        Self { store, metrics }
    }

    fn mirror(&self, copy: impl Target) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let (store, metrics) = (self.store.clone(), Arc::clone(&self.metrics));
        let mut mirror = Mirror::new(store, metrics, Box::new(copy));
        mirror.pause = Duration::from_millis(10);
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(mirror.run(stop)))
    }

    /// Something that the audit keeps, and something that it does not.
    async fn happens(&self, what: &str) {
        let mut draft = Draft::new("machine.changed", what);
        draft.asked_by(&Origin {
            by: Some("local:ann".to_owned()),
            ..Origin::default()
        });
        self.store.note(draft);
        self.store.note(Draft::new("boot.firmware-offered", what));
        self.store.flush().await.unwrap();
    }

    async fn counted(&self, label: &str, count: u64) {
        let all = async {
            while self.metrics.value(Counter::AuditMirror, label) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all)
            .await
            .unwrap();
    }
}

fn texts(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| serde_json::from_str::<AuditDoc>(line).unwrap().text;
    text.lines().map(line).collect()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    (folder, path)
}

#[tokio::test]
async fn a_file_goes_on_where_it_ended_and_a_torn_line_is_written_anew() {
    let (place, (_folder, path)) = (Place::new(), folder());
    let (stop, done) = place.mirror(File::new(path.clone()));
    place.happens("one").await;
    place.counted("file", 1).await;
    stop.cancel();
    done.await.unwrap();
    // Nobody copies this one as it happens, and the one after it is cut by a crash.
    place.happens("two").await;
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str(r#"{"seq":3,"at":"20"#);
    fs::write(&path, text).unwrap();
    let (stop, done) = place.mirror(File::new(path.clone()));
    place.happens("three").await;
    place.counted("file", 3).await;
    stop.cancel();
    done.await.unwrap();
    assert_eq!(texts(&path), ["one", "two", "three"]);
}

#[tokio::test]
async fn what_somebody_else_wrote_into_a_file_stays() {
    let (place, (_folder, path)) = (Place::new(), folder());
    let theirs = "no line of ours, and without an end";
    fs::write(&path, theirs).unwrap();
    let (stop, done) = place.mirror(File::new(path.clone()));
    place.happens("one").await;
    place.counted("file", 1).await;
    stop.cancel();
    done.await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (before, line) = text.split_once('\n').unwrap();
    assert_eq!(before, theirs);
    assert!(line.starts_with("{\"seq\":") && line.ends_with("}\n"));
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew() {
    let (place, (folder, path)) = (Place::new(), folder());
    let (stop, done) = place.mirror(File::new(path.clone()));
    place.happens("one").await;
    place.counted("file", 1).await;
    let old = folder.path().join("audit.1");
    fs::rename(&path, &old).unwrap();
    place.happens("two").await;
    place.counted("file", 2).await;
    stop.cancel();
    done.await.unwrap();
    assert_eq!(
        (texts(&old), texts(&path)),
        (vec!["one".into()], vec!["two".into()])
    );
}

#[tokio::test]
async fn a_copy_that_cannot_be_written_is_caught_up_and_keeps_nobody_waiting() {
    let (place, (folder, _)) = (Place::new(), folder());
    let path = folder.path().join("later/audit.jsonl");
    let (stop, done) = place.mirror(File::new(path.clone()));
    place.happens("one").await;
    place.counted("failed", 1).await;
    place.happens("two").await;
    fs::create_dir(folder.path().join("later")).unwrap();
    place.counted("file", 2).await;
    stop.cancel();
    done.await.unwrap();
    assert_eq!(texts(&path), ["one", "two"]);
}

#[tokio::test]
async fn the_journal_gets_fields_and_no_stranger_begins_one() {
    let (place, (folder, _)) = (Place::new(), folder());
    let socket = folder.path().join("journal");
    let listening = UnixDatagram::bind(&socket).unwrap();
    listening
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (stop, done) = place.mirror(Journal::at(socket));
    // It starts with what happens once it listens.
    place.happens("x\nENFORCER_BY=local:root").await;
    place.counted("journal", 1).await;
    let mut datagram = [0; 4096];
    let size = listening.recv(&mut datagram).unwrap();
    let text = String::from_utf8_lossy(&datagram[..size]).into_owned();
    stop.cancel();
    done.await.unwrap();
    for line in [
        "MESSAGE=x ENFORCER_BY=local:root",
        "PRIORITY=5",
        "ENFORCER_WHAT=machine.changed",
        "ENFORCER_BY=local:ann",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert!(text.ends_with('\n') && !text.contains("\nENFORCER_BY=local:root"));
}
