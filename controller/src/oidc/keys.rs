//! A provider's public keys (JWKS, RFC 7517), and whether one of them signed something (RFC 7518 §3.3 and §3.4).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Map, Value};

use super::metadata::object;

/// Keys of one provider: those of today and of yesterday, for each algorithm, and encryption's. More are not looked at.
const MAX_KEYS: usize = 64;
/// Longest number of an RSA key, bytes: 8192 bits.
const MAX_NUMBER: usize = 1_024;

/// How an ID token may be signed. Nothing else is: `none` is no signature, and with `HS256` whoever knows our secret signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Rs256, Self::Es256];

    /// As tokens name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// What should be keys is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its keys are no JSON Web Key Set with a key for RS256 or ES256")]
pub struct NoKeys;

impl Keys {
    /// Reads a key set; keys that are for something else are left out.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn parse(body: &[u8]) -> Result<Self, NoKeys> {
        let set = object(body).ok_or(NoKeys)?;
        let Some(Value::Array(all)) = set.get("keys") else {
            return Err(NoKeys);
        };
        let read = all.iter().take(MAX_KEYS);
        let keys: Vec<Key> = read.filter_map(|k| Key::read(k.as_object()?)).collect();
        match keys.is_empty() {
            true => Err(NoKeys),
            false => Ok(Self(keys)),
        }
    }

    /// The key that a token names. One that names none can only mean the only one there is (OpenID Connect Core §10.1).
    #[must_use]
    pub fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&Key> {
        let fits =
            |key: &&Key| key.algorithm() == algorithm && id.is_none_or(|_| key.id.as_deref() == id);
        let mut found = self.0.iter().filter(fits);
        let first = found.next()?;
        (id.is_some() || found.next().is_none()).then_some(first)
    }
}

impl Key {
    fn read(said: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| said.get(key).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let material = match text("kty")? {
            "RSA" => Material::Rsa {
                n: number(text("n")?)?,
                e: number(text("e")?)?,
            },
            "EC" if text("crv") == Some("P-256") => {
                let (x, y) = (coordinate(text("x")?)?, coordinate(text("y")?)?);
                // Uncompressed (SEC 1 §2.3.3), as ring wants it.
                Material::P256([&[4_u8][..], &x, &y].concat())
            }
            _ => return None,
        };
        let key = Self {
            id: text("kid").map(str::to_owned),
            material,
        };
        let other = text("alg").is_some_and(|a| a != key.algorithm().name());
        (!other).then_some(key)
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
        }
    }

    /// Whether it signed `message`.
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
        }
    }
}

/// A big-endian number. Some providers pad, and some begin with zeros.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    let bytes = &bytes[zeros..];
    (!bytes.is_empty() && bytes.len() <= MAX_NUMBER).then(|| bytes.to_vec())
}

fn coordinate(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    (bytes.len() == 32).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7515 §A.3: another implementation's signature.
    #[test]
    fn what_others_signed_is_signed() {
        let key = json!({"kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        let message = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let keys = Keys::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
        let key = keys.find(Algorithm::Es256, None).unwrap();
        assert!(key.signed(message, &signature));
        assert!(!key.signed(&message[1..], &signature));
        assert!(!key.signed(message, &signature[1..]));
        assert!(!key.signed(message, &[]));
    }

    /// Made by OpenSSL: `genrsa`, `dgst -sha256 -sign`.
    #[test]
    fn what_openssl_signed_with_rsa_is_signed() {
        let golden = include_str!("golden/rs256.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        let keys = Keys::parse(golden["keys"].to_string().as_bytes()).unwrap();
        let (message, signature) = golden["token"].as_str().unwrap().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = keys.find(Algorithm::Rs256, Some("2026")).unwrap();
        assert!(key.signed(message.as_bytes(), &signature));
        assert!(!key.signed(b"other", &signature));
        let mut changed = signature;
        changed[17] ^= 1;
        assert!(!key.signed(message.as_bytes(), &changed));
    }

    fn p256(more: &Value) -> Value {
        let zeros = URL_SAFE_NO_PAD.encode([7; 32]);
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": zeros, "y": zeros});
        for (name, value) in more.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
        let long = URL_SAFE_NO_PAD.encode([1; MAX_NUMBER + 1]);
        for key in [
            p256(&json!({"use": "enc"})),
            p256(&json!({"alg": "ES384"})),
            p256(&json!({"crv": "P-384"})),
            p256(&json!({"x": "AAAA"})),
            p256(&json!({"y": "!"})),
            p256(&json!({"kty": "oct", "k": "c2VjcmV0"})),
            json!({"kty": "RSA", "n": long, "e": "AQAB"}),
            json!({"kty": "RSA", "n": "AAAA", "e": "AQAB"}),
            json!({"kty": "RSA", "e": "AQAB"}),
            json!(7),
        ] {
            let set = json!({"keys": [key]}).to_string();
            assert_eq!(Keys::parse(set.as_bytes()), Err(NoKeys), "{set}");
        }
        let many = json!({"keys": vec![p256(&json!({"use": "sig", "alg": "ES256"})); 1000]});
        assert_eq!(
            Keys::parse(many.to_string().as_bytes()).unwrap().0.len(),
            MAX_KEYS
        );
    }

    #[test]
    fn a_token_without_a_name_of_a_key_means_the_only_one() {
        let named = |id: &str| p256(&json!({"kid": id}));
        let read = |keys: &[Value]| {
            let set = json!({ "keys": keys }).to_string();
            Keys::parse(set.as_bytes()).unwrap()
        };
        let (one, two) = (read(&[named("a")]), read(&[named("a"), named("b")]));
        assert!(one.find(Algorithm::Es256, None).is_some());
        assert!(two.find(Algorithm::Es256, None).is_none());
        assert!(two.find(Algorithm::Es256, Some("b")).is_some());
        assert!(two.find(Algorithm::Es256, Some("c")).is_none());
        assert!(one.find(Algorithm::Rs256, Some("a")).is_none());
    }
}
