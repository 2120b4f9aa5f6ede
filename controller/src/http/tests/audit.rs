//! Claims about the audit: who did what, what they were refused, and that nobody else may look.

use axum::{
    body::Body,
    http::{Request, header},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Site, read, router};
use crate::{
    http::{
        audited::{LocalUser, REQUEST_ID},
        auth::{Caller, Role},
    },
    metrics::Counter,
};

const ROOT: (&str, Role) = ("local:root", Role::Admin);
const ANN: (&str, Role) = ("local:ann", Role::Operator);
const EVE: (&str, Role) = ("token/eve:eve", Role::Viewer);
const BOB: (&str, Role) = ("local:bob", Role::Viewer);

impl Site {
    /// The lines that fit.
    async fn audit(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/audit?{query}");
        let (status, body) = self.as_caller(ROOT, "GET", &path, Value::Null).await;
        assert_eq!(status, 200, "{body}");
        body["items"].as_array().unwrap().clone()
    }

    /// Registers a machine.
    async fn registers(&self, caller: (&str, Role), name: &str, mac: &str) -> u16 {
        let body = json!({"mac": mac, "name": name});
        let asked = self.as_caller(caller, "POST", "/api/v1/machines", body);
        asked.await.0.as_u16()
    }
}

fn whats(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|l| l["what"].as_str()).collect()
}

#[tokio::test]
async fn a_change_says_who_made_it_from_where_and_in_which_request() {
    let site = Site::new();
    let body = json!({"mac": "52-54-00-77-00-01", "name": "web1"}).to_string();
    let mut request = Request::post("/api/v1/machines")
        .body(Body::from(body))
        .unwrap();
    let (name, role) = (ANN.0.to_owned(), ANN.1);
    request.extensions_mut().insert(Caller { name, role });
    request.extensions_mut().insert(LocalUser(1000));
    let response = router(site.api.clone()).oneshot(request).await.unwrap();
    let id = response.headers()[REQUEST_ID].to_str().unwrap().to_owned();
    assert_eq!(read(response).await.0, 200);
    // In the record at once, with its event: the same transaction.
    let view = site.api.store.view();
    let event = view.events_after(0).next_back().unwrap();
    assert_eq!(
        event.draft.origin.as_ref().unwrap().request,
        Some(id.clone())
    );
    let lines = site.audit("").await;
    assert_eq!(whats(&lines), ["machine.registered"]);
    let line = &lines[0];
    for (field, value) in [
        ("by", "local:ann"),
        ("from", "uid 1000"),
        ("request", id.as_str()),
        ("operation", "POST /api/v1/machines"),
        ("target", "/api/v1/machines"),
        ("machine_name", "web1"),
        ("outcome", "done"),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
}

#[tokio::test]
async fn refusals_are_written_down_with_their_reason_and_questions_are_not() {
    let site = Site::new();
    assert_eq!(site.registers(ANN, "web1", "52-54-00-77-00-01").await, 200);
    assert_eq!(site.registers(EVE, "web2", "52-54-00-77-00-02").await, 403);
    assert_eq!(site.registers(ANN, "web1", "52-54-00-77-00-03").await, 409);
    let hidden = "/api/v1/webhooks";
    let asked = site.as_caller(EVE, "GET", hidden, Value::Null).await.0;
    assert_eq!(asked, 403);
    let fine = site.as_caller(EVE, "GET", "/api/v1/machines", Value::Null);
    assert_eq!(fine.await.0, 200);
    let mut request = Request::get("/api/v1/machines")
        .body(Body::empty())
        .unwrap();
    let token = "Bearer enf_nonsense".parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, token);
    let response = router(site.api.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    let nobody = site.ask(None, "DELETE", "/api/v1/machines/web1", Body::empty());
    assert_eq!(nobody.await.status(), 401);
    let lines = site.audit("outcome=refused").await;
    let told: Vec<(&str, &str, &str)> = lines
        .iter()
        .map(|l| {
            let by = l["by"].as_str().unwrap_or("nobody");
            let code = l["fields"]["code"].as_str().unwrap();
            (by, l["operation"].as_str().unwrap(), code)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("token/eve:eve", "POST /api/v1/machines", "forbidden"),
            ("local:ann", "POST /api/v1/machines", "name-taken"),
            ("token/eve:eve", "GET /api/v1/webhooks", "forbidden"),
            ("nobody", "GET /api/v1/machines", "unauthenticated"),
        ]
    );
    assert!(lines[1]["text"].as_str().unwrap().contains("web1"));
    assert_eq!(site.audit("outcome=done").await.len(), 1);
    assert!(!lines.iter().any(|l| l.to_string().contains("enf_nonsense")));
}

#[tokio::test]
async fn a_reason_that_may_quote_what_was_sent_is_not_written_down() {
    let site = Site::new();
    for body in [
        json!("hunter2 hunter2 hunter2"),
        json!({"password": 70_071}),
    ] {
        let path = "/api/v1/users/ann/password";
        let told = site.as_caller(ROOT, "PUT", path, body).await;
        assert_eq!(told.0, 400, "{}", told.1);
    }
    let lines = site.audit("outcome=refused").await;
    assert_eq!(lines.len(), 2);
    assert!(
        lines
            .iter()
            .all(|line| line["fields"]["code"] == "bad-request")
    );
    let all = json!(lines).to_string();
    assert!(!all.contains("hunter2") && !all.contains("70071"), "{all}");
}

#[tokio::test]
async fn who_is_refused_in_a_loop_does_not_fill_the_record() {
    let site = Site::new();
    for _ in 0..70 {
        assert_eq!(site.registers(EVE, "web2", "52-54-00-77-00-02").await, 403);
    }
    assert_eq!(site.registers(BOB, "web2", "52-54-00-77-00-02").await, 403);
    let by = async |who: &str| site.audit(&format!("limit=1000&who={who}")).await.len();
    assert_eq!((by("eve").await, by("bob").await), (60, 1));
    let counted = site.api.metrics.value(Counter::ApiRefusals, "forbidden");
    assert_eq!(counted, 71);
}

#[tokio::test]
async fn what_changes_no_record_is_written_down_too_and_so_is_reading_every_secret() {
    let site = Site::new();
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let path = format!("/api/v1/files/{sha256}");
    let put = site.ask(Some(Role::Operator), "PUT", &path, Body::from("abc"));
    assert!(put.await.status().is_success());
    let read = site.ask(Some(Role::Admin), "GET", "/api/v1/database", Body::empty());
    assert_eq!(read.await.status(), 200);
    let operations: Vec<Value> = site.audit("what=api.*").await;
    let operations: Vec<&str> = operations
        .iter()
        .filter_map(|l| l["operation"].as_str())
        .collect();
    assert_eq!(
        operations,
        ["PUT /api/v1/files/{sha256}", "GET /api/v1/database"]
    );
}

#[tokio::test]
async fn lines_are_found_by_who_what_whom_and_when() {
    let site = Site::new();
    let bob = ("token/ci:bob", Role::Operator);
    assert_eq!(site.registers(ANN, "web1", "52-54-00-77-00-01").await, 200);
    assert_eq!(site.registers(bob, "web2", "52-54-00-77-00-02").await, 200);
    assert_eq!(
        site.as_caller(ANN, "DELETE", "/api/v1/machines/web2", Value::Null)
            .await
            .0,
        204
    );
    let found = async |query: &str| -> usize { site.audit(query).await.len() };
    for (query, count) in [
        ("", 3),
        ("who=ann", 2),
        ("who=bob", 1),
        ("who=token/ci:bob", 1),
        ("who=ci", 0),
        ("what=machine.*", 3),
        ("what=machine.deleted", 1),
        ("what=machine", 0),
        ("machine=web1", 1),
        ("outcome=refused", 0),
        ("since=2020-01-01T00:00:00Z", 3),
        ("since=2999-01-01T00:00:00Z", 0),
        ("until=2020-01-01T00:00:00Z", 0),
        ("who=ann&what=machine.deleted", 1),
        ("limit=2", 2),
    ] {
        assert_eq!(found(query).await, count, "{query}");
    }
    let first = site.audit("").await[0]["seq"].as_u64().unwrap();
    assert_eq!(found(&format!("after={first}")).await, 2);
    let last = site.audit("").await[2]["seq"].as_u64().unwrap();
    let back = site.audit(&format!("before={last}&limit=1")).await;
    assert_eq!((back.len(), &back[0]["machine_name"]), (1, &Value::Null));
    assert_eq!(back[0]["by"], "token/ci:bob");
    for wrong in [
        "since=yesterday",
        "outcome=well",
        "limit=0",
        "by=ann",
        "before=2&after=1",
    ] {
        let path = format!("/api/v1/audit?{wrong}");
        let status = site.as_caller(ROOT, "GET", &path, Value::Null).await.0;
        assert!([400, 422].contains(&status.as_u16()), "{wrong}: {status}");
    }
    assert_eq!(
        site.as_caller(ANN, "GET", "/api/v1/audit", Value::Null)
            .await
            .0,
        403
    );
}

#[tokio::test]
async fn what_was_refused_of_a_machine_is_among_its_lines_however_it_was_named() {
    let site = Site::new();
    assert_eq!(site.registers(ANN, "web1", "52-54-00-77-00-01").await, 200);
    assert_eq!(site.registers(ANN, "web2", "52-54-00-77-00-02").await, 200);
    let tries = [
        ("POST", "/machines/web1/inspect"),
        ("POST", "/machines/52:54:00:77:00:02/inspect"),
        ("POST", "/machines/52%3A54%3a00%3A77%3A00%3A02/inspect"),
        ("GET", "/boot-configs/live/preview?q=web1&machine=web2"),
        ("GET", "/audit?machine=52%3A54%3A00%3A77%3A00%3A02"),
        // Nobody's: neither the body nor a query that the endpoint does not take is read for it, an address may be another's, and
        // there is no such machine.
        ("POST", "/boot-configs/live/activate?machine=web1"),
        ("DELETE", "/reservations/525400770002"),
        ("POST", "/machines/nobody/inspect"),
        ("POST", "/machines/%ff/inspect"),
    ];
    for (method, path) in tries {
        let (path, body) = (format!("/api/v1{path}"), json!({"machine": "web1"}));
        let tried = site.as_caller(EVE, method, &path, body).await;
        assert_eq!(tried.0, 403, "{method} {path}");
    }
    for (name, refused) in [("web1", &tries[..1]), ("web2", &tries[1..5])] {
        let lines = site.audit(&format!("machine={name}&outcome=refused")).await;
        let targets: Vec<&str> = lines.iter().filter_map(|l| l["target"].as_str()).collect();
        let path = |(_, path): &(&str, &'static str)| path.split('?').next().unwrap_or_default();
        let wanted: Vec<String> = refused
            .iter()
            .map(path)
            .map(|p| format!("/api/v1{p}"))
            .collect();
        assert_eq!(targets, wanted, "{name}");
        assert!(lines.iter().all(|l| l["machine_name"] == name), "{name}");
    }
    assert_eq!(site.audit("outcome=refused").await.len(), tries.len());
}

#[tokio::test]
async fn what_a_bad_token_wanted_of_a_machine_is_among_its_lines() {
    let site = Site::new();
    assert_eq!(site.registers(ANN, "web1", "52-54-00-77-00-01").await, 200);
    let path = "/api/v1/machines/52%3A54%3A00%3A77%3A00%3A01/inspect";
    let request = Request::post(path).header(header::AUTHORIZATION, "Bearer enf_nonsense");
    let request = request.body(Body::empty()).unwrap();
    let response = router(site.api.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    let lines = site.audit("machine=web1").await;
    assert_eq!(whats(&lines), ["machine.registered", "api.refused"]);
    assert_eq!(lines[1]["fields"]["code"], "unauthenticated");
}

#[tokio::test]
async fn a_page_goes_on_the_way_it_went_and_ends_where_the_time_does() {
    let site = Site::new();
    for n in 1..=7 {
        let mac = format!("52-54-00-77-00-0{n}");
        assert_eq!(site.registers(ANN, &format!("web{n}"), &mac).await, 200);
    }
    let page = async |query: String| {
        let path = format!("/api/v1/audit?limit=3&{query}");
        let (status, body) = site.as_caller(ROOT, "GET", &path, Value::Null).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    let newest = u64::MAX;
    for (first, back) in [
        (String::new(), true),
        ("after=0".to_owned(), false),
        ("since=2020-01-01T00:00:00Z".to_owned(), false),
        (format!("since=2020-01-01T00:00:00Z&before={newest}"), true),
    ] {
        let (mut pages, mut asked) = (Vec::new(), first.clone());
        loop {
            let body = page(asked).await;
            pages.push(body["items"].as_array().unwrap().clone());
            let Some(next) = body["next"].as_str() else {
                break;
            };
            // As programs do: the same question, with the cursor.
            asked = format!("{first}&cursor={next}");
        }
        if back {
            pages.reverse();
        }
        let names: Vec<Value> = pages
            .concat()
            .iter()
            .map(|l| l["machine_name"].clone())
            .collect();
        let all: Vec<Value> = (1..=7).map(|n| json!(format!("web{n}"))).collect();
        assert_eq!(names, all, "{first}");
    }
}
