//! Claims about people who sign in at an identity provider: who gets in, as whom, and who does not.

mod lies;
mod place;
mod provider;

use axum::http::header;
use serde_json::{Value, json};

use self::place::{Place, Visitor};
use super::Site;

#[tokio::test]
async fn somebody_signs_in_and_gets_what_a_password_gives() {
    let place = Place::new().await;
    let mut ann = Visitor::new();
    let sent = ann.goes(&place, "?return=%2F%23%2Fmachines%3Fq%3Da").await;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "enforcer"),
        (
            "redirect_uri",
            "https%3A%2F%2Fboot.lab%2Fapi%2Fv1%2Foidc%2Fcallback",
        ),
        ("scope", "openid"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(sent.query[name], value, "{name}");
    }
    assert!(
        ann.cookies.contains_key("__Host-enforcer-sign-in"),
        "{:?}",
        ann.cookies
    );
    place.gives(&place.signer.token(&place.claims(&sent, &json!({}))));
    let (status, page) = ann
        .comes_back(&place, &sent, "&code=c1&session_state=x")
        .await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("0;url=/#/machines?q=a"), "{page}");
    assert_eq!(
        ann.cookies.keys().collect::<Vec<_>>(),
        ["__Host-enforcer-session"]
    );
    let who = ann.who(&place).await;
    assert_eq!(
        (&who["user"], &who["role"]),
        (&json!("ann"), &json!("operator"))
    );
    assert_eq!(who["name"], "session:ann");
    assert_eq!(who["session"]["from"], "192.0.2.7");
    assert_eq!(place.counted("good-oidc"), 1);
    let asked = &place.provider.asked("/token")[0];
    assert!(asked.body.contains("code=c1&") && asked.body.contains("&code_verifier="));
    let head = asked.head.to_ascii_lowercase();
    assert!(head.contains("authorization: basic "), "{head}");
    assert!(!asked.body.contains("secret"), "{}", asked.body);
    // Another day, with another role: the same person.
    let admin = json!({"groups": ["boot", "boot-admins"], "preferred_username": "ann.other"});
    assert_eq!(place.signs_in(&mut ann, &admin).await.0, 200);
    let who = ann.who(&place).await;
    assert_eq!(
        (&who["user"], &who["role"]),
        (&json!("ann"), &json!("admin"))
    );
    assert_eq!(place.provider.asked("/keys").len(), 1, "its keys are kept");
}

#[tokio::test]
async fn whoever_did_not_begin_here_does_not_end_here() {
    let place = Place::new().await;
    let (mut ann, mut eve) = (Visitor::new(), Visitor::new());
    // Eve signs in with her account and has Ann follow the last step: Ann would work as Eve.
    let eves = eve.goes(&place, "").await;
    place.gives(&place.signer.token(&place.claims(&eves, &json!({}))));
    let refused = ann.comes_back(&place, &eves, "&code=c1").await;
    assert!(
        refused.0 == 400 && refused.1.contains("oidc-state"),
        "{refused:?}"
    );
    // Ann is on her way somewhere else: her cookie is of another attempt.
    let anns = ann.goes(&place, "").await;
    let eves = eve.goes(&place, "").await;
    assert_eq!(ann.comes_back(&place, &eves, "&code=c1").await.0, 400);
    // The same answer twice.
    let mut again = Visitor::new();
    let sent = again.goes(&place, "").await;
    let copied = again.clone();
    place.gives(&place.signer.token(&place.claims(&sent, &json!({}))));
    assert_eq!(again.comes_back(&place, &sent, "&code=c1").await.0, 200);
    let mut replayed = copied;
    assert_eq!(replayed.comes_back(&place, &sent, "&code=c1").await.0, 400);
    let state = &anns.query["state"];
    for path in [
        "/api/v1/oidc/callback".to_owned(),
        "/api/v1/oidc/callback?state=&code=c1".to_owned(),
        format!("/api/v1/oidc/callback?state={state}x&code=c1"),
        format!("/api/v1/oidc/callback?state={}&code=c1", "x".repeat(10_000)),
    ] {
        let answer = Visitor::new().follows(&place, &path, "*/*").await;
        assert_eq!(answer.status(), 400);
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
    assert_eq!(
        place.provider.asked("/token").len(),
        1,
        "no code of others is shown"
    );
    assert_eq!(place.counted("oidc-state"), 7);
    place.site.api.store.flush().await.unwrap();
    let events = place.site.api.store.view();
    let told = events
        .events_after(0)
        .filter(|e| e.draft.kind == "session.refused");
    assert_eq!(told.count(), 0, "strangers do not fill the record");
}

#[tokio::test]
async fn nobody_is_sent_to_somebody_elses_page() {
    let place = Place::new().await;
    for back in [
        "https%3A%2F%2Fevil.lab",
        "%2F%2Fevil.lab",
        "%2F%5Cevil.lab",
        "%2F%22%3E",
    ] {
        let path = format!("/api/v1/oidc/login?return={back}");
        let refused = Visitor::new().follows(&place, &path, "*/*").await;
        assert_eq!(refused.status(), 422, "{back}");
        assert!(refused.headers().get(header::SET_COOKIE).is_none());
    }
    assert!(
        place.provider.asked("/keys").is_empty(),
        "for this nobody is asked"
    );
}

#[tokio::test]
async fn whom_the_configuration_gives_nothing_is_told_so() {
    let place = Place::with(|s| s.email_domains = vec!["example.org".to_owned()]).await;
    let mail = |mail: &str| json!({"email": mail, "email_verified": true});
    let mut ann = Visitor::new();
    for (more, status, told) in [
        (json!({}), 403, "example.org"),
        (mail("ann@evil.lab"), 403, "example.org"),
        (
            json!({"groups": ["other"], "email": "ann@example.org", "email_verified": true}),
            403,
            "[[oidc.roles]]",
        ),
        (
            json!({"preferred_username": "root", "email": "ann@example.org", "email_verified": true}),
            409,
            "root",
        ),
        (
            json!({"preferred_username": "daemon", "email": "ann@example.org", "email_verified": true}),
            409,
            "account of the controller",
        ),
    ] {
        let (was, page) = place.signs_in(&mut ann, &more).await;
        assert_eq!(was, status, "{more}: {page}");
        assert!(page.contains(told), "{more}: {page}");
        assert!(ann.cookies.is_empty());
    }
    assert_eq!(place.counted("oidc-no-access"), 3);
    assert_eq!(place.counted("oidc-name"), 2);
    assert_eq!(
        place.signs_in(&mut ann, &mail("ann@example.org")).await.0,
        200
    );
}

#[tokio::test]
async fn the_ways_to_sign_in_are_told_and_passwords_can_be_shut() {
    let none = Site::new();
    let (status, ways) = none.json("GET", "/api/v1/sign-in", Value::Null).await;
    assert_eq!(
        (status.as_u16(), ways),
        (200, json!({"password": true, "oidc": null}))
    );
    let (status, told) = none.json("GET", "/api/v1/oidc/login", Value::Null).await;
    assert_eq!((status.as_u16(), &told["code"]), (409, &json!("oidc-off")));
    let place = Place::with(|s| s.passwords = false).await;
    let ways = place
        .site
        .json("GET", "/api/v1/sign-in", Value::Null)
        .await
        .1;
    let oidc = json!({"name": "Lab SSO", "url": "https://boot.lab/api/v1/oidc/login"});
    assert_eq!(ways, json!({"password": false, "oidc": oidc}));
    let body = json!({"name": "ann", "password": "correct horse battery"});
    let (status, told) = place.site.json("POST", "/api/v1/session", body).await;
    assert_eq!(
        (status.as_u16(), &told["code"]),
        (401, &json!("sign-in-refused"))
    );
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .contains("identity provider")
    );
}
