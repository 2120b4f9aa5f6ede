//! Claims about providers that misbehave: each is told, counted, and changes nothing else.

use std::{future::Future, net::SocketAddr};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{
    serf::{Garbled, Patience},
    *,
};
use crate::{
    state::{
        View,
        member::MemberState,
        policy::Policy,
        provider::{Heard, ProviderKind, Tags},
    },
    store::{SystemClock, memory::Memory},
};

/// What never comes fails a test instead of hanging it.
const SOON: Duration = Duration::from_secs(30);
/// Impatient enough for a test.
const QUICK: Patience = Patience {
    answer: Duration::from_millis(300),
    list_every: Duration::from_millis(100),
};

fn store() -> Store {
    Store::open(Memory::contended(5), Policy::default(), SystemClock).unwrap()
}

fn settings(at: SocketAddr) -> ProviderSettings {
    ProviderSettings {
        name: "lab".parse().unwrap(),
        at: ProviderAddress::Serf {
            host: at.ip().to_string(),
            port: at.port(),
        },
        secret_file: None,
    }
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "Seq")]
    seq: u64,
    #[serde(rename = "Error")]
    error: &'a str,
}

/// The heads of answers to the requests of these numbers.
fn good(seqs: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let head = |seq| rmp_serde::to_vec_named(&Head { seq, error: "" }).unwrap();
    seqs.into_iter().flat_map(head).collect()
}

/// A list with one member of this state.
fn one(status: &str) -> Vec<u8> {
    let mut bytes =
        b"\x81\xa7Members\x91\x83\xa4Name\xa2n1\xa4Tags\x81\xa3mac\xb102:00:00:00:00:07\xa6Status"
            .to_vec();
    bytes.push(0xa0 | u8::try_from(status.len()).unwrap());
    bytes.extend(status.as_bytes());
    bytes
}

/// An agent that serves each connection so.
async fn agent<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (at, serving)
}

/// One that sends these bytes and then waits for the other side to go.
async fn says(bytes: Vec<u8>) -> SocketAddr {
    let (at, _) = agent(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            // The other side may have gone before everything was sent.
            let _ = stream.write_all(&bytes).await;
            while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
        }
    })
    .await;
    at
}

/// How following the agent there ends.
async fn end_of(at: SocketAddr, store: &Store) -> ProviderError {
    let metrics = Arc::new(Metrics::default());
    let mut serf = Serf::new(&at.ip().to_string(), at.port(), None);
    serf.patience = QUICK;
    let mut hearing = Hearing::new(&settings(at), store, &metrics);
    let followed = tokio::time::timeout(SOON, serf.follow(&mut hearing));
    followed.await.expect("it ends")
}

#[tokio::test]
async fn what_a_hostile_agent_sends_ends_the_conversation_and_nothing_else() {
    let listed = || [good([1, 2, 3]), one("alive")].concat();
    let refused = rmp_serde::to_vec_named(&Head {
        seq: 1,
        error: "not\x1b[2J for you",
    });
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "HTTP",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "garbled",
        ),
        (
            "gigabytes",
            [good([1, 2, 3]), b"\xdd\xff\xff\xff\xff".to_vec()].concat(),
            "too-long",
        ),
        (
            "a nest",
            [good([1, 2, 3]), vec![0x91; 50_000], vec![0xc0]].concat(),
            "garbled",
        ),
        ("half an answer", good([1, 2, 3])[..30].to_vec(), "late"),
        ("silence", Vec::new(), "late"),
        ("no list again", listed(), "late"),
        (
            "an answer to nothing",
            [listed(), good([77])].concat(),
            "garbled",
        ),
        ("a refusal", refused.unwrap(), "refused"),
    ];
    for (what, bytes, label) in rows {
        let store = store();
        let error = end_of(says(bytes).await, &store).await;
        assert_eq!(error.label(), label, "{what}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
        assert!(store.view().provider_members().count() <= 1, "{what}");
    }
}

#[tokio::test]
async fn one_that_drips_is_late_and_one_that_goes_is_gone() {
    let (dripping, _) = agent(|mut stream| async move {
        for byte in good([1, 2, 3]).into_iter().cycle() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let error = end_of(dripping, &store()).await;
    assert_eq!(error.label(), "late", "{error}");
    let (going, _) = agent(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    assert_eq!(end_of(going, &store()).await.label(), "closed");
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_a_missing_key_names_its_file() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(end_of(at, &store()).await.label(), "unreachable");
    let missing = read_secret(Path::new("/nowhere/serf.key"))
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("/nowhere/serf.key"),
        "{missing}"
    );
}

/// Waits until the view is so.
async fn until(store: &Store, what: &str, look: impl Fn(&View) -> bool) {
    let mut changed = store.subscribe();
    let seen = async {
        while !look(&store.view()) {
            changed.changed().await.expect("the store lives");
        }
    };
    tokio::time::timeout(SOON, seen).await.expect(what);
}

fn state_of_n1(view: &View) -> Option<MemberState> {
    let (lab, n1) = ("lab".parse().unwrap(), "n1".parse().unwrap());
    view.provider_member(&lab, &n1).map(|m| m.state)
}

#[tokio::test]
async fn members_of_one_that_went_are_not_heard_of_until_it_is_back() {
    let store = store();
    let metrics = Arc::new(Metrics::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let providers = Providers::start(&store, &metrics, &[settings(at)], &mut tasks, &stop);
    assert_eq!(providers.all()[0].address, at.to_string());
    assert_eq!(providers.all()[0].health.state, HealthState::Starting);
    let mut health = providers.0.providers[&"lab".parse().unwrap()]
        .health
        .clone();
    let mut until_it_is = async |state| {
        let became = health.wait_for(|h| h.state == state);
        let became = tokio::time::timeout(SOON, became).await;
        became.expect("it changes").unwrap().clone()
    };
    let list = || [good([1, 2, 3]), one("alive")].concat();
    let (mut first, _) = listener.accept().await.unwrap();
    first.write_all(&list()).await.unwrap();
    until(&store, "n1 alive", |v| {
        state_of_n1(v) == Some(MemberState::Alive)
    })
    .await;
    assert_eq!(until_it_is(HealthState::Answering).await.failure, None);
    // It goes, and twice more: the first time may be a restart.
    drop(first);
    drop(listener.accept().await.unwrap());
    until(&store, "n1 not heard of", |v| {
        state_of_n1(v) == Some(MemberState::Unreachable)
    })
    .await;
    let silent = until_it_is(HealthState::Silent).await;
    assert_eq!(silent.failures, 2);
    let failure = silent.failure.unwrap();
    assert_eq!(
        (failure.kind, &*failure.reason),
        ("closed", "it closed the connection")
    );
    let again = silent.next_attempt.unwrap().duration_since(failure.at);
    assert!(
        (1_500..=2_000).contains(&again.as_millis()),
        "the second wait: {again:?}"
    );
    let machine = store.view().machines().next().unwrap().clone();
    assert_eq!(store.view().provider_members_of(&machine.id).count(), 1);
    let (mut again, _) = listener.accept().await.unwrap();
    again.write_all(&list()).await.unwrap();
    until(&store, "n1 alive again", |v| {
        v.events_after(0).any(|e| e.draft.kind == "provider.back")
    })
    .await;
    assert_eq!(state_of_n1(&store.view()), Some(MemberState::Alive));
    assert!(metrics.value(Counter::ProviderFaults, "closed") >= 2);
    let back = until_it_is(HealthState::Answering).await;
    assert_eq!(back.failures, 0);
    assert_eq!(
        (back.next_attempt, back.failure.unwrap().kind),
        (None, "closed")
    );
    let told = |kind: &str| {
        store
            .view()
            .events_after(0)
            .filter(|e| e.draft.kind == kind)
            .count()
    };
    assert_eq!(told("provider.silent"), 1);
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}

#[tokio::test]
async fn an_acknowledgement_of_another_member_settles_nothing() {
    let record = |kind: &str, from: &str| {
        let text = |t: &str| [vec![0xa0 | u8::try_from(t.len()).unwrap()], t.into()].concat();
        [
            good([2]),
            b"\x82\xa4Type".to_vec(),
            text(kind),
            b"\xa4From".to_vec(),
            text(from),
        ]
        .concat()
    };
    let node: NodeName = "n1".parse().unwrap();
    for (records, expected) in [
        (
            vec![record("ack", "n2"), record("done", "")],
            CommandWord::Expired,
        ),
        (
            vec![record("ack", "n2"), record("ack", "n1")],
            CommandWord::Done("n1 has the query".to_owned()),
        ),
    ] {
        let at = says([good([1, 2]), records.concat()].concat()).await;
        let serf = Serf::new(&at.ip().to_string(), at.port(), None);
        assert_eq!(serf.reboot(&node).await, expected);
    }
    let mut serf = Serf::new("127.0.0.1", says(Vec::new()).await.port(), None);
    serf.patience = QUICK;
    let lost = serf.reboot(&node).await;
    assert!(matches!(lost, CommandWord::Lost(_)), "{lost:?}");
    assert_eq!(ProviderError::from(Garbled::TooLong).label(), "too-long");
}

#[tokio::test]
async fn a_full_list_is_taken_in_pieces_and_what_is_beyond_is_told() {
    let (store, metrics) = (store(), Arc::new(Metrics::default()));
    let at = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut hearing = Hearing::new(&settings(at), &store, &metrics);
    let heard = |n: usize| Heard {
        node: format!("n{n}").parse().unwrap(),
        address: None,
        state: MemberState::Alive,
        why: String::new(),
        tags: Tags::default(),
    };
    hearing.all((0..700).map(heard).collect(), 3).await.unwrap();
    assert_eq!(store.view().provider_members().count(), 700);
    assert_eq!(metrics.value(Counter::ProviderFaults, "passed-over"), 1);
    assert!(
        store.view().event_count() < 300,
        "the record is not flooded"
    );
    hearing
        .gone((0..600).map(|n| heard(n).node).collect())
        .await
        .unwrap();
    assert_eq!(store.view().provider_members().count(), 100);
    assert_eq!(
        store.view().provider_members().next().unwrap().kind,
        ProviderKind::Serf
    );
}
