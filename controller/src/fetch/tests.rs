//! Downloads from a real file server that misbehaves in every way we know.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    assets::Sha256Hex,
    client::Reach,
    state::{
        config::{Asset, BootConfig, Evidence, Program},
        ops::SetConfig,
        policy::Policy,
    },
    store::{Redb, SystemClock},
};

const FILE: &[u8] = b"a kernel, or what passes for one";

/// Bounds that a test reaches in no time.
fn impatient() -> Limits {
    Limits {
        head: Duration::from_secs(5),
        stall: Duration::from_millis(300),
        window: Duration::from_millis(200),
        least: 1000,
        longest: 1 << 20,
        redirects: 5,
        retries: vec![Duration::from_millis(10)],
        rest: Duration::from_millis(10),
    }
}

/// A server that answers each path in its own way; counts the requests.
struct FileServer {
    at: SocketAddr,
    asked: Arc<AtomicUsize>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl FileServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, asked) = (
            listener.local_addr().unwrap(),
            Arc::new(AtomicUsize::new(0)),
        );
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let nth = count.fetch_add(1, Ordering::SeqCst);
                open.spawn(answer(stream, at, nth));
            }
        });
        Self {
            at,
            asked,
            _task: tokio_util::task::AbortOnDropHandle::new(task),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, at: SocketAddr, nth: usize) {
    let mut head = vec![0; 4096];
    let n = stream.read(&mut head).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..n]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let sent_on =
        |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let whole = |body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let sums = format!(
        "{}  ./pool/listed\n{}  ./pool/stale\n",
        sum(FILE),
        sum(b"of last week")
    );
    let bytes = match path {
        "/file" | "/pool/listed" | "/pool/stale" | "/pool/unlisted" => whole(FILE),
        "/SHA256SUMS" => whole(sums.as_bytes()),
        "/moved" => sent_on("file").into_bytes(),
        "/loop" => sent_on("/loop").into_bytes(),
        "/to-file" => sent_on("file:///etc/shadow").into_bytes(),
        "/to-socket" => sent_on("unix:///run/enforcer/api.sock").into_bytes(),
        // The same host by another of its names: the request did not name that one.
        "/to-inward" => sent_on(&format!("http://127.0.0.2:{}/file", at.port())).into_bytes(),
        "/truncated" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfew bytes".to_vec(),
        "/endless" => b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n".to_vec(),
        "/no-length" => [b"HTTP/1.0 200 OK\r\n\r\n", FILE].concat(),
        "/flaky" if nth == 0 => b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/flaky" => whole(FILE),
        "/drip" => return drip(stream).await,
        "/silent" => return silent(stream).await,
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    };
    let _ = stream.write_all(&bytes).await;
}

/// A byte now and then: never silent for long, never done.
async fn drip(mut stream: TcpStream) {
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        .await;
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn silent(mut stream: TcpStream) {
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")
        .await;
    let _ = stream.read(&mut [0; 1]).await;
}

fn sum(bytes: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(bytes);
    Sha256Hex::of(digest).into()
}

async fn got(url: String, check: Check) -> (Result<Stored, FetchError>, usize) {
    let state = tempfile::tempdir().unwrap();
    let assets = AssetFolder::open(state.path()).unwrap();
    let remote = Remote {
        url,
        check,
        failed: None,
    };
    let got = get(&remote, &assets, &impatient(), &|_| {}).await;
    let kept = std::fs::read_dir(state.path().join("assets/files")).unwrap();
    (got, kept.count())
}

#[tokio::test]
async fn a_file_is_kept_whole_also_behind_a_redirect_and_after_a_busy_moment() {
    let server = FileServer::start().await;
    for path in [
        "/flaky",
        "/file",
        "/moved",
        "/pool/listed",
        "/pool/unlisted",
    ] {
        let (stored, kept) = got(server.url(path), Check::Sha256sums).await;
        let stored = stored.unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!((stored.sha256.to_string(), kept), (sum(FILE), 1), "{path}");
    }
    let given = Check::Sum { sha256: sum(FILE) };
    let (stored, _) = got(server.url("/no-length"), given).await;
    assert_eq!(
        stored.unwrap().size,
        FILE.len() as u64,
        "its sum tells its end"
    );
}

#[tokio::test]
async fn what_is_not_the_file_is_refused_with_its_reason_and_nothing_is_left_behind() {
    let server = FileServer::start().await;
    let other = || Check::Sum {
        sha256: sum(b"another file"),
    };
    for (path, check, words) in [
        ("/file", other(), "expected was"),
        ("/pool/stale", Check::Sha256sums, "expected was"),
        ("/missing", Check::Unchecked, "404"),
        ("/truncated", Check::Unchecked, "broke after 9 bytes"),
        ("/no-length", Check::Unchecked, "how long"),
        ("/endless", Check::Unchecked, "longer than 1048576 bytes"),
        ("/loop", Check::Unchecked, "again and again"),
        ("/to-file", Check::Unchecked, "neither an http://"),
        ("/to-socket", Check::Unchecked, "neither an http://"),
        ("/to-inward", Check::Unchecked, "which is not asked"),
        ("/drip", Check::Unchecked, "too slow"),
        ("/silent", Check::Unchecked, "no byte came"),
    ] {
        let (refused, kept) = got(server.url(path), check).await;
        let refused = refused
            .err()
            .unwrap_or_else(|| panic!("{path} was taken"))
            .to_string();
        assert!(refused.contains(words), "{path}: {refused}");
        assert_eq!(kept, 0, "{path} left something behind");
    }
}

#[test]
fn this_hosts_own_servers_are_asked_only_where_a_person_named_them_outright() {
    let reach =
        |named: &str, at: &str| download::reach(&named.parse().unwrap(), &at.parse().unwrap());
    for (named, at, expected) in [
        (
            "http://127.0.0.1:81/a",
            "http://127.0.0.1:81/b",
            Reach::Anywhere,
        ),
        ("http://localhost/a", "http://localhost/b", Reach::Anywhere),
        ("http://[::1]:81/a", "http://[::1]:81/", Reach::Anywhere),
        // Another server of this host, by a redirect.
        (
            "http://127.0.0.1:81/a",
            "http://127.0.0.1:82/",
            Reach::Outward,
        ),
        (
            "http://127.0.0.1:81/a",
            "http://localhost:81/",
            Reach::Outward,
        ),
        ("http://mirror/a", "http://127.0.0.1/", Reach::Outward),
        // A name server that says a mirror is here.
        ("http://mirror/a", "http://mirror/a", Reach::Outward),
    ] {
        assert_eq!(reach(named, at), expected, "{named} -> {at}");
    }
}

/// The config once nothing of it is being fetched.
async fn settled(store: &Store, name: &ConfigName) -> BootConfig {
    let mut changes = store.subscribe();
    loop {
        let config = BootConfig::clone(store.view().config(name).unwrap());
        if !config.program.assets().any(Asset::is_wanted) {
            return config;
        }
        changes.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_config_gets_its_files_and_tells_why_one_is_not_here() {
    let server = FileServer::start().await;
    let state = tempfile::tempdir().unwrap();
    let assets = AssetFolder::open(state.path()).unwrap();
    let store = Store::open(
        Redb::open(state.path().join("enforcer.redb")).unwrap(),
        Policy::default(),
        SystemClock,
    )
    .unwrap();
    let program = Program::Kernel {
        kernel: Asset::remote("linux", server.url("/pool/listed"), Check::Sha256sums),
        initrds: vec![Asset::remote(
            "initrd",
            server.url("/missing"),
            Check::Unchecked,
        )],
        cmdline: String::new(),
    };
    let name: ConfigName = "debian".parse().unwrap();
    let config = BootConfig::new(
        name.clone(),
        program,
        Default::default(),
        Evidence::Callback,
    );
    store
        .apply(SetConfig(config.clone()))
        .await
        .unwrap()
        .unwrap();

    let (fetcher, stop) = (Fetcher::default(), CancellationToken::new());
    let run = fetcher
        .clone()
        .run(store.clone(), assets.clone(), impatient(), stop.clone());
    let run = tokio::spawn(run);
    let settled = settled(&store, &name).await;
    let kernel = settled.program.assets().next().unwrap();
    assert_eq!(kernel.sha256, Some(sum(FILE)));
    assert!(settled.missing()[0].starts_with("initrd: ") && settled.missing()[0].contains("404"));
    let asked = server.asked();
    assert_eq!(
        settled.revision, 1,
        "fetching is no change of what a person said"
    );

    // The same words again: what failed is wanted again, what is here by its listed sum is not sent again.
    store.apply(SetConfig(config)).await.unwrap().unwrap();
    assert_eq!(
        store.view().config(&name).unwrap().missing(),
        ["linux is being fetched", "initrd is being fetched"]
    );
    fetcher.kick();
    let _ = self::settled(&store, &name).await;
    assert!(server.asked() > asked);
    stop.cancel();
    run.await.unwrap();
}
