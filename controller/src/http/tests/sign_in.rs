//! Claims about people who sign in with a password: who gets in, with what, for how long, and who is kept out.

mod browser;

use axum::{
    body::Body,
    http::{Request, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use self::browser::{Browser, OWN};
use super::{Site, read};
use crate::{
    http::{
        auth::{Caller, Role},
        router,
        sign_in::Try,
    },
    metrics::Counter,
};

const ROOT: (&str, Role) = ("local:root", Role::Admin);
const ANN: (&str, Role) = ("local:ann", Role::Operator);
const WORDS: &str = "correct horse battery";
const OTHER_WORDS: &str = "staple correct horse";

impl Site {
    /// The status and the JSON of what somebody asks over the local socket.
    async fn told(&self, caller: (&str, Role), endpoint: &str, body: Value) -> (u16, Value) {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let path = format!("/api/v1{path}");
        let (status, body) = self.as_caller(caller, method, &path, body).await;
        (status.as_u16(), body)
    }

    /// A site with these people, each with the same password.
    async fn with(people: &[(&str, &str)]) -> Self {
        let site = Self::new();
        for (name, role) in people {
            let body = json!({"name": name, "role": role});
            assert_eq!(site.told(ROOT, "POST /users", body).await.0, 201);
            let set = site.sets(ROOT, name, json!({"password": WORDS})).await;
            assert_eq!(set.0, 200, "{set:?}");
        }
        site
    }

    async fn sets(&self, caller: (&str, Role), name: &str, body: Value) -> (u16, Value) {
        let endpoint = format!("PUT /users/{name}/password");
        self.told(caller, &endpoint, body).await
    }
}

#[tokio::test]
async fn who_signs_in_is_who_they_are_until_they_sign_out() {
    let site = Site::with(&[("ann", "operator")]).await;
    let mut ann = Browser::at([192, 0, 2, 7]);
    assert_eq!(ann.status(&site, "GET /session").await, 401);
    let (status, told) = ann.signs_in(&site, "ann", WORDS).await;
    assert_eq!(status, 201, "{told}");
    assert_eq!(
        (&told["user"], &told["role"]),
        (&json!("ann"), &json!("operator"))
    );
    assert_eq!(told["session"]["from"], "192.0.2.7");
    let known = read(ann.asks(&site, "GET /session", Value::Null).await)
        .await
        .1;
    assert_eq!(known, told);
    let register = json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    let registered = ann.asks(&site, "POST /machines", register).await;
    assert_eq!(registered.status(), 200);
    assert_eq!(ann.status(&site, "POST /users").await, 403, "an operator");
    let less = json!({"role": "viewer"});
    site.told(ROOT, "PATCH /users/ann", less).await;
    assert_eq!(ann.status(&site, "POST /machines/web1/inspect").await, 403);
    assert_eq!(ann.status(&site, "GET /machines").await, 200);
    let copied = ann.clone();
    let out = ann.asks(&site, "DELETE /session", Value::Null).await;
    assert_eq!(out.status(), 204);
    let taken = out.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(taken.contains("Max-Age=0"), "{taken}");
    assert_eq!(copied.status(&site, "GET /machines").await, 401);
    assert_eq!(site.told(ROOT, "DELETE /session", Value::Null).await.0, 404);
    let events = site
        .told(ROOT, "GET /events", Value::Null)
        .await
        .1
        .to_string();
    for told in ["ann signed in from 192.0.2.7", "ann signed out"] {
        assert!(events.contains(told), "{told}: {events}");
    }
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_the_same_and_it_is_written_down() {
    let site = Site::with(&[("ann", "operator"), ("bob", "viewer")]).await;
    let carl = json!({"name": "carl", "role": "viewer"});
    site.told(ROOT, "POST /users", carl).await;
    let disable = json!({"disabled": true});
    site.told(ROOT, "PATCH /users/bob", disable).await;
    let mut anybody = Browser::at([192, 0, 2, 7]);
    let mut told = Vec::new();
    for (name, password) in [
        ("ann", OTHER_WORDS),
        ("bob", WORDS),
        ("carl", WORDS),
        ("nobody", WORDS),
        ("no name", WORDS),
        ("ann", ""),
    ] {
        let (status, body) = anybody.signs_in(&site, name, password).await;
        assert_eq!((status, &body["code"]), (401, &json!("sign-in-refused")));
        told.push(body);
    }
    assert!(told.iter().all(|body| *body == told[0]), "{told:?}");
    assert_eq!(anybody.cookie, None);
    assert_eq!(site.api.metrics.value(Counter::SignIns, "wrong"), 6);
    site.api.store.flush().await.unwrap();
    let events = site
        .told(ROOT, "GET /events", Value::Null)
        .await
        .1
        .to_string();
    assert!(events.contains("shown as ann, from 192.0.2.7"), "{events}");
    assert!(events.contains("shown as nobody's name"), "{events}");
    assert!(!events.contains(WORDS) && !events.contains("no name"));
}

#[tokio::test]
async fn who_is_wrong_too_often_waits_by_account_and_by_address() {
    let site = Site::with(&[("ann", "operator"), ("bob", "viewer")]).await;
    let mut guesser = Browser::at([192, 0, 2, 7]);
    for _ in 0..3 {
        assert_eq!(guesser.signs_in(&site, "ann", OTHER_WORDS).await.0, 401);
    }
    // And so on, until their pause is longer than this test.
    let guesses = Try {
        user: "ann".parse().ok(),
        from: Some(guesser.from.into()),
    };
    site.api.sign_ins.missed(&guesses, 20);
    let body = json!({"name": "ann", "password": WORDS});
    let mut elsewhere = Browser::at([192, 0, 2, 8]);
    let waits = elsewhere.asks(&site, "POST /session", body).await;
    assert_eq!(
        waits.status(),
        429,
        "from anywhere, also with the right one"
    );
    let wait = waits.headers()[header::RETRY_AFTER].to_str().unwrap();
    assert!((30..=60).contains(&wait.parse::<u32>().unwrap()), "{wait}");
    let (status, told) = guesser.signs_in(&site, "bob", WORDS).await;
    assert_eq!((status, &told["code"]), (429, &json!("too-many-requests")));
    assert_eq!(guesser.signs_in(&site, "nobody", WORDS).await.0, 429);
    assert_eq!(elsewhere.signs_in(&site, "bob", WORDS).await.0, 201);
    assert_eq!(site.api.metrics.value(Counter::SignIns, "waits"), 3);
}

#[tokio::test]
async fn a_session_ends_with_its_password_its_person_or_a_word() {
    let site = Site::with(&[("ann", "operator"), ("bob", "viewer")]).await;
    let (mut ann, mut bob) = (Browser::at([192, 0, 2, 7]), Browser::at([192, 0, 2, 8]));
    assert_eq!(bob.signs_in(&site, "bob", WORDS).await.0, 201);
    let enable = json!({"disabled": false});
    for (endpoint, body) in [
        ("PUT /users/ann/password", json!({"password": WORDS})),
        ("PATCH /users/ann", json!({"disabled": true})),
        ("DELETE /users/ann/password", Value::Null),
        ("DELETE /users/ann", Value::Null),
    ] {
        let (status, told) = ann.signs_in(&site, "ann", WORDS).await;
        assert_eq!(status, 201, "before {endpoint}: {told}");
        let done = site.told(ROOT, endpoint, body).await;
        assert!((200..300).contains(&done.0), "{endpoint}: {done:?}");
        // Ended, and not only held back.
        site.told(ROOT, "PATCH /users/ann", enable.clone()).await;
        assert_eq!(ann.status(&site, "GET /machines").await, 401, "{endpoint}");
        site.sets(ROOT, "ann", json!({"password": WORDS})).await;
    }
    let ann_anew = json!({"name": "ann", "role": "operator"});
    assert_eq!(site.told(ROOT, "POST /users", ann_anew).await.0, 201);
    assert_eq!(
        ann.signs_in(&site, "ann", WORDS).await.0,
        401,
        "another ann"
    );
    assert_eq!(bob.status(&site, "GET /machines").await, 200);
    let listed = site.told(ROOT, "GET /sessions", Value::Null).await.1;
    let name = listed["items"][0]["name"].as_str().unwrap();
    assert_eq!(listed["items"][0]["user"], "bob");
    let endpoint = format!("DELETE /sessions/{name}");
    assert_eq!(
        site.told(ANN, &endpoint, Value::Null).await.0,
        404,
        "not hers"
    );
    assert_eq!(site.told(ROOT, &endpoint, Value::Null).await.0, 204);
    assert_eq!(bob.status(&site, "GET /machines").await, 401);
}

#[tokio::test]
async fn people_stay_signed_in_when_the_controller_restarts_and_it_keeps_no_secret() {
    let site = Site::with(&[("ann", "operator")]).await;
    let mut ann = Browser::at([192, 0, 2, 7]);
    assert_eq!(ann.signs_in(&site, "ann", WORDS).await.0, 201);
    let site = site.restarted().await;
    assert_eq!(ann.status(&site, "GET /machines").await, 200);
    let cookie = ann.cookie.unwrap();
    let secret = cookie.split_once('=').unwrap().1;
    let view = site.api.store.view();
    let sessions: Vec<_> = view
        .sessions()
        .map(|s| serde_json::to_string(s).unwrap())
        .collect();
    assert!(
        sessions.len() == 1 && !sessions[0].contains(secret),
        "{sessions:?}"
    );
    let ann = "ann".parse().unwrap();
    let kept = serde_json::to_string(view.password(&ann).unwrap()).unwrap();
    assert!(
        !kept.contains(WORDS) && kept.contains("\"memory_kib\":19456"),
        "{kept}"
    );
}

/// What a page says, and the code of what it is refused for.
type Row<'a> = (&'a [(&'static str, &'static str)], Option<&'a str>);

#[tokio::test]
async fn only_the_controllers_own_pages_use_the_cookie_to_change_something() {
    let site = Site::with(&[("ann", "operator")]).await;
    let mut ann = Browser::at([192, 0, 2, 7]);
    assert_eq!(ann.signs_in(&site, "ann", WORDS).await.0, 201);
    let register = json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    let rows: &[Row<'_>] = &[
        (&[], Some("cross-origin")),
        (&[("origin", "https://evil.lab")], Some("cross-origin")),
        (
            &[OWN, ("sec-fetch-site", "same-site")],
            Some("cross-origin"),
        ),
        (&[("x-requested-with", "script")], None),
        (&[OWN, ("sec-fetch-site", "same-origin")], None),
    ];
    for (says, expected) in rows {
        let page = ann.saying(says);
        let answer = page.asks(&site, "POST /machines", register.clone()).await;
        let (status, body) = read(answer).await;
        assert_eq!(
            body["code"].as_str(),
            *expected,
            "{says:?}: {status} {body}"
        );
        assert_eq!(page.status(&site, "GET /machines").await, 200, "{says:?}");
    }
    let refused = site.api.metrics.value(Counter::ApiRefusals, "cross-origin");
    assert_eq!(refused, 3);
    let mut evil = Browser::at([192, 0, 2, 7]).saying(&[("origin", "https://evil.lab")]);
    assert_eq!(evil.signs_in(&site, "ann", WORDS).await.0, 403);
    let mut program = Browser::at([192, 0, 2, 7]).saying(&[]);
    assert_eq!(program.signs_in(&site, "ann", WORDS).await.0, 201);
}

#[tokio::test]
async fn who_sets_whose_password() {
    let site = Site::with(&[("ann", "operator"), ("bob", "admin")]).await;
    let token = json!({"name": "ci", "role": "admin"});
    let token = site.told(ROOT, "POST /tokens", token).await.1;
    let token = token["token"].as_str().unwrap();
    let new = json!({"password": OTHER_WORDS});
    let shown = |present: &str| json!({"password": OTHER_WORDS, "present": present});
    let bob = ("local:bob", Role::Operator);
    for (caller, name, body, expected) in [
        (ANN, "bob", new.clone(), (403, "password-refused")),
        (ANN, "ann", new.clone(), (403, "password-refused")),
        (ANN, "ann", shown(OTHER_WORDS), (401, "sign-in-refused")),
        (
            ANN,
            "ann",
            json!({"password": "too short"}),
            (422, "bad-value"),
        ),
        (ROOT, "carl", new.clone(), (404, "user-not-found")),
        (bob, "bob", new.clone(), (403, "password-refused")),
    ] {
        let (status, told) = site.sets(caller, name, body.clone()).await;
        let code = told["code"].as_str().unwrap_or_default();
        assert_eq!((status, code), expected, "{caller:?} {name} {body}: {told}");
    }
    let request = Request::put("/api/v1/users/ann/password")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(new.to_string()));
    let by_token = router(site.api.clone()).oneshot(request.unwrap()).await;
    assert_eq!(read(by_token.unwrap()).await.1["code"], "password-refused");
    let mut ann = Browser::at([192, 0, 2, 7]);
    assert_eq!(
        ann.signs_in(&site, "ann", WORDS).await.0,
        201,
        "nothing changed"
    );
    assert_eq!(site.sets(ANN, "ann", shown(WORDS)).await.0, 200);
    assert_eq!(ann.signs_in(&site, "ann", WORDS).await.0, 401);
    assert_eq!(ann.signs_in(&site, "ann", OTHER_WORDS).await.0, 201);
    let (status, told) = site.sets(bob, "ann", json!({"password": WORDS})).await;
    assert_eq!(status, 200, "an admin: {told}");
    assert!(told["password_set"].is_string() && !told.to_string().contains(WORDS));
}

#[tokio::test]
async fn live_events_end_with_what_was_shown_for_them() {
    let site = Site::with(&[("ann", "operator")]).await;
    let mut ann = Browser::at([192, 0, 2, 7]);
    assert_eq!(ann.signs_in(&site, "ann", WORDS).await.0, 201);
    let by_cookie = ann.asks(&site, "GET /events/stream", Value::Null).await;
    let mut by_socket = Request::get("/api/v1/events/stream")
        .body(Body::empty())
        .unwrap();
    let (name, role) = (ANN.0.to_owned(), ANN.1);
    by_socket.extensions_mut().insert(Caller { name, role });
    let by_socket = router(site.api.clone()).oneshot(by_socket).await.unwrap();
    let mut streams = [by_cookie, by_socket].map(Response::into_body);
    for stream in &mut streams {
        stream
            .frame()
            .await
            .expect("it says where it stands")
            .unwrap();
    }
    let disable = json!({"disabled": true});
    site.told(ROOT, "PATCH /users/ann", disable).await;
    for stream in streams {
        let all = stream.collect();
        let all = tokio::time::timeout(std::time::Duration::from_secs(20), all).await;
        all.expect("it ends").unwrap();
    }
}

#[tokio::test]
async fn the_audit_names_who_signed_in_and_has_no_cookie_and_no_password() {
    let site = Site::with(&[("ann", "operator")]).await;
    let mut ann = Browser::at([192, 0, 2, 7]);
    assert_eq!(ann.signs_in(&site, "ann", OTHER_WORDS).await.0, 401);
    assert_eq!(ann.signs_in(&site, "ann", WORDS).await.0, 201);
    let register = json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    let registered = ann.asks(&site, "POST /machines", register).await;
    assert_eq!(registered.status(), 200);
    assert_eq!(ann.status(&site, "GET /audit").await, 403, "an operator");
    let foreign = ann.saying(&[("origin", "https://evil.lab")]);
    assert_eq!(foreign.status(&site, "DELETE /machines/web1").await, 403);
    let change = json!({"password": OTHER_WORDS, "present": WORDS});
    let changed = ann.asks(&site, "PUT /users/ann/password", change).await;
    assert_eq!(changed.status(), 200);
    let (_, all) = site.told(ROOT, "GET /audit", Value::Null).await;
    let lines = all["items"].as_array().unwrap();
    let by_her = lines.iter().filter(|line| line["from"] == "192.0.2.7");
    let told: Vec<_> = by_her
        .map(|line| (line["what"].as_str().unwrap(), line["by"].as_str()))
        .collect();
    let her = Some("session:ann");
    assert_eq!(
        told,
        [
            ("session.refused", None),
            ("session.created", her),
            ("machine.registered", her),
            ("api.refused", her),
            // Her cookie came with it; that it was she is not known.
            ("api.refused", None),
            ("user.password-set", her),
        ]
    );
    let cookie = ann.cookie.unwrap();
    let secret = cookie.split_once('=').unwrap().1;
    let all = all.to_string();
    for word in [secret, WORDS, OTHER_WORDS] {
        assert!(!all.contains(word), "{all}");
    }
}
