//! Claims about Consul, against a server that was written from its API's pages: nobody here has met a live Consul.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    metrics::Metrics,
    providers::{ProviderAddress, ProviderSettings, Providers},
    state::{View, member::MemberState, policy::Policy},
    store::{Store, SystemClock, memory::Memory},
};

/// What never comes fails a test instead of hanging it.
const SOON: Duration = Duration::from_secs(30);
const TOKEN: &str = "5a7e-token";

/// What the server says, and behind which index.
#[derive(Clone)]
struct State {
    index: u64,
    nodes: String,
    checks: String,
}

fn state(index: u64, status: &str) -> State {
    State {
        index,
        nodes: r#"[{"Node":"bay-1","Address":"10.1.10.12","Meta":{"mac":"02:00:00:00:00:07"}}]"#
            .to_owned(),
        checks: format!(r#"[{{"Node":"bay-1","CheckID":"serfHealth","Status":"{status}"}}]"#),
    }
}

/// A server of the two pages, with blocking queries and an ACL token.
struct Server {
    at: SocketAddr,
    state: watch::Sender<State>,
    /// The questions, as they came.
    asked: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(first: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(first);
        let (note, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, seen.clone(), note.clone()));
            }
        });
        Self { at, state, asked }
    }
}

async fn answer(
    stream: TcpStream,
    mut seen: watch::Receiver<State>,
    note: mpsc::UnboundedSender<String>,
) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let Some(target) = head.first().and_then(|line| line.split(' ').nth(1)) else {
        return;
    };
    let _ = note.send(target.to_owned());
    let with_token = head
        .iter()
        .any(|h| h.eq_ignore_ascii_case(&format!("x-consul-token: {TOKEN}")));
    if !with_token {
        let refused = "HTTP/1.1 403 Forbidden\r\ncontent-length: 17\r\n\r\nPermission denied";
        let _ = stream.write_all(refused.as_bytes()).await;
        return;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: HashMap<&str, &str> = query.split('&').filter_map(|p| p.split_once('=')).collect();
    let index: u64 = query.get("index").map_or(0, |i| i.parse().unwrap());
    // The other side may go while it waits.
    let mut gone = [0; 1];
    tokio::select! {
        _ = seen.wait_for(|s| index == 0 || s.index != index) => {}
        _ = stream.read(&mut gone) => return,
    }
    let now = seen.borrow().clone();
    let body = match path {
        "/v1/catalog/nodes" => now.nodes,
        "/v1/health/state/any" => now.checks,
        other => panic!("{other}"),
    };
    let (index, length) = (now.index, body.len());
    let head =
        format!("HTTP/1.1 200 OK\r\nX-Consul-Index: {index}\r\ncontent-length: {length}\r\n\r\n");
    let _ = stream.write_all((head + &body).as_bytes()).await;
}

/// A followed server; what was written down, and the end of it all.
struct Followed {
    store: Store,
    metrics: Arc<Metrics>,
    _stop: tokio_util::sync::DropGuard,
    _tasks: tokio::task::JoinSet<()>,
    folder: tempfile::TempDir,
}

fn follow(at: SocketAddr, token: &str) -> Followed {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let settings = ProviderSettings {
        name: "dc1".parse().unwrap(),
        at: ProviderAddress::Consul {
            url: format!("http://{at}/"),
            ca_file: None,
        },
        secret_file: Some(file),
    };
    let store = Store::open(Memory::contended(5), Policy::default(), SystemClock).unwrap();
    let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
    let mut tasks = tokio::task::JoinSet::new();
    let _providers = Providers::start(&store, &metrics, &[settings], &mut tasks, &stop);
    Followed {
        store,
        metrics,
        _stop: stop.drop_guard(),
        _tasks: tasks,
        folder,
    }
}

async fn until(store: &Store, what: &str, look: impl Fn(&View) -> bool) {
    let mut changed = store.subscribe();
    let seen = async {
        while !look(&store.view()) {
            changed.changed().await.expect("the store lives");
        }
    };
    timeout(SOON, seen).await.expect(what);
}

fn bay_1(view: &View) -> Option<MemberState> {
    let (dc1, bay_1) = ("dc1".parse().unwrap(), "bay-1".parse().unwrap());
    view.provider_member(&dc1, &bay_1).map(|m| m.state)
}

#[tokio::test]
async fn nodes_become_members_and_a_change_comes_by_a_blocking_query() {
    let mut server = Server::start(state(51, "passing")).await;
    let followed = follow(server.at, TOKEN);
    until(&followed.store, "alive", |v| {
        bay_1(v) == Some(MemberState::Alive)
    })
    .await;
    assert_eq!(followed.store.view().machines().count(), 1);
    assert_eq!(server.asked.recv().await.unwrap(), "/v1/catalog/nodes");
    assert_eq!(server.asked.recv().await.unwrap(), "/v1/health/state/any");
    let waits = [
        server.asked.recv().await.unwrap(),
        server.asked.recv().await.unwrap(),
    ];
    assert!(
        waits.contains(&"/v1/catalog/nodes?index=51&wait=60s".to_owned()),
        "{waits:?}"
    );
    assert!(
        waits.contains(&"/v1/health/state/any?index=51&wait=60s".to_owned()),
        "{waits:?}"
    );
    server.state.send_replace(state(52, "critical"));
    until(&followed.store, "down", |v| {
        bay_1(v) == Some(MemberState::Down)
    })
    .await;
}

#[tokio::test]
async fn an_index_that_goes_backwards_is_forgotten() {
    let mut server = Server::start(state(900, "passing")).await;
    let followed = follow(server.at, TOKEN);
    until(&followed.store, "alive", |v| {
        bay_1(v) == Some(MemberState::Alive)
    })
    .await;
    // A snapshot was restored.
    server.state.send_replace(state(7, "critical"));
    until(&followed.store, "down", |v| {
        bay_1(v) == Some(MemberState::Down)
    })
    .await;
    server.state.send_replace(state(8, "passing"));
    until(&followed.store, "alive again", |v| {
        bay_1(v) == Some(MemberState::Alive)
    })
    .await;
    let mut asked = Vec::new();
    while let Ok(target) = server.asked.try_recv() {
        asked.push(target);
    }
    let anew = asked.iter().filter(|t| !t.contains('?')).count();
    assert!(anew > 2, "it started anew: {asked:?}");
}

#[tokio::test]
async fn a_wrong_token_is_told_in_consuls_words_until_the_file_has_the_right_one() {
    let server = Server::start(state(51, "passing")).await;
    let followed = follow(server.at, "wrong");
    until(&followed.store, "told", |v| {
        v.events_after(0)
            .any(|e| e.draft.text.contains("403 Permission denied"))
    })
    .await;
    assert!(
        followed
            .metrics
            .value(crate::metrics::Counter::ProviderFaults, "refused")
            >= 2
    );
    let told: Vec<String> = followed
        .store
        .view()
        .events_after(0)
        .map(|e| e.draft.text.clone())
        .collect();
    assert!(told.iter().all(|text| !text.contains("wrong")), "{told:?}");
    std::fs::write(followed.folder.path().join("token"), TOKEN).unwrap();
    until(&followed.store, "alive", |v| {
        bay_1(v) == Some(MemberState::Alive)
    })
    .await;
}

#[tokio::test]
async fn what_is_no_consul_changes_nothing() {
    for (nodes, label) in [
        ("<html>".to_owned(), "garbled"),
        ("[".repeat(100_000), "garbled"),
        (" ".repeat(MAX_ANSWER + 1), "too-long"),
    ] {
        let server = Server::start(State {
            nodes,
            ..state(51, "passing")
        })
        .await;
        let followed = follow(server.at, TOKEN);
        until(&followed.store, "silent", |v| {
            v.events_after(0).any(|e| e.draft.kind == "provider.silent")
        })
        .await;
        assert!(
            followed
                .metrics
                .value(crate::metrics::Counter::ProviderFaults, label)
                >= 2,
            "{label}"
        );
        assert_eq!(followed.store.view().provider_members().count(), 0);
    }
}
