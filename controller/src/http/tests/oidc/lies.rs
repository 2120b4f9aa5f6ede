//! Claims about an identity provider that lies, is slow, or is none.

use serde_json::json;

use super::{
    place::{Place, Sent, Visitor, text},
    provider::{Answer, Provider},
};
use crate::oidc::token::tests::Signer;

#[tokio::test]
async fn a_provider_that_lies_signs_nobody_in() {
    let place = Place::new().await;
    let stranger = Signer::new("first");
    let past = place.site.api.store.now().as_second() - 3_600;
    for (more, told) in [
        (json!({"iss": "https://evil.lab"}), "iss"),
        (json!({"aud": "other"}), "aud"),
        (json!({"azp": "other"}), "azp"),
        (json!({"nonce": "other"}), "nonce"),
        (json!({"exp": past}), "has expired"),
        (json!({"at_hash": "other"}), "at_hash"),
        (json!({"sub": ""}), "sub"),
    ] {
        let mut ann = Visitor::new();
        let (status, page) = place.signs_in(&mut ann, &more).await;
        assert_eq!(status, 502, "{more}: {page}");
        assert!(
            page.contains("oidc-untrue") && page.contains(told),
            "{more}: {page}"
        );
        assert!(ann.cookies.is_empty(), "{:?}", ann.cookies);
    }
    let mut ann = Visitor::new();
    let sent = ann.goes(&place, "").await;
    let claims = place.claims(&sent, &json!({}));
    place.gives(&stranger.token(&claims));
    let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
    assert!(status == 502 && page.contains("signature"), "{page}");
    let sent = ann.goes(&place, "").await;
    let claims = place.claims(&sent, &json!({}));
    place.gives(&place.signer.with_header(&json!({"alg": "none"}), &claims));
    let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
    assert!(status == 502 && page.contains("&#39;none&#39;"), "{page}");
    assert_eq!(place.counted("oidc-untrue"), 9);
    assert_eq!(place.site.api.store.view().users().count(), 0);
    place.site.api.store.flush().await.unwrap();
    let view = place.site.api.store.view();
    let mut told = view
        .events_after(0)
        .filter(|e| e.draft.kind == "session.refused");
    assert!(
        told.any(|e| e.draft.text.contains("signature")),
        "it is written down"
    );
}

#[tokio::test]
async fn a_new_key_is_asked_for_and_an_invented_one_not_for_ever() {
    let place = Place::new().await;
    let mut ann = Visitor::new();
    let second = Signer::new("second");
    let sent = ann.goes(&place, "").await;
    place.provider.shows(&[&place.signer, &second]);
    place.gives(&second.token(&place.claims(&sent, &json!({}))));
    let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(place.provider.asked("/keys").len(), 2);
    let invented = Signer::new("invented");
    for _ in 0..10 {
        let sent = ann.goes(&place, "").await;
        place.gives(&invented.token(&place.claims(&sent, &json!({}))));
        let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
        assert!(status == 502 && page.contains("does not show"), "{page}");
    }
    let asked = place.provider.asked("/keys").len();
    assert!((3..=8).contains(&asked), "{asked}");
}

/// Where it says what it is.
const KNOWN: &str = "/.well-known/openid-configuration";

/// What is asked for, what is answered, what people are told.
type Row = (&'static str, Box<dyn Fn(&Provider) -> Answer>, &'static str);

fn row(
    path: &'static str,
    says: impl Fn(&Provider) -> Answer + 'static,
    told: &'static str,
) -> Row {
    (path, Box::new(says), told)
}

#[tokio::test]
async fn a_provider_that_is_not_what_it_should_be_is_refused_in_time() {
    let long = "x".repeat(200_000);
    let other = |key: &str, value: &str| {
        let (key, value) = (key.to_owned(), value.to_owned());
        move |provider: &Provider| {
            let mut said = provider.metadata();
            said[&key] = json!(value);
            Answer::Says(200, said)
        }
    };
    let rows = [
        row(
            KNOWN,
            other("issuer", "https://evil.lab"),
            "https://evil.lab",
        ),
        row(
            KNOWN,
            other("token_endpoint", "http://192.0.2.1/token"),
            "token_endpoint",
        ),
        row(
            KNOWN,
            other("jwks_uri", "http://127.0.0.1:1/keys"),
            "not asked",
        ),
        row(KNOWN, other("padding", &long), "longer than"),
        row(KNOWN, |_| Answer::Says(500, json!({})), "500"),
        row(
            KNOWN,
            |p| Answer::Redirect(format!("{}/else", p.issuer())),
            "302",
        ),
        row(
            KNOWN,
            |_| Answer::Says(200, json!("hello")),
            "no JSON object",
        ),
        row("/keys", |_| Answer::Endless(10 << 20), "longer than"),
        row(
            "/keys",
            |_| Answer::Says(200, json!({"keys": []})),
            "Key Set",
        ),
    ];
    for (path, says, told) in rows {
        let place = Place::new().await;
        place.provider.answers(path, says(&place.provider));
        for _ in 0..2 {
            let answer = Visitor::new()
                .follows(&place, "/api/v1/oidc/login", "*/*")
                .await;
            let (status, said) = (answer.status(), text(answer).await);
            assert_eq!(status, 502, "{path}: {said}");
            assert!(
                said.contains("oidc-away") && said.contains(told),
                "{path}: {said}"
            );
        }
        assert_eq!(
            place.provider.asked(path).len(),
            1,
            "it is left alone for a while"
        );
        assert_eq!(place.counted("oidc-away"), 2);
    }
}

#[tokio::test]
async fn tokens_that_are_not_given_sign_nobody_in() {
    let place = Place::new().await;
    let rows = [
        (
            Answer::Says(400, json!({"error": "invalid_grant"})),
            "invalid_grant",
        ),
        (Answer::Says(401, json!({"error": "<b>\r\nx"})), "bx"),
        (
            Answer::Says(200, json!({"access_token": "at"})),
            "no ID token",
        ),
        (Answer::Says(200, json!(["id_token"])), "no JSON object"),
        (Answer::Says(503, json!(null)), "503"),
        (Answer::Endless(1 << 20), "longer than"),
        (Answer::Redirect("http://127.0.0.1:1/".to_owned()), "302"),
    ];
    for (answer, told) in rows {
        let mut ann = Visitor::new();
        let sent = ann.goes(&place, "").await;
        place.provider.answers("/token", answer.clone());
        let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
        assert_eq!(status, 502, "{answer:?}: {page}");
        assert!(
            page.contains("oidc-away") && page.contains(told),
            "{answer:?}: {page}"
        );
    }
    let mut ann = Visitor::new();
    let sent = ann.goes(&place, "").await;
    let (status, page) = ann.comes_back(&place, &sent, "&error=access_denied").await;
    assert!(status == 403 && page.contains("access_denied"), "{page}");
    let sent = ann.goes(&place, "").await;
    let (status, page) = ann
        .comes_back(&place, &sent, "&code=c1&iss=https%3A%2F%2Fevil.lab")
        .await;
    assert!(status == 502 && page.contains("another provider"), "{page}");
    assert!(ann.cookies.is_empty());
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_waited_for_with_a_bound() {
    let place = Place::new().await;
    let mut ann = Visitor::new();
    let sent = ann.goes(&place, "").await;
    place.provider.answers("/token", Answer::Nothing);
    let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
    assert_eq!(status, 502, "{page}");
    assert!(page.contains("no answer within 5 s"), "{page}");
}

#[tokio::test]
async fn what_the_token_does_not_say_is_asked_for_about_the_same_person() {
    let place = Place::new().await;
    let bare = json!({"preferred_username": null, "groups": null});
    let mut ann = Visitor::new();
    let me = json!({"sub": "s1", "preferred_username": "ann", "groups": ["boot-admins"]});
    place.provider.says("/me", me);
    // A claim that is there and says nothing is said.
    let bare_token = |sent: &Sent| {
        let mut claims = place.claims(sent, &bare);
        let fields = claims.as_object_mut().unwrap();
        fields.retain(|_, value| !value.is_null());
        place.signer.token(&claims)
    };
    let sent = ann.goes(&place, "").await;
    place.gives(&bare_token(&sent));
    let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(ann.who(&place).await["role"], "admin");
    let asked = place.provider.asked("/me")[0].head.to_ascii_lowercase();
    assert!(asked.contains("authorization: bearer at"), "{asked}");
    place.provider.says(
        "/me",
        json!({"sub": "s2", "preferred_username": "bob", "groups": ["boot-admins"]}),
    );
    let sent = ann.goes(&place, "").await;
    place.gives(&bare_token(&sent));
    let (status, page) = ann.comes_back(&place, &sent, "&code=c1").await;
    assert!(status == 502 && page.contains("different people"), "{page}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_told_to_who_can_cure_it() {
    let place = Place::with(|s| s.client_secret_file = Some("/nowhere/secret".into())).await;
    let mut ann = Visitor::new();
    let (status, page) = place.signs_in(&mut ann, &json!({})).await;
    assert_eq!(status, 502, "{page}");
    assert!(page.contains("oidc.client_secret_file"), "{page}");
    assert!(place.provider.asked("/token").is_empty());
}
