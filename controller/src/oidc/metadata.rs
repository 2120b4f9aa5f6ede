//! What a provider says of itself (OpenID Connect Discovery 1.0 §3), as far as it is needed.

use serde_json::{Map, Value};

use super::{
    keys::Algorithm,
    settings::{is_address, is_local},
};

/// Where a provider is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Where browsers are sent.
    pub authorization: String,
    /// Where a code becomes an ID token.
    pub token: String,
    /// Where its keys are.
    pub keys: String,
    /// Where it says more of a person.
    pub userinfo: Option<String>,
    /// It wants our secret in the body, not in a header.
    pub secret_in_body: bool,
    /// It names itself when it sends a browser back (RFC 9207).
    pub names_itself: bool,
}

/// Why a provider cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not JSON, or no object.
    #[error(
        "what it says of itself is no JSON object; is `oidc.issuer` the provider's own address?"
    )]
    Garbled,
    /// It is another one, or has another name.
    #[error(
        "it calls itself '{0}'; `oidc.issuer` has to be exactly that, when that is the provider that you mean"
    )]
    Issuer(String),
    /// An address is missing, or nobody may be sent there.
    #[error("it has no good {0}: that has to be an https:// address")]
    Address(&'static str),
    /// Something that it would have to do.
    #[error("it does not offer {0}, which is needed")]
    Lacks(&'static str),
}

impl Metadata {
    /// Reads what the provider called `issuer` says of itself.
    ///
    /// # Errors
    /// When it is another one, or lacks something.
    pub fn parse(body: &[u8], issuer: &str) -> Result<Self, MetadataError> {
        let said = object(body).ok_or(MetadataError::Garbled)?;
        let name = said.get("issuer").and_then(Value::as_str).unwrap_or("");
        if name != issuer {
            let plain = name.chars().filter(|c| !c.is_control());
            return Err(MetadataError::Issuer(plain.take(200).collect()));
        }
        // Only a provider on this host may lead to this host in the clear.
        let good = |a: &&str| is_address(a) && (is_local(issuer) || a.starts_with("https://"));
        let address = |key: &'static str| {
            let text = said.get(key).and_then(Value::as_str).filter(good);
            text.map(str::to_owned).ok_or(MetadataError::Address(key))
        };
        let userinfo = match said.get("userinfo_endpoint") {
            None | Some(Value::Null) => None,
            Some(_) => Some(address("userinfo_endpoint")?),
        };
        if !offers(&said, "response_types_supported", "code", true) {
            return Err(MetadataError::Lacks("the authorization code flow"));
        }
        // Who does not say may know it all the same.
        if !offers(&said, "code_challenge_methods_supported", "S256", true) {
            return Err(MetadataError::Lacks("PKCE with S256"));
        }
        let signs = |a: &Algorithm| {
            offers(
                &said,
                "id_token_signing_alg_values_supported",
                a.name(),
                true,
            )
        };
        if !Algorithm::ALL.iter().any(signs) {
            return Err(MetadataError::Lacks("ID tokens signed with RS256 or ES256"));
        }
        let ways = "token_endpoint_auth_methods_supported";
        let in_header = offers(&said, ways, "client_secret_basic", true);
        Ok(Self {
            authorization: address("authorization_endpoint")?,
            token: address("token_endpoint")?,
            keys: address("jwks_uri")?,
            userinfo,
            secret_in_body: !in_header && offers(&said, ways, "client_secret_post", false),
            names_itself: said
                .get("authorization_response_iss_parameter_supported")
                .is_some_and(|v| *v == Value::Bool(true)),
        })
    }
}

/// An object of JSON.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match mesh_proto::json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Some(fields),
        Ok(_) | Err(_) => None,
    }
}

/// Whether a list has this word; `unsaid` when there is no list.
fn offers(said: &Map<String, Value>, list: &str, word: &str, unsaid: bool) -> bool {
    match said.get(list) {
        Some(Value::Array(words)) => words.iter().any(|w| w == word),
        Some(_) => false,
        None => unsaid,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://sso.example.org/realms/lab";

    fn said() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://sso.example.org/auth",
            "token_endpoint": "https://sso.example.org/token",
            "jwks_uri": "https://sso.example.org/keys",
            "userinfo_endpoint": "https://sso.example.org/me",
            "response_types_supported": ["code", "id_token"],
            "id_token_signing_alg_values_supported": ["PS256", "ES256"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        })
    }

    fn read(change: &Value) -> Result<Metadata, MetadataError> {
        let mut said = said();
        for (key, value) in change.as_object().unwrap() {
            said[key] = value.clone();
        }
        Metadata::parse(said.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn a_usual_provider_can_be_used() {
        let known = read(&json!({})).unwrap();
        assert_eq!(known.token, "https://sso.example.org/token");
        assert!(!known.secret_in_body && !known.names_itself);
        let in_body = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
        assert!(read(&in_body).unwrap().secret_in_body);
        let names = json!({"authorization_response_iss_parameter_supported": true});
        assert!(read(&names).unwrap().names_itself);
    }

    #[test]
    fn another_provider_and_one_that_lacks_something_are_refused() {
        for (change, told) in [
            (
                json!({"issuer": "https://sso.example.org/realms/lab/"}),
                "it calls itself 'https://sso.example.org/realms/lab/'",
            ),
            (json!({"issuer": null}), "it calls itself ''"),
            (
                json!({"token_endpoint": "http://sso.example.org/token"}),
                "token_endpoint",
            ),
            (
                json!({"token_endpoint": "http://127.0.0.1/token"}),
                "token_endpoint",
            ),
            (
                json!({"authorization_endpoint": "javascript:alert(1)"}),
                "authorization_endpoint",
            ),
            (
                json!({"authorization_endpoint": "https://sso.example.org/\r\nSet-Cookie: a=b"}),
                "authorization_endpoint",
            ),
            (json!({"jwks_uri": 7}), "jwks_uri"),
            (json!({"userinfo_endpoint": "ftp://x"}), "userinfo_endpoint"),
            (
                json!({"response_types_supported": ["id_token"]}),
                "code flow",
            ),
            (
                json!({"code_challenge_methods_supported": ["plain"]}),
                "PKCE",
            ),
            (
                json!({"id_token_signing_alg_values_supported": ["none", "HS256"]}),
                "RS256 or ES256",
            ),
        ] {
            let error = read(&change).unwrap_err().to_string();
            assert!(error.contains(told), "{change}: {error}");
        }
        for garbled in ["", "[]", "{", "null"] {
            let read = Metadata::parse(garbled.as_bytes(), ISSUER);
            assert_eq!(read, Err(MetadataError::Garbled), "{garbled}");
        }
    }
}
