//! Claims about tokens for machines with some labels: they reach those and nothing else, on every endpoint there is.

use std::{collections::BTreeSet, convert::Infallible};

use axum::{
    body::Body,
    http::{Request, header},
    response::sse::{Event as SseEvent, Sse},
    routing::get,
};
use futures_util::stream;
use http_body_util::BodyExt as _;
use ipxe::MacAddr;
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};
use tower::ServiceExt as _;

use super::{Site, access_table, described};
use crate::{
    http::{
        auth::{Access, AccessTable, Reach, Role},
        guarded,
        known::TokenRate,
        router,
    },
    state::{
        Changes, Timestamp, Transition, View, Write,
        event::Draft,
        machine::{Machine, MachineId, Standing},
    },
    store::records,
};

const ROOT: (&str, Role) = ("local:root", Role::Admin);
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 1, 2]);

fn id(n: u64) -> MachineId {
    MachineId::from_random(n)
}

const END: &str = "POST /api/v1/activations/deactivate-selector";

/// A machine of ours, and one that has a record of every kind.
struct Two;

impl Transition for Two {
    type Outcome = ();

    fn run(&self, _view: &View, _now: Timestamp) -> (Changes, ()) {
        // Written again it is the same.
        let now = Timestamp::UNIX_EPOCH;
        let mut changes = Changes::none();
        for (n, mac, name, pool) in [(1, OURS, "web1", "web"), (2, THEIRS, "db1", "db")] {
            let mut machine = Machine::seen(id(n), mac, now);
            machine.name = name.parse().unwrap();
            machine.standing = Standing::Accepted;
            machine.labels = [("pool".parse().unwrap(), pool.parse().unwrap())].into();
            changes.event(Draft::new("machine.seen", format!("{name} asked")).machine(&id(n)));
            changes.event(Draft::new("boot.told", format!("{mac} asked")).mac(mac));
            changes.write(machine);
        }
        changes.event(Draft::new("site.changed", "all of db1's house was changed"));
        let all = records::all(&id(2), now).into_iter().map(Write::Put);
        changes.writes.extend(all);
        (changes, ())
    }
}

/// A site with the two, a boot config that is due for the other one, and the token for ours.
async fn scoped() -> (Site, String) {
    let site = Site::new();
    // Live streams end at once.
    site.api.stop.cancel();
    site.api.store.apply(Two).await.unwrap();
    let config =
        json!({"program": {"type": "ipxe", "script": "#!ipxe\necho\n"}, "evidence": "callback"});
    let due = json!({"machine": "db1", "kind": "one-shot"});
    for (method, path, body) in [
        ("PUT", "/api/v1/boot-configs/live", config),
        ("POST", "/api/v1/boot-configs/live/activate", due),
    ] {
        let (status, told) = site.as_caller(ROOT, method, path, body).await;
        assert!(status.is_success(), "{path}: {told}");
    }
    let made = json!({"name": "web", "role": "admin", "labels": "pool=web"});
    let token = site.token(ROOT, made).await;
    (site, token)
}

impl Site {
    /// The status and the text of what this token is told.
    async fn tells(&self, token: &str, endpoint: &str, body: &Value) -> (u16, String) {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, token);
        let request = request.header("last-event-id", "0").body(body).unwrap();
        // Every endpoint is asked within a second, which is more often than one token may.
        let mut api = self.api.clone();
        api.token_rate = TokenRate::default();
        let response = router(api).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Method and endpoint, what stands for the name in its path or behind it, the body, and the answer's status.
type Handled<'a> = (&'static str, &'a str, Value, u16);

/// What each handler that looks itself is asked about the other machine, and its answer. What is asked without a name of theirs
/// lists.
fn handled(due: &str) -> Vec<Handled<'_>> {
    let theirs = json!({"machine": "db1"});
    let selected = json!({"selector": "pool=db"});
    let mut all = activated();
    all.extend(deployed());
    all.extend([
        ("GET /machines", "", Value::Null, 200),
        ("GET /machines", "?site=all", Value::Null, 403),
        ("GET /machines", "?label=pool%3Ddb", Value::Null, 200),
        ("GET /commands", "", Value::Null, 200),
        ("GET /commands", "?machine=db1", Value::Null, 404),
        ("GET /commands/{id}", "300", Value::Null, 404),
        ("GET /members", "", Value::Null, 200),
        ("GET /http_sd", "", Value::Null, 200),
        ("POST /activations/deactivate", "", theirs, 404),
        ("POST /activations/deactivate-selector", "", selected, 409),
        ("GET /activations", "", Value::Null, 200),
        ("GET /activations", "?machine=db1", Value::Null, 404),
        ("GET /activations/{id}", due, Value::Null, 404),
        ("GET /events", "", Value::Null, 200),
        ("GET /events", THEIR_EVENTS, Value::Null, 200),
        ("GET /events", "?machine=db1", Value::Null, 404),
        ("GET /events/stream", "", Value::Null, 200),
        ("GET /events/stream", "?site=lab", Value::Null, 403),
    ]);
    all
}

/// The events of their address: nobody knows whose it is.
const THEIR_EVENTS: &str = "?machine=02:00:00:00:01:02";

fn activated() -> Vec<Handled<'static>> {
    let theirs = json!({"machine": "db1", "kind": "one-shot"});
    let by_helper = json!({"machine": "web1", "kind": "one-shot", "helper": "db1"});
    let selected = json!({"selector": "pool=db", "kind": "one-shot"});
    let (one, some) = (
        "POST /boot-configs/{name}/activate",
        "POST /boot-configs/{name}/activate-selector",
    );
    vec![
        (one, "live", theirs, 404),
        (one, "live", by_helper, 404),
        (some, "live", selected, 409),
    ]
}

fn deployed() -> Vec<Handled<'static>> {
    let erase = json!({"machine": "db1", "erase": "zero"});
    let stream = "GET /deployments/stream";
    let (cancel, later) = (
        "POST /deployments/{deployment}/cancel",
        "POST /deployments/{deployment}/move",
    );
    vec![
        ("GET /deployments", "", Value::Null, 200),
        ("GET /deployments", "?machine=db1", Value::Null, 404),
        ("GET /deployments/{deployment}", "400", Value::Null, 404),
        (stream, "?deployments=400", Value::Null, 404),
        (stream, "?rollout=5", Value::Null, 403),
        ("POST /deployments", "", erase, 404),
        (cancel, "400", Value::Null, 404),
        (later, "400", json!({"to": 0}), 404),
    ]
}

fn has_theirs(text: &str) -> bool {
    let signs = ["db1".to_owned(), id(2).to_string(), THEIRS.to_string()];
    signs.iter().any(|sign| text.contains(sign))
}

/// Everything about the other machine that people change.
fn theirs(site: &Site) -> String {
    let view = site.api.store.view();
    let activations: Vec<_> = view.activations().collect();
    let power = view.power(&id(2)).map(|p| p.address.to_string());
    format!(
        "{:?} {activations:?} {:?} {power:?}",
        view.machine(&id(2)),
        view.deployments().collect::<Vec<_>>(),
    )
}

#[tokio::test]
async fn on_no_endpoint_there_is_anything_of_a_machine_without_the_labels() {
    let (site, token) = scoped().await;
    let (table, before) = (access_table(), theirs(&site));
    let mut counts = [0; 3];
    for (path, method) in described() {
        let reach = table.reach(&path, method);
        if reach == Reach::Handler {
            continue;
        }
        let uri = path.replace("{machine}", "db1").replace(['{', '}'], "");
        let endpoint = format!("{method} {uri}");
        let (status, text) = site.tells(&token, &endpoint, &Value::Null).await;
        let told = format!("{endpoint}: {status} {text}");
        match reach {
            Reach::Site => assert!(status == 403 && text.contains("pool=web"), "{told}"),
            Reach::Machine => assert!(
                status == 404 && text.contains("machine-not-found"),
                "{told}"
            ),
            Reach::Caller | Reach::Handler => assert!(!has_theirs(&text), "{told}"),
        }
        if reach == Reach::Machine {
            let ours = endpoint.replace("db1", "web1");
            let (status, text) = site.tells(&token, &ours, &Value::Null).await;
            let refused = status == 403 || text.contains("machine-not-found");
            // It was deleted on the way.
            let gone = site.api.store.view().machine(&id(1)).is_none();
            assert!(!refused || gone, "{ours}: {status} {text}");
            if gone {
                site.api.store.apply(Two).await.unwrap();
            }
        }
        counts[reach as usize] += 1;
    }
    assert!(counts[0] > 40 && counts[2] > 12, "{counts:?}");
    assert_eq!(theirs(&site), before);
}

#[tokio::test]
async fn handlers_that_look_themselves_show_and_change_nothing_of_others() {
    let (site, token) = scoped().await;
    let (table, before) = (access_table(), theirs(&site));
    let mut asked = BTreeSet::new();
    let view = site.api.store.view();
    let due = view.activations().next().unwrap().id.0.to_string();
    for (endpoint, argument, body, expected) in handled(&due) {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let template = format!("/api/v1{path}");
        assert_eq!(table.reach(&template, method), Reach::Handler, "{endpoint}");
        asked.insert((method.to_owned(), template.clone()));
        let uri = match template.split_once('{') {
            Some((start, rest)) => format!("{start}{argument}{}", rest.split_once('}').unwrap().1),
            None => format!("{template}{argument}"),
        };
        let (status, text) = site.tells(&token, &format!("{method} {uri}"), &body).await;
        assert_eq!(status, expected, "{method} {uri}: {text}");
        // Problems say again what was asked for.
        assert!(
            status >= 400 || !has_theirs(&text),
            "{method} {uri}: {text}"
        );
    }
    assert_eq!(theirs(&site), before);
    let looking = described().into_iter().filter(|(path, method)| {
        let reach = table.reach(path, method);
        reach == Reach::Handler
    });
    let looking: BTreeSet<_> = looking
        .map(|(path, method)| (method.to_owned(), path))
        .collect();
    assert_eq!(
        asked, looking,
        "each handler that looks itself is asked here"
    );
}

#[tokio::test]
async fn machines_with_the_labels_are_seen_and_changed_and_labels_stay() {
    let (site, token) = scoped().await;
    for endpoint in ["/machines", "/events", "/events/stream"] {
        let endpoint = format!("GET /api/v1{endpoint}");
        let (status, text) = site.tells(&token, &endpoint, &Value::Null).await;
        assert!(status == 200 && text.contains("web1"), "{endpoint}: {text}");
    }
    let change = async |body: Value| {
        let asked = site.tells(&token, "PATCH /api/v1/machines/web1", &body);
        asked.await.0
    };
    assert_eq!(change(json!({"local_boot": "exit"})).await, 200);
    assert_eq!(change(json!({"labels": {"pool": "db"}})).await, 403);
    let due = json!({"selector": "pool", "kind": "one-shot"});
    let path = "POST /api/v1/boot-configs/live/activate-selector";
    let (status, text) = site.tells(&token, path, &due).await;
    assert_eq!(status, 201, "{text}");
    assert!(text.contains("web1") && !has_theirs(&text), "{text}");
    let (_, who) = site.tells(&token, "GET /api/v1/whoami", &Value::Null).await;
    assert!(who.contains(r#""labels":"pool=web""#), "{who}");
    let shown = site.as_caller(ROOT, "GET", "/api/v1/tokens/web", Value::Null);
    assert_eq!(shown.await.1["labels"], "pool=web");
    let wrong = json!({"name": "x", "labels": "pool="});
    let made = site.as_caller(ROOT, "POST", "/api/v1/tokens", wrong).await;
    assert_eq!(made.0, 422);
    // From the next request on.
    let moved = json!({"labels": {"pool": "db"}});
    let done = site.as_caller(ROOT, "PATCH", "/api/v1/machines/web1", moved);
    assert_eq!(done.await.0, 200);
    assert_eq!(change(json!({"local_boot": "exit"})).await, 404);
    let (status, text) = site.tells(&token, END, &json!({"selector": "pool"})).await;
    assert_eq!(
        status, 409,
        "what it made due then is out of reach, too: {text}"
    );
    let view = site.api.store.view();
    assert!(
        view.activations()
            .filter(|a| a.machine == id(1))
            .all(|a| a.is_open())
    );
}

#[tokio::test]
async fn what_is_watched_of_a_machine_ends_when_its_label_does() {
    let (site, token) = scoped().await;
    let live = get(|| async { Sse::new(stream::pending::<Result<SseEvent, Infallible>>()) });
    let mut table = AccessTable::default();
    let (path, access) = ("/machines/{machine}/live", Access::Least(Role::Viewer));
    table.declare_within(path, "GET", access, Reach::Machine);
    let router = guarded(
        axum::Router::new().route(path, live),
        table,
        site.api.clone(),
    );
    let ask = |machine: &str| {
        let request = Request::get(format!("/machines/{machine}/live"));
        let request = request.header(header::AUTHORIZATION, &token);
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask("db1").await.unwrap().status(), 404);
    let watched = ask("web1").await.unwrap();
    assert_eq!(watched.status(), 200);
    let mut body = Box::pin(watched.into_body().collect());
    assert!(futures_util::poll!(&mut body).is_pending());
    let moved = json!({"labels": {"pool": "db"}});
    let done = site.as_caller(ROOT, "PATCH", "/api/v1/machines/web1", moved);
    assert_eq!(done.await.0, 200);
    let ended = timeout(Duration::from_secs(20), body).await;
    assert!(ended.is_ok(), "the stream goes on");
}
