//! Reading requests: bodies, queries and path segments, each mistake answered as a problem.

use std::borrow::Cow;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{Uri, request::Parts},
};
use mesh_proto::json::from_slice;
use serde::de::DeserializeOwned;

use super::error::{Code, Problem};

/// The largest JSON body taken, bytes: boot configs carry answer files, and those are texts of some kilobytes.
pub(crate) const MAX_JSON_BYTES: usize = 1 << 20;

/// A JSON body. Unknown fields are refused by its type.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = body(request, state).await?;
        json(&bytes).map(Self)
    }
}

/// The bytes of a body that should be JSON.
pub(super) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let read = Bytes::from_request(request, state).await;
    read.map_err(|rejected| match rejected.status() {
        axum::http::StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            Code::BodyTooLarge,
            format!("a JSON body may have {MAX_JSON_BYTES} bytes; upload big files with PUT /api/v1/files/{{sha256}} and name them by their SHA-256"),
        ),
        _ => Problem::new(Code::BadRequest, format!("the body cannot be read: {rejected}")),
    })
}

/// What they say.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    from_slice(bytes).map_err(|e| {
        Problem::new(
            Code::BadRequest,
            format!("the JSON body is wrong: {e}; /api/v1/openapi.json describes it"),
        )
    })
}

/// The query. Unknown parameters are refused by its type.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let uri = one_label(&parts.uri);
        Query::try_from_uri(&uri)
            .map(|Query(value)| Self(value))
            .map_err(|e| {
                Problem::new(
                    Code::BadRequest,
                    format!(
                        "the query is wrong: {}; /api/v1/openapi.json describes it",
                        e.body_text()
                    ),
                )
            })
    }
}

/// The parameter of lists that may be given several times, which is as good as once with commas.
const LABEL: &str = "label=";

/// `uri` with all its labels in one parameter.
fn one_label(uri: &Uri) -> Cow<'_, Uri> {
    let query = uri.query().unwrap_or_default();
    let labels = || query.split('&').filter_map(|pair| pair.strip_prefix(LABEL));
    if labels().count() < 2 {
        return Cow::Borrowed(uri);
    }
    let others = query.split('&').filter(|pair| !pair.starts_with(LABEL));
    let label = format!("{LABEL}{}", labels().collect::<Vec<_>>().join("%2C"));
    let query: Vec<&str> = others.chain([label.as_str()]).collect();
    // It was one before; should it be none now, it is refused for its second label.
    let one = format!("/?{}", query.join("&")).parse().map(Cow::Owned);
    one.unwrap_or(Cow::Borrowed(uri))
}

/// The one variable segment of a path, as text.
#[derive(Debug)]
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::<String>::from_request_parts(parts, state)
            .await
            .map(|Path(text)| Self(text))
            .map_err(|e| {
                Problem::new(
                    Code::BadRequest,
                    format!("the path is wrong: {}", e.body_text()),
                )
            })
    }
}

impl Segment {
    /// The segment as a value; `what` names it in the problem.
    pub(crate) fn parse<T>(&self, what: &str) -> Result<T, Problem>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        parse(&self.0, what)
    }
}

/// `text` as a value; `what` names it in the problem.
pub(crate) fn parse<T>(text: &str, what: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|e| Problem::new(Code::BadValue, format!("{what}: {e}")))
}
