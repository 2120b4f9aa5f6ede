//! What an identity provider says: of itself, its keys, an ID token.

use enforcer::oidc::{
    keys::Keys,
    metadata::Metadata,
    token::{Expected, check},
};

const ISSUER: &str = "https://sso.example.org";

/// The input is what it says of itself, or its keys, and a line with a token behind them.
pub fn fuzz_oidc(data: &[u8]) {
    if let Ok(known) = Metadata::parse(data, ISSUER) {
        for url in [&known.authorization, &known.token, &known.keys] {
            assert!(url.starts_with("https://"), "{url}");
        }
    }
    let end = data.iter().position(|byte| *byte == b'\n');
    let (keys, token) = data.split_at(end.unwrap_or(data.len()));
    let (Ok(keys), Ok(token)) = (Keys::parse(keys), std::str::from_utf8(token)) else {
        return;
    };
    let expected = Expected {
        issuer: ISSUER,
        client_id: "enforcer",
        nonce: "n-0S6_WzA2Mj",
        access_token: Some("the-access-token"),
        now_s: 1_767_323_045,
    };
    if let Ok(claims) = check(token.trim(), &keys, &expected) {
        assert!(!claims.subject().is_empty());
    }
}
