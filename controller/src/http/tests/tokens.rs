//! Claims about API tokens: who makes them, what they may, when they end.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Site, read};
use crate::{
    http::{
        auth::{Caller, Role},
        router,
    },
    metrics::Counter,
};

const ROOT: (&str, Role) = ("local:root", Role::Admin);
const ANN: (&str, Role) = ("local:ann", Role::Operator);

impl Site {
    /// Asks with what stands in the header Authorization, on top of whom the transport saw.
    async fn shows(
        &self,
        shown: &str,
        seen: Option<(&str, Role)>,
        endpoint: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let request = Request::builder().method(method);
        let request = request.uri(format!("/api/v1{path}"));
        let request = request.header(header::AUTHORIZATION, shown);
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        if let Some((name, role)) = seen {
            let name = name.to_owned();
            request.extensions_mut().insert(Caller { name, role });
        }
        read(router(self.api.clone()).oneshot(request).await.unwrap()).await
    }

    /// Makes a token; what a program sends.
    pub(super) async fn token(&self, maker: (&str, Role), body: Value) -> String {
        let (status, made) = self.as_caller(maker, "POST", "/api/v1/tokens", body).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        format!("Bearer {}", made["token"].as_str().unwrap())
    }

    /// Writes a person down.
    async fn user(&self, name: &str, role: &str) {
        let body = json!({"name": name, "role": role});
        let made = self.as_caller(ROOT, "POST", "/api/v1/users", body).await;
        assert_eq!(made.0, StatusCode::CREATED);
    }

    /// The status of looking at machines with this token, over a transport that knows nobody.
    async fn looks(&self, token: &str) -> u16 {
        let asked = self.shows(token, None, "GET /machines", Value::Null).await;
        asked.0.as_u16()
    }
}

#[tokio::test]
async fn a_token_may_what_it_was_made_for_and_never_more_than_whose_it_is() {
    let site = Site::new();
    site.user("ann", "operator").await;
    let operator = json!({"name": "ci", "role": "operator"});
    let ci = site.token(ANN, operator).await;
    let viewer = site.token(ANN, json!({"name": "grafana"})).await;
    let register = json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    let tries = async |token: &str, seen| {
        let asked = site.shows(token, seen, "POST /machines", register.clone());
        asked.await.0.as_u16()
    };
    assert_eq!(tries(&ci, None).await, 200);
    assert_eq!(tries(&viewer, None).await, 403);
    assert_eq!(
        tries(&viewer, Some(ROOT)).await,
        403,
        "who shows a token is the token, whoever carries it"
    );
    assert_eq!(site.looks(&viewer).await, 200);
    let set = json!({"role": "viewer"});
    site.as_caller(ROOT, "PATCH", "/api/v1/users/ann", set)
        .await;
    assert_eq!(tries(&ci, None).await, 403, "ann is less now");
    assert_eq!(site.looks(&ci).await, 200);
    let counted = site.api.metrics.value(Counter::ApiRefusals, "forbidden");
    assert_eq!(counted, 3);
}

#[tokio::test]
async fn a_token_ends_with_its_time_its_user_or_a_word() {
    let site = Site::new();
    site.user("ann", "operator").await;
    let disable = async |disabled: bool| {
        let body = json!({"disabled": disabled});
        let path = "/api/v1/users/ann";
        assert_eq!(site.as_caller(ROOT, "PATCH", path, body).await.0, 200);
    };
    let ci = site.token(ANN, json!({"name": "ci"})).await;
    assert_eq!(site.looks(&ci).await, 200);
    disable(true).await;
    assert_eq!(site.looks(&ci).await, 401);
    let herself = site.as_caller(ANN, "GET", "/api/v1/machines", Value::Null);
    assert_eq!(herself.await.0, 403, "her group does not help her");
    disable(false).await;
    assert_eq!(site.looks(&ci).await, 200);
    let gone = site.as_caller(ANN, "DELETE", "/api/v1/tokens/ci", Value::Null);
    assert_eq!(gone.await.0, 204);
    assert_eq!(site.looks(&ci).await, 401);
    let again = site.token(ANN, json!({"name": "ci"})).await;
    assert_eq!(site.looks(&again).await, 200, "its name was free again");
    assert_eq!(site.looks(&ci).await, 401);
    let delete = site.as_caller(ROOT, "DELETE", "/api/v1/users/ann", Value::Null);
    assert_eq!(delete.await.0, 204);
    assert_eq!(site.looks(&again).await, 401);
    site.user("ann", "operator").await;
    assert_eq!(
        site.looks(&again).await,
        401,
        "another ann has none of the first one's tokens"
    );
}

#[tokio::test]
async fn what_is_no_good_token_is_refused_alike_and_says_no_secret() {
    let site = Site::new();
    let good = site.token(ROOT, json!({"name": "ci"})).await;
    let (other_secret, other_prefix) = (
        format!("{}0", &good[..good.len() - 1]),
        good.replacen("enf_", "enf_0", 1),
    );
    let other_secret = match other_secret == good {
        true => format!("{}1", &good[..good.len() - 1]),
        false => other_secret,
    };
    let mut told = Vec::new();
    for wrong in [&*other_secret, &*other_prefix, "Bearer x", "Bearer "] {
        let (status, body) = site
            .shows(wrong, Some(ROOT), "GET /machines", Value::Null)
            .await;
        assert_eq!(status, 401, "{wrong}: {body}");
        told.push(body);
    }
    assert!(told.iter().all(|body| *body == told[0]), "{told:?}");
    for wrong in ["Basic cm9vdDo=", "Bearer"] {
        assert_eq!(site.looks(wrong).await, 401, "{wrong}");
    }
    let secret = &good["Bearer enf_000000000000_".len()..];
    let listed = site
        .as_caller(ROOT, "GET", "/api/v1/tokens/ci", Value::Null)
        .await;
    let events = site
        .as_caller(ROOT, "GET", "/api/v1/events", Value::Null)
        .await;
    assert_eq!((listed.0, events.0), (StatusCode::OK, StatusCode::OK));
    let said = format!("{} {} {told:?}", listed.1, events.1);
    assert!(!said.contains(secret), "{said}");
    assert!(said.contains("token.created"), "{said}");
}

#[tokio::test]
async fn who_makes_tokens_for_whom() {
    let site = Site::new();
    site.user("bob", "viewer").await;
    let tries = async |maker, body: Value| {
        let (status, made) = site
            .as_caller(maker, "POST", "/api/v1/tokens", body.clone())
            .await;
        let code = made["code"].as_str().unwrap_or("made").to_owned();
        (status.as_u16(), code)
    };
    let ci = json!({"name": "ci"});
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        tries(ANN, ci.clone()).await,
        refused(404, "user-not-found"),
        "nobody could take it back from her"
    );
    site.user("ann", "operator").await;
    for (body, expected) in [
        (
            json!({"name": "a", "role": "admin"}),
            (403, "token-refused"),
        ),
        (json!({"name": "a", "user": "bob"}), (403, "token-refused")),
        (json!({"name": "a", "seconds": 59}), (422, "bad-value")),
        (
            json!({"name": "a", "seconds": 367 * 24 * 3600}),
            (422, "bad-value"),
        ),
        (json!({"name": "a b"}), (422, "bad-value")),
        (ci.clone(), (201, "made")),
        (ci.clone(), (409, "name-taken")),
    ] {
        let told = tries(ANN, body.clone()).await;
        assert_eq!(told, refused(expected.0, expected.1), "{body}");
    }
    let more = json!({"name": "b", "user": "bob", "role": "operator"});
    assert_eq!(tries(ROOT, more).await, refused(403, "token-refused"));
    let his = json!({"name": "b", "user": "bob"});
    let bobs = site.token(ROOT, his).await;
    assert_eq!(site.looks(&bobs).await, 200);
    let admin = site
        .token(ROOT, json!({"name": "root", "role": "admin"}))
        .await;
    let by_token = site.shows(&admin, None, "POST /tokens", json!({"name": "c"}));
    let (status, told) = by_token.await;
    assert_eq!(
        (status.as_u16(), &told["code"]),
        (403, &json!("token-refused"))
    );
}

#[tokio::test]
async fn people_see_and_revoke_their_own_tokens_and_admins_all() {
    let site = Site::new();
    site.user("ann", "operator").await;
    site.user("bob", "operator").await;
    let bob = ("local:bob", Role::Operator);
    site.token(ANN, json!({"name": "anns"})).await;
    site.token(bob, json!({"name": "bobs"})).await;
    let names = async |caller| {
        let listed = site
            .as_caller(caller, "GET", "/api/v1/tokens", Value::Null)
            .await;
        let items = listed.1["items"].as_array().unwrap().clone();
        let names = items.iter().map(|t| t["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(ANN).await, ["anns"]);
    assert_eq!(names(ROOT).await, ["anns", "bobs"]);
    for method in ["GET", "DELETE"] {
        let hers = site.as_caller(bob, method, "/api/v1/tokens/anns", Value::Null);
        assert_eq!(hers.await.1["code"], "token-not-found", "{method}");
    }
    let revoked = site.as_caller(ROOT, "DELETE", "/api/v1/tokens/anns", Value::Null);
    assert_eq!(revoked.await.0, 204);
}

#[tokio::test]
async fn a_token_that_is_shown_too_often_waits_and_others_do_not() {
    let site = Site::new();
    let loud = site.token(ROOT, json!({"name": "loud"})).await;
    let quiet = site.token(ROOT, json!({"name": "quiet"})).await;
    let (app, mut refused) = (router(site.api.clone()), None);
    // A second may begin anew in between, more than once on a slow host.
    for _ in 0..5_000 {
        let request = Request::get("/healthz").header(header::AUTHORIZATION, &loud);
        let request = request.body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("it was never refused");
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_eq!(site.looks(&quiet).await, 200);
}

#[tokio::test]
async fn that_a_token_is_used_is_kept_coarsely() {
    let site = Site::new();
    let ci = site.token(ROOT, json!({"name": "ci"})).await;
    let used = async || {
        let shown = site
            .as_caller(ROOT, "GET", "/api/v1/tokens/ci", Value::Null)
            .await;
        shown.1["used"].clone()
    };
    assert_eq!(used().await, Value::Null);
    site.looks(&ci).await;
    let first = used().await;
    assert!(first.is_string(), "{first}");
    site.looks(&ci).await;
    assert_eq!(used().await, first, "not written for each request");
}
