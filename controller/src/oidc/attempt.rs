//! One try to sign in, as a browser takes it to the provider and back (OpenID Connect Core 1.0 §3.1, PKCE by RFC 7636).

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use mesh_proto::message::Secret;
use sha2::{Digest as _, Sha256};

use super::{metadata::Metadata, settings::OidcSettings};
use crate::percent::{encode, pairs};

/// What is said once and has to come back. Each is 256 random bits.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Comes back with the browser.
    pub state: Secret,
    /// Comes back in the ID token.
    pub nonce: Secret,
    /// Shown when the code is: only its hash went through the browser.
    verifier: Secret,
}

impl Attempt {
    /// From random bits.
    #[must_use]
    pub fn fresh(bits: [[u8; 32]; 3]) -> Self {
        let [state, nonce, verifier] = bits.map(|bits| Secret::new(URL_SAFE_NO_PAD.encode(bits)));
        Self {
            state,
            nonce,
            verifier,
        }
    }

    /// Where the browser goes.
    #[must_use]
    pub fn url(&self, known: &Metadata, settings: &OidcSettings) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()));
        let asked = pairs(&[
            ("response_type", "code"),
            ("client_id", &settings.client_id),
            ("redirect_uri", &settings.redirect_uri()),
            ("scope", &settings.scopes.join(" ")),
            ("state", self.state.expose()),
            ("nonce", self.nonce.expose()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let joint = if known.authorization.contains('?') {
            '&'
        } else {
            '?'
        };
        format!("{}{joint}{asked}", known.authorization)
    }

    /// What is sent for the code (RFC 6749 §4.1.3): the body, and the header `Authorization` where there is one.
    #[must_use]
    pub fn exchange(
        &self,
        code: &str,
        secret: Option<&Secret>,
        known: &Metadata,
        settings: &OidcSettings,
    ) -> (String, Option<String>) {
        let (id, redirect) = (settings.client_id.as_str(), settings.redirect_uri());
        let mut said = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect),
            ("code_verifier", self.verifier.expose()),
        ];
        match secret {
            Some(secret) if !known.secret_in_body => {
                let (id, secret) = (encode(id), encode(secret.expose()));
                let shown = STANDARD.encode(format!("{id}:{secret}"));
                return (pairs(&said), Some(format!("Basic {shown}")));
            }
            Some(secret) => said.extend([("client_id", id), ("client_secret", secret.expose())]),
            None => said.push(("client_id", id)),
        }
        (pairs(&said), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> OidcSettings {
        OidcSettings {
            name: "SSO".to_owned(),
            issuer: "https://sso.example.org".to_owned(),
            client_id: "boot & more".to_owned(),
            client_secret_file: None,
            ca_file: None,
            public_url: "https://boot.example.org:4843".to_owned(),
            scopes: vec!["openid".to_owned(), "email".to_owned()],
            name_claim: "preferred_username".to_owned(),
            roles: Vec::new(),
            create_users: true,
            email_domains: Vec::new(),
            passwords: true,
        }
    }

    fn known() -> Metadata {
        Metadata {
            authorization: "https://sso.example.org/auth?tenant=1".to_owned(),
            token: "https://sso.example.org/token".to_owned(),
            keys: "https://sso.example.org/keys".to_owned(),
            userinfo: None,
            secret_in_body: false,
            names_itself: false,
        }
    }

    /// The verifier and the challenge are those of RFC 7636 appendix B.
    #[test]
    fn a_browser_carries_the_challenge_and_not_the_verifier() {
        let mut attempt = Attempt::fresh([[0; 32], [1; 32], [2; 32]]);
        attempt.verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let url = attempt.url(&known(), &settings());
        assert_eq!(
            url,
            format!(
                "https://sso.example.org/auth?tenant=1&response_type=code&client_id=boot%20%26%20more\
                 &redirect_uri=https%3A%2F%2Fboot.example.org%3A4843%2Fapi%2Fv1%2Foidc%2Fcallback&scope=openid%20email\
                 &state={}&nonce=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\
                 &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
                "A".repeat(43)
            )
        );
        assert!(!format!("{attempt:?}").contains("dBjf"));
    }

    #[test]
    fn the_secret_is_shown_as_the_provider_wants_it() {
        let attempt = Attempt::fresh([[0; 32], [1; 32], [2; 32]]);
        let secret = Secret::new("a:b c");
        let verifier = attempt.verifier.expose();
        let common = format!(
            "grant_type=authorization_code&code=c%26d&redirect_uri=https%3A%2F%2Fboot.example.org%3A4843%2Fapi%2Fv1%2Foidc%2Fcallback&code_verifier={verifier}"
        );
        let (body, header) = attempt.exchange("c&d", Some(&secret), &known(), &settings());
        let shown = STANDARD.encode("boot%20%26%20more:a%3Ab%20c");
        assert_eq!(
            (body, header),
            (common.clone(), Some(format!("Basic {shown}")))
        );
        let in_body = Metadata {
            secret_in_body: true,
            ..known()
        };
        let (body, header) = attempt.exchange("c&d", Some(&secret), &in_body, &settings());
        let more = "client_id=boot%20%26%20more&client_secret=a%3Ab%20c";
        assert_eq!((body, header), (format!("{common}&{more}"), None));
        let (body, header) = attempt.exchange("c&d", None, &in_body, &settings());
        let more = "client_id=boot%20%26%20more";
        assert_eq!((body, header), (format!("{common}&{more}"), None));
    }
}
