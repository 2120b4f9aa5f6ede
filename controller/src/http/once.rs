//! Requests with a name of their caller's own, the header `Idempotency-Key`: sent twice, they are done once.
//!
//! Who lost an answer sends the request again under its name, and is told what was made the first time, as it stands now.

use axum::{
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use serde::de::DeserializeOwned;
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    auth::Caller,
    conditional::header_parameter,
    error::{Code, Problem},
    extract,
};
use crate::state::{answered::RequestKey, ops::KeyReused, trust::Digest};

/// The header, as the document has it.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A JSON body, and the name of its request.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    /// The name, if it has one.
    pub(crate) key: Option<RequestKey>,
    /// The body.
    pub(crate) body: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let key = idempotency_key(request.headers())?;
        let caller = request.extensions().get::<Caller>();
        let caller = caller.map_or_else(String::new, |c| c.name.clone());
        let place = format!("{} {}\0", request.method(), request.uri().path());
        let bytes = extract::body(request, state).await?;
        let digest = || Digest::of(&[place.as_bytes(), &bytes].concat());
        Ok(Self {
            key: key.map(|key| RequestKey::new(&caller, &key, digest())),
            body: extract::json(&bytes)?,
        })
    }
}

impl<T> IntoParams for Keyed<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let told = "The caller's own name for this request, 1 to 128 letters, digits and signs. Within a day the same name with the same request is answered with what was made the first time; with another one it is refused (422).";
        vec![header_parameter(IDEMPOTENCY_KEY, told)]
    }
}

/// The caller's own name for a request.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let plain = |k: &&str| (1..=128).contains(&k.len()) && k.bytes().all(|b| b.is_ascii_graphic());
    let key = key.to_str().ok().filter(plain);
    let wrong = || {
        let text = "Idempotency-Key: 1 to 128 letters, digits and signs";
        Problem::new(Code::BadValue, text)
    };
    key.map(|k| Some(k.to_owned())).ok_or_else(wrong)
}

impl From<KeyReused> for Problem {
    fn from(reused: KeyReused) -> Self {
        Self::new(Code::KeyReused, reused.to_string())
    }
}
