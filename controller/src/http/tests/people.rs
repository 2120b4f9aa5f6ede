//! Claims about people: who may what, whose things are whose, and who has a machine.

use serde_json::{Value, json};

use super::{Site, deployments::furnished};
use crate::{http::auth::Role, state::Timestamp};

const ROOT: (&str, Role) = ("local:root", Role::Admin);
const ANN: (&str, Role) = ("local:ann", Role::Operator);
const BOB: (&str, Role) = ("local:bob", Role::Operator);

impl Site {
    /// The status and the problem's code of a request.
    async fn tries(
        &self,
        caller: (&str, Role),
        endpoint: &str,
        body: Value,
    ) -> (u16, Option<String>) {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let path = format!("/api/v1{path}");
        let (status, body) = self.as_caller(caller, method, &path, body).await;
        (status.as_u16(), body["code"].as_str().map(str::to_owned))
    }

    /// The number of the last event of this kind.
    fn last(&self, kind: &str) -> Option<u64> {
        let view = self.api.store.view();
        let mut last = view.events_after(0).filter(|e| e.draft.kind == kind);
        last.next_back().map(|e| e.seq)
    }
}

fn refused(status: u16, code: &str) -> (u16, Option<String>) {
    (status, Some(code.to_owned()))
}

#[tokio::test]
async fn what_is_written_down_about_a_person_counts_from_their_next_request_on() {
    let site = Site::new();
    let register = json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    let tries = async || site.tries(BOB, "POST /machines", register.clone()).await;
    assert_eq!(tries().await.0, 200, "his group makes him an operator");
    let bob = json!({"name": "bob", "role": "viewer"});
    assert_eq!(site.tries(ROOT, "POST /users", bob.clone()).await.0, 201);
    assert_eq!(tries().await, refused(403, "forbidden"));
    assert_eq!(
        site.tries(ROOT, "POST /users", bob.clone()).await,
        refused(409, "name-taken")
    );
    assert_eq!(
        site.tries(ANN, "POST /users", bob).await,
        refused(403, "forbidden"),
        "operators do not say who may what"
    );
    let admin = json!({"role": "admin"});
    assert_eq!(site.tries(ROOT, "PATCH /users/bob", admin).await.0, 200);
    let carl = json!({"name": "carl", "role": "operator", "note": "on loan"});
    assert_eq!(site.tries(BOB, "POST /users", carl).await.0, 201);
    let listed = site
        .as_caller(ANN, "GET", "/api/v1/users", Value::Null)
        .await
        .1;
    let names: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| &u["name"])
        .collect();
    assert_eq!(names, ["bob", "carl"]);
    assert_eq!(
        site.tries(ROOT, "DELETE /users/bob", Value::Null).await.0,
        204
    );
    assert_eq!(tries().await.0, 200, "his group counts again");
    assert_eq!(
        site.tries(ROOT, "GET /users/bob", Value::Null).await,
        refused(404, "user-not-found")
    );
    let root = json!({"name": "root", "role": "viewer"});
    assert_eq!(
        site.tries(ROOT, "POST /users", root).await,
        refused(422, "bad-value")
    );
}

#[tokio::test]
async fn whom_the_host_says_to_be_an_admin_stays_one() {
    let site = Site::new();
    let own = ("local:enforcer", Role::Admin);
    let less = json!({"name": "enforcer", "role": "viewer"});
    assert_eq!(site.tries(own, "POST /users", less).await.0, 201);
    assert_eq!(
        site.tries(own, "DELETE /users/enforcer", Value::Null)
            .await
            .0,
        204
    );
}

#[tokio::test]
async fn a_reserved_machine_refuses_what_others_would_do_to_it() {
    let site = furnished().await;
    let until = Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let body = json!({"until": until});
    assert_eq!(
        site.tries(ANN, "POST /machines/web1/reserve", body.clone())
            .await
            .0,
        200
    );
    let held = refused(409, "machine-reserved");
    let once = json!({"machine": "web1", "kind": "one-shot"});
    let setup = json!({"items": [{"image": "debian"}]});
    assert_eq!(site.tries(BOB, "PUT /setups/node", setup).await.0, 200);
    for (endpoint, body) in [
        (
            "POST /deployments",
            json!({"machine": "web1", "image": "debian"}),
        ),
        (
            "POST /deployments",
            json!({"machine": "web1", "erase": "discard"}),
        ),
        (
            "POST /deployments",
            json!({"machine": "web1", "setup": "node"}),
        ),
        ("POST /boot-configs/none/activate", once),
        ("POST /activations/deactivate", json!({"machine": "web1"})),
        ("POST /machines/web1/inspect", Value::Null),
        ("POST /machines/web1/power", json!({"do": "cycle"})),
        ("PATCH /machines/web1", json!({"name": "mine"})),
        ("DELETE /machines/web1", Value::Null),
        ("POST /machines/web1/reserve", body),
        ("POST /machines/web1/release", Value::Null),
    ] {
        assert_eq!(site.tries(BOB, endpoint, body).await, held, "{endpoint}");
    }
    let deploy = json!({"machine": "web1", "image": "debian"});
    let why = site
        .as_caller(BOB, "POST", "/api/v1/deployments", deploy.clone())
        .await
        .1;
    let why = why["detail"].as_str().unwrap();
    assert!(
        why.contains("ann") && why.contains(&until.to_string()),
        "{why}"
    );
    assert_eq!(site.tries(ANN, "POST /deployments", deploy).await.0, 201);
    assert_eq!(
        site.tries(BOB, "POST /deployments/1/cancel", Value::Null)
            .await,
        held,
        "what the holder asked for is hers"
    );
}

#[tokio::test]
async fn of_many_machines_a_reserved_one_is_left_out_and_named() {
    let site = furnished().await;
    let until = Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let body = json!({"until": until});
    assert_eq!(
        site.tries(ANN, "POST /machines/web1/reserve", body).await.0,
        200
    );
    // Of many machines the one is left out, and named.
    let many = json!({"selector": "pool=web", "image": "debian"});
    let made = site
        .as_caller(BOB, "POST", "/api/v1/deployments", many)
        .await
        .1;
    assert_eq!(made["refused"][0]["machine"], "web1", "{made}");
    assert_eq!(made["deployments"].as_array().unwrap().len(), 1);
    let shown = site
        .as_caller(BOB, "GET", "/api/v1/machines/web1", Value::Null)
        .await
        .1;
    assert_eq!(shown["reserved"]["holder"], "ann");
    assert_eq!(
        site.tries(ANN, "POST /machines/web1/release", Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(
        site.tries(BOB, "POST /machines/web1/inspect", Value::Null)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn an_image_with_an_owner_is_changed_by_them_alone() {
    let site = furnished().await;
    let give = json!({"owner": "ann"});
    assert_eq!(site.tries(ROOT, "PATCH /images/debian", give).await.0, 200);
    let change = json!({"visibility": "private"});
    let not_his = refused(403, "not-yours");
    for (endpoint, body) in [
        ("PATCH /images/debian", change.clone()),
        ("DELETE /images/debian/versions/1", Value::Null),
        ("DELETE /images/debian", Value::Null),
        ("PUT /images/debian/versions", json!("x".repeat(4096))),
    ] {
        assert_eq!(site.tries(BOB, endpoint, body).await, not_his, "{endpoint}");
    }
    assert_eq!(site.tries(ANN, "PATCH /images/debian", change).await.0, 200);
    let bad = json!({"owner": "a b"});
    assert_eq!(
        site.tries(ANN, "PATCH /images/debian", bad).await,
        refused(422, "bad-value")
    );
    assert_eq!(
        site.tries(ROOT, "DELETE /images/debian", Value::Null)
            .await
            .0,
        204
    );
}

#[tokio::test]
async fn a_setup_with_an_owner_is_changed_by_them_alone_and_deployed_by_everybody() {
    let site = furnished().await;
    let items = json!([{"image": "debian"}]);
    let anns = json!({"items": items, "owner": "ann"});
    assert_eq!(
        site.tries(ANN, "PUT /setups/node", anns.clone()).await.0,
        200
    );
    let taken = json!({"items": items, "owner": "bob"});
    let not_his = refused(403, "not-yours");
    for (endpoint, body) in [
        ("PUT /setups/node", taken),
        ("PUT /setups/node", json!({"items": items})),
        ("DELETE /setups/node", Value::Null),
    ] {
        assert_eq!(site.tries(BOB, endpoint, body).await, not_his, "{endpoint}");
    }
    let deploy = json!({"machine": "web1", "setup": "node"});
    assert_eq!(site.tries(BOB, "POST /deployments", deploy).await.0, 201);
    assert_eq!(site.tries(ROOT, "PUT /setups/node", anns).await.0, 200);
    let given = json!({"items": items, "owner": "bob"});
    assert_eq!(site.tries(ANN, "PUT /setups/node", given).await.0, 200);
    assert_eq!(
        site.tries(ANN, "DELETE /setups/node", Value::Null).await,
        not_his
    );
    assert_eq!(
        site.tries(BOB, "DELETE /setups/node", Value::Null).await.0,
        204
    );
}

#[tokio::test]
async fn of_a_switch_and_a_reservation_at_once_the_first_is_first() {
    let site = furnished().await;
    let until = Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let reserve = json!({"until": until});
    let cycle = json!({"do": "cycle"});
    for round in 0..50 {
        let reserve = site.tries(ANN, "POST /machines/web1/reserve", reserve.clone());
        let switch = site.tries(BOB, "POST /machines/web1/power", cycle.clone());
        let (reserved, switched) = match round % 2 {
            0 => tokio::join!(reserve, switch),
            _ => {
                let (switched, reserved) = tokio::join!(switch, reserve);
                (reserved, switched)
            }
        };
        assert_eq!(reserved.0, 200);
        // Nobody knows how to switch it: what was allowed is asked for, and fails.
        let allowed = switched != refused(409, "machine-reserved");
        let asked = site.last("power.asked") > site.last("machine.released");
        assert_eq!(asked, allowed, "{switched:?}");
        assert!(site.last("power.asked") < site.last("machine.reserved"));
        let release = site.tries(ANN, "POST /machines/web1/release", Value::Null);
        assert_eq!(release.await.0, 200);
    }
}
