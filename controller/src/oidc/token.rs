//! An ID token (OpenID Connect Core 1.0 §2, a JWT of RFC 7519 in RFC 7515's compact form), and whether it holds (§3.1.3.7).
//!
//! It came from the provider over TLS, and is still looked at as a stranger's: what it says decides who somebody is.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    claims::Claims,
    keys::{Algorithm, Keys},
    metadata::object,
};

/// Longest token, bytes: some hundred groups have some tens of kilobytes.
pub const MAX_TOKEN: usize = 48 << 10;
/// How much the two clocks may differ, seconds.
const LEEWAY_S: i64 = 60;
/// Longest subject (OpenID Connect Core §2).
const MAX_SUBJECT: usize = 255;

/// What a token has to say to be the answer to a question of ours.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who speaks.
    pub issuer: &'a str,
    /// To whom.
    pub client_id: &'a str,
    /// What we said when we asked.
    pub nonce: &'a str,
    /// What came with it.
    pub access_token: Option<&'a str>,
    /// The time, seconds since 1970.
    pub now_s: i64,
}

/// Why a token does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts in base64url, of which two are JSON.
    #[error("the ID token is no signed JWT")]
    Garbled,
    /// Signed otherwise, or not at all.
    #[error(
        "the ID token is signed by '{0}'; set the client's ID token signature to RS256 or ES256 at the provider"
    )]
    Algorithm(String),
    /// Its header asks for something that we do not know (RFC 7515 §4.1.11).
    #[error("the ID token says that it must be understood in a way that is not known here (crit)")]
    Critical,
    /// No key of this name.
    #[error("the ID token is signed by a key that the provider does not show")]
    UnknownKey,
    /// Somebody else's words.
    #[error("the ID token's signature does not fit")]
    Signature,
    /// A claim that has to be there, or is not what it has to be.
    #[error("the ID token's {0} is not what it has to be")]
    Claim(&'static str),
    /// Too old.
    #[error("the ID token has expired; is this host's clock right? `enforcer doctor` says")]
    Expired,
    /// Of tomorrow.
    #[error(
        "the ID token is of a later time than now; is this host's clock right? `enforcer doctor` says"
    )]
    Future,
}

/// What the token says, when it holds.
///
/// # Errors
/// With the first thing that does not.
pub fn check(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Claims, TokenError> {
    let said = signed(token, keys)?;
    let text = |claim: &str| said.get(claim).and_then(Value::as_str);
    let right =
        |fits: bool, claim: &'static str| fits.then_some(()).ok_or(TokenError::Claim(claim));
    right(text("iss") == Some(expected.issuer), "iss")?;
    right(is_for(&said, expected.client_id), "aud")?;
    // Who has it was somebody else (§3.1.3.7, 4 and 5).
    let party = said.get("azp").is_none_or(|p| p == expected.client_id);
    right(party, "azp")?;
    let ends = seconds(&said, "exp")?.ok_or(TokenError::Claim("exp"))?;
    let made = seconds(&said, "iat")?.ok_or(TokenError::Claim("iat"))?;
    let begins = seconds(&said, "nbf")?.unwrap_or(made);
    if expected.now_s >= ends.saturating_add(LEEWAY_S) {
        return Err(TokenError::Expired);
    }
    if made.max(begins) > expected.now_s.saturating_add(LEEWAY_S) {
        return Err(TokenError::Future);
    }
    right(text("nonce") == Some(expected.nonce), "nonce")?;
    if let Some(hash) = said.get("at_hash") {
        let ours = expected.access_token.map(half_hash);
        right(
            ours.is_some() && hash.as_str() == ours.as_deref(),
            "at_hash",
        )?;
    }
    Claims::of(said).ok_or(TokenError::Claim("sub"))
}

/// What a token says, when one of these keys signed it.
fn signed(token: &str, keys: &Keys) -> Result<Map<String, Value>, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Garbled);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Garbled)?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Garbled)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let json = |part: &str| {
        decode(part)
            .and_then(|bytes| object(&bytes))
            .ok_or(TokenError::Garbled)
    };
    let header = json(header)?;
    let name = header
        .get("alg")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let algorithm = Algorithm::of(name).ok_or_else(|| TokenError::Algorithm(plain(name)))?;
    if header.contains_key("crit") {
        return Err(TokenError::Critical);
    }
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(TokenError::Garbled),
    };
    let key = keys.find(algorithm, id).ok_or(TokenError::UnknownKey)?;
    let signature = decode(signature).ok_or(TokenError::Garbled)?;
    if !key.signed(message.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    json(payload)
}

/// Whether it is for us: alone, or among others who then say that we asked (`azp`).
fn is_for(said: &Map<String, Value>, client_id: &str) -> bool {
    match said.get("aud") {
        Some(Value::String(one)) => one == client_id,
        Some(Value::Array(all)) => {
            all.iter().any(|a| a == client_id) && (all.len() == 1 || said.contains_key("azp"))
        }
        _ => false,
    }
}

/// A time; some providers write fractions.
fn seconds(said: &Map<String, Value>, claim: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(value) = said.get(claim) else {
        return Ok(None);
    };
    let whole = value.as_i64().or_else(|| {
        let seconds = value.as_f64().filter(|s| s.abs() < 1e15);
        // A fraction of a second may go.
        seconds.map(|s| s as i64)
    });
    whole.map(Some).ok_or(TokenError::Claim(claim))
}

/// The left half of the SHA-256, as `at_hash` has it (§3.1.3.6).
fn half_hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..16])
}

/// A stranger's word, for a sentence.
fn plain(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect()
}

/// Whether a text can be somebody's name at a provider.
pub(super) fn is_subject(text: &str) -> bool {
    (1..=MAX_SUBJECT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use serde_json::json;

    use super::*;

    const NOW_S: i64 = 1_767_323_045;
    const EXPECTED: Expected<'_> = Expected {
        issuer: "https://sso.example.org",
        client_id: "enforcer",
        nonce: "n-0S6_WzA2Mj",
        access_token: Some("the-access-token"),
        now_s: NOW_S,
    };

    /// Signs ID tokens, as a provider does.
    pub(crate) struct Signer {
        id: String,
        pair: EcdsaKeyPair,
        random: SystemRandom,
    }

    impl Signer {
        pub(crate) fn new(id: &str) -> Self {
            let random = SystemRandom::new();
            let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let made = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).unwrap();
            let id = id.to_owned();
            Self { id, pair, random }
        }

        /// Its public key, as a JWK.
        pub(crate) fn jwk(&self) -> Value {
            let point = self.pair.public_key().as_ref();
            let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
            json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": part(1..33), "y": part(33..65)})
        }

        pub(crate) fn token(&self, claims: &Value) -> String {
            self.with_header(&json!({"alg": "ES256", "kid": self.id}), claims)
        }

        pub(crate) fn with_header(&self, header: &Value, claims: &Value) -> String {
            let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
            let message = format!("{}.{}", part(header), part(claims));
            let signed = self.pair.sign(&self.random, message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed))
        }

        fn keys(&self) -> Keys {
            let set = json!({"keys": [self.jwk()]}).to_string();
            Keys::parse(set.as_bytes()).unwrap()
        }
    }

    fn claims() -> Value {
        json!({"iss": EXPECTED.issuer, "aud": "enforcer", "sub": "ann-1", "nonce": EXPECTED.nonce,
            "exp": NOW_S + 300, "iat": NOW_S, "at_hash": half_hash("the-access-token")})
    }

    #[test]
    fn a_token_of_openssl_holds_in_its_time() {
        let golden: Value = serde_json::from_str(include_str!("golden/rs256.json")).unwrap();
        let keys = Keys::parse(golden["keys"].to_string().as_bytes()).unwrap();
        let token = golden["token"].as_str().unwrap();
        let claims = check(token, &keys, &EXPECTED).unwrap();
        assert_eq!(claims.subject(), "248289761001");
        let later = Expected {
            now_s: NOW_S + 300 + LEEWAY_S,
            ..EXPECTED
        };
        assert_eq!(check(token, &keys, &later), Err(TokenError::Expired));
        let just = Expected {
            now_s: later.now_s - 1,
            ..EXPECTED
        };
        assert!(check(token, &keys, &just).is_ok());
        let before = Expected {
            now_s: NOW_S - LEEWAY_S - 1,
            ..EXPECTED
        };
        assert_eq!(check(token, &keys, &before), Err(TokenError::Future));
    }

    #[test]
    fn each_claim_has_to_be_what_it_has_to_be() {
        let signer = Signer::new("k");
        let keys = signer.keys();
        assert!(check(&signer.token(&claims()), &keys, &EXPECTED).is_ok());
        let rows = [
            (json!({"iss": "https://sso.example.org/"}), "iss"),
            (json!({"iss": null}), "iss"),
            (json!({"aud": "other"}), "aud"),
            (json!({"aud": ["other"]}), "aud"),
            (json!({"aud": ["enforcer", "other"]}), "aud"),
            (json!({"aud": ["enforcer", "other"], "azp": "enforcer"}), ""),
            (json!({"aud": ["enforcer"]}), ""),
            (json!({"aud": []}), "aud"),
            (json!({"aud": null}), "aud"),
            (json!({"azp": "other"}), "azp"),
            (json!({"azp": 7}), "azp"),
            (json!({"exp": null}), "exp"),
            (json!({"exp": "tomorrow"}), "exp"),
            (json!({"exp": 1e300}), "exp"),
            (json!({"exp": (NOW_S + 300) as f64 + 0.5}), ""),
            (json!({"exp": NOW_S - LEEWAY_S}), "has expired"),
            (json!({"exp": i64::MAX}), ""),
            (json!({"exp": i64::MIN}), "has expired"),
            (json!({"iat": null}), "iat"),
            (json!({"iat": NOW_S + LEEWAY_S + 1}), "later time"),
            (json!({"nbf": NOW_S + LEEWAY_S + 1}), "later time"),
            (json!({"nonce": "other"}), "nonce"),
            (json!({"nonce": null}), "nonce"),
            (json!({"at_hash": "other"}), "at_hash"),
            (json!({"at_hash": null}), "at_hash"),
            (json!({"sub": ""}), "sub"),
            (json!({"sub": 7}), "sub"),
            (json!({"sub": "a\u{0}b"}), "sub"),
            (json!({"sub": "x".repeat(256)}), "sub"),
        ];
        for (change, told) in rows {
            let mut said = claims();
            for (claim, value) in change.as_object().unwrap() {
                said[claim] = value.clone();
            }
            let checked = check(&signer.token(&said), &keys, &EXPECTED);
            match checked {
                Ok(_) => assert_eq!(told, "", "{change}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        !told.is_empty() && error.contains(told),
                        "{change}: {error}"
                    );
                }
            }
        }
        let without = Expected {
            access_token: None,
            ..EXPECTED
        };
        let checked = check(&signer.token(&claims()), &keys, &without);
        assert_eq!(checked, Err(TokenError::Claim("at_hash")));
    }

    #[test]
    fn what_is_not_signed_by_the_providers_key_is_nothing() {
        let (signer, other) = (Signer::new("k"), Signer::new("k"));
        let keys = signer.keys();
        let check = |token: &str| super::check(token, &keys, &EXPECTED).unwrap_err();
        assert_eq!(check(&other.token(&claims())), TokenError::Signature);
        let unknown = Signer::new("other").token(&claims());
        assert_eq!(check(&unknown), TokenError::UnknownKey);
        for alg in ["none", "HS256", "ES384", "RS512", "", "es256"] {
            let token = signer.with_header(&json!({"alg": alg, "kid": "k"}), &claims());
            assert_eq!(check(&token), TokenError::Algorithm(alg.to_owned()));
        }
        // The other algorithm, which has no key here.
        let token = signer.with_header(&json!({"alg": "RS256", "kid": "k"}), &claims());
        assert_eq!(check(&token), TokenError::UnknownKey);
        let crit = json!({"alg": "ES256", "kid": "k", "crit": ["b64"], "b64": false});
        assert_eq!(
            check(&signer.with_header(&crit, &claims())),
            TokenError::Critical
        );
        let good = signer.token(&claims());
        let unsigned = good.rsplit_once('.').unwrap().0;
        for garbled in [
            "",
            "..",
            "a.b",
            unsigned,
            &format!("{unsigned}."),
            &format!("{good}="),
            &format!("{good}.e30"),
            &format!("{unsigned}.{}", "A".repeat(MAX_TOKEN)),
        ] {
            let told = check(garbled);
            let refused = matches!(told, TokenError::Garbled | TokenError::Signature);
            assert!(refused, "{garbled}: {told}");
        }
    }

    proptest! {
        /// A signature is one way to write a token and no other: whatever is changed, it is refused.
        #[test]
        fn a_token_that_was_changed_anywhere_is_refused(at in 0_usize..4096, to in any::<char>()) {
            let signer = Signer::new("k");
            let good = signer.token(&claims());
            let at = at % good.len();
            prop_assume!(!good[at..].starts_with(to));
            let bad = format!("{}{to}{}", &good[..at], &good[at + 1..]);
            prop_assert!(check(&bad, &signer.keys(), &EXPECTED).is_err());
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[A-Za-z0-9_.-]{0,200}", any in any::<String>()) {
            let keys = Signer::new("k").keys();
            prop_assert!(check(&text, &keys, &EXPECTED).is_err());
            prop_assert!(check(&any, &keys, &EXPECTED).is_err());
        }
    }
}
