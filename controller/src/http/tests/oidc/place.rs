//! A site with an identity provider, and the browser of somebody who signs in there.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use axum::{
    body::Body,
    http::{Request, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{super::Site, provider::Provider};
use crate::{
    http::{
        network::{Remote, Secure},
        router,
    },
    metrics::Counter,
    oidc::{Oidc, OidcSettings, RoleRule, token::tests::Signer},
    state::user::Role,
};

/// Longer than any answer of this process, also on a busy machine; silence is waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A site whose people sign in at a provider.
pub(super) struct Place {
    pub(super) site: Site,
    pub(super) provider: Provider,
    pub(super) signer: Signer,
}

/// A browser with its cookies; it stands outside.
#[derive(Clone)]
pub(super) struct Visitor {
    from: [u8; 4],
    pub(super) cookies: BTreeMap<String, String>,
}

/// What the provider was asked through the browser.
pub(super) struct Sent {
    pub(super) query: BTreeMap<String, String>,
}

fn rule(claim: &str, value: &str, role: Role) -> RoleRule {
    let (claim, value) = (claim.to_owned(), value.to_owned());
    RoleRule { claim, value, role }
}

fn settings(issuer: &str, secret: Option<PathBuf>) -> OidcSettings {
    OidcSettings {
        name: "Lab SSO".to_owned(),
        issuer: issuer.to_owned(),
        client_id: "enforcer".to_owned(),
        client_secret_file: secret,
        ca_file: None,
        public_url: "https://boot.lab".to_owned(),
        scopes: vec!["openid".to_owned()],
        name_claim: "preferred_username".to_owned(),
        roles: vec![
            rule("groups", "boot-admins", Role::Admin),
            rule("groups", "boot", Role::Operator),
        ],
        create_users: true,
        email_domains: Vec::new(),
        passwords: true,
    }
}

impl Place {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut OidcSettings)) -> Self {
        let (mut site, provider) = (Site::new(), Provider::start().await);
        let secret = site.state().join("secret");
        std::fs::write(&secret, "the client's secret\n").unwrap();
        let mut settings = settings(&provider.issuer(), Some(secret));
        change(&mut settings);
        let signer = Signer::new("first");
        provider.shows(&[&signer]);
        let oidc = Oidc::with_patience(settings, PATIENCE);
        site.api = site.api.clone().with_oidc(Some(oidc));
        Self {
            site,
            provider,
            signer,
        }
    }

    /// What the provider says of somebody who was sent so.
    pub(super) fn claims(&self, sent: &Sent, more: &Value) -> Value {
        let now = self.site.api.store.now().as_second();
        let mut claims = json!({"iss": self.provider.issuer(), "aud": "enforcer", "sub": "s1", "exp": now + 300, "iat": now,
            "nonce": sent.query["nonce"], "preferred_username": "ann", "groups": ["boot"]});
        for (claim, value) in more.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        claims
    }

    /// The provider gives this token for the next code.
    pub(super) fn gives(&self, token: &str) {
        let said = json!({"id_token": token, "access_token": "at", "token_type": "Bearer"});
        self.provider.says("/token", said);
    }

    /// The whole way, with what the provider says of them.
    pub(super) async fn signs_in(&self, visitor: &mut Visitor, more: &Value) -> (u16, String) {
        let sent = visitor.goes(self, "").await;
        self.gives(&self.signer.token(&self.claims(&sent, more)));
        visitor.comes_back(self, &sent, "&code=c1").await
    }

    pub(super) fn counted(&self, label: &str) -> u64 {
        self.site.api.metrics.value(Counter::SignIns, label)
    }
}

impl Visitor {
    pub(super) fn new() -> Self {
        Self {
            from: [192, 0, 2, 7],
            cookies: BTreeMap::new(),
        }
    }

    /// Follows an address, as a browser does that came from another site: it shows no cookie that is `Strict`.
    pub(super) async fn follows(&mut self, place: &Place, path: &str, accept: &str) -> Response {
        let mut request = Request::get(path)
            .header(header::HOST, "boot.lab")
            .header(header::ACCEPT, accept)
            .header("sec-fetch-site", "cross-site");
        let shown = self
            .cookies
            .iter()
            .filter(|(name, _)| name.ends_with("sign-in"));
        for (name, value) in shown {
            request = request.header(header::COOKIE, format!("{name}={value}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Remote(self.from.into()));
        request.extensions_mut().insert(Secure(true));
        let response = router(place.site.api.clone())
            .oneshot(request)
            .await
            .unwrap();
        for given in response.headers().get_all(header::SET_COOKIE) {
            let given = given.to_str().unwrap();
            let (name, value) = given.split(';').next().unwrap().split_once('=').unwrap();
            assert!(given.contains("; HttpOnly; SameSite=") && given.ends_with("; Secure"));
            self.cookies.insert(name.to_owned(), value.to_owned());
            if given.contains("Max-Age=0") {
                self.cookies.remove(name);
            }
        }
        response
    }

    /// Presses the button.
    pub(super) async fn goes(&mut self, place: &Place, query: &str) -> Sent {
        let path = format!("/api/v1/oidc/login{query}");
        let response = self.follows(place, &path, "text/html").await;
        let status = response.status();
        let location = response.headers().get(header::LOCATION).cloned();
        assert_eq!(status, 302, "{}", text(response).await);
        let location = location.unwrap().to_str().unwrap().to_owned();
        let at = format!("{}/auth?", place.provider.issuer());
        let query = location.strip_prefix(&at).unwrap();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let query = query.split('&').map(pair).collect();
        Sent { query }
    }

    pub(super) async fn comes_back(
        &mut self,
        place: &Place,
        sent: &Sent,
        more: &str,
    ) -> (u16, String) {
        let path = format!("/api/v1/oidc/callback?state={}{more}", sent.query["state"]);
        let response = self.follows(place, &path, "text/html").await;
        (response.status().as_u16(), text(response).await)
    }

    /// Who the controller says that they are, from a page of its own.
    pub(super) async fn who(&self, place: &Place) -> Value {
        let mut request = Request::get("/api/v1/session").header("sec-fetch-site", "same-origin");
        for (name, value) in &self.cookies {
            request = request.header(header::COOKIE, format!("{name}={value}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Secure(true));
        let response = router(place.site.api.clone())
            .oneshot(request)
            .await
            .unwrap();
        serde_json::from_str(&text(response).await).unwrap()
    }
}

pub(super) async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
