//! Signatures of webhooks, as standardwebhooks.com has them: whoever knows that form can check ours.
//!
//! `webhook-signature: v1,BASE64(HMAC-SHA256(key, "ID.TIMESTAMP.BODY"))`, the key being the base64 behind `whsec_`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use mesh_proto::message::Secret;
use sha2::Sha256;

/// What a secret starts with.
const PREFIX: &str = "whsec_";
/// Bytes of a key: what the form allows.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and 24 to 64 bytes in base64; leave it out to have one made")]
pub struct BadSecret;

/// A secret from random bytes.
#[must_use]
pub fn fresh(bytes: [u8; 32]) -> Secret {
    Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// The key in a secret.
///
/// # Errors
/// When there is none.
pub fn key(secret: &Secret) -> Result<Vec<u8>, BadSecret> {
    let text = secret.expose().strip_prefix(PREFIX).ok_or(BadSecret)?;
    let key = STANDARD.decode(text).map_err(|_| BadSecret)?;
    let fits = KEY_BYTES.contains(&key.len());
    fits.then_some(key).ok_or(BadSecret)
}

/// The signature of a message that is sent at `timestamp` (Unix seconds).
#[must_use]
pub fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn the_specifications_example_is_signed_so() {
        let key = key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert_eq!(key(&fresh([7; 32])).unwrap(), [7; 32]);
        for text in ["", "whsec_", "hunter2", "whsec_c2hvcnQ=", "whsec_!!!!"] {
            assert_eq!(key(&Secret::new(text)), Err(BadSecret), "{text}");
        }
    }
}
