//! Conditional requests (RFC 9110 §13): a tag on what can be changed, changes only of what the caller has read, and no
//! second time what they have already.
//!
//! A tag is `"REVISION-CONTENT"`. Its first part is the record's: what `If-Match` is about, so that a heartbeat is no reason
//! to refuse a change. Its second is the answer's, for `If-None-Match`: what is shown beside the record may change too.

use std::str::FromStr as _;

use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::{
    Api,
    answer::Json,
    error::{Code, Problem},
};
use crate::state::{
    Transition,
    ops::{Changed, Expected, Unchanged},
    revision::{Revised, Revision, Subject},
};

/// Tags that one request may name: a client has read one, or a few.
const MAX_TAGS: usize = 16;

/// An answer that shows one record, with its tag.
#[derive(Debug)]
pub(crate) struct Tagged<T> {
    revision: Revision,
    document: T,
}

impl<T> Tagged<T> {
    /// `document`, which shows `record`.
    pub(crate) fn new(record: &impl Revised, document: T) -> Self {
        Self {
            revision: record.revision(),
            document,
        }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let (mut response, content) = Json(self.document).respond();
        let tag = format!("\"{}-{content}\"", self.revision);
        // Two numbers in hex.
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// What the caller counts on: `If-Match`, or `If-None-Match: *` for what shall be new.
#[derive(Debug)]
pub(crate) struct IfMatch(Option<Expected>);

impl IfMatch {
    /// `wants`, for as long as `about` is what the caller counts on.
    pub(crate) fn on<T>(self, about: Subject, wants: T) -> Unchanged<T> {
        Unchanged {
            about,
            expected: self.0,
            wants,
        }
    }

    /// The same, done.
    pub(crate) async fn apply<T: Transition>(
        self,
        api: &Api,
        about: Subject,
        wants: T,
    ) -> Result<T::Outcome, Problem> {
        Ok(api.store.apply(self.on(about, wants)).await??)
    }
}

impl From<Changed> for Problem {
    fn from(changed: Changed) -> Self {
        Self::new(Code::PreconditionFailed, changed.to_string())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        expected(&parts.headers).map(Self)
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let told = "The `ETag` of what was read: when somebody changed it since, nothing is done (412). `*`: whatever is there.";
        vec![header_parameter(IF_MATCH, told)]
    }
}

/// The name by which the document knows what can be changed under a condition.
pub(super) const IF_MATCH: &str = "If-Match";

/// An optional header of a request, as the document has it.
pub(super) fn header_parameter(name: &str, told: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(told))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    if let Some(tags) = tags(headers, &header::IF_MATCH)? {
        return Ok(Some(match tags {
            Tags::Any => Expected::There,
            Tags::These(tags) => Expected::OneOf(tags.iter().filter_map(|t| revision(t)).collect()),
        }));
    }
    match tags(headers, &header::IF_NONE_MATCH)? {
        None => Ok(None),
        Some(Tags::Any) => Ok(Some(Expected::Absent)),
        Some(Tags::These(_)) => Err(Problem::new(
            Code::BadRequest,
            "If-None-Match: a change knows only `*`; say with If-Match what it is a change of",
        )),
    }
}

/// The record's part of a tag of ours. Others, and weak ones, are no state of anything here.
fn revision(tag: &str) -> Option<Revision> {
    let (revision, _) = tag.strip_prefix('"')?.split_once('-')?;
    Revision::from_str(revision).ok()
}

enum Tags {
    Any,
    These(Vec<String>),
}

/// The entity tags of a header, their quotes included.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let wrong = || {
        let text =
            format!("{name}: write `*`, or up to {MAX_TAGS} tags as an ETag has them, in quotes");
        Problem::new(Code::BadRequest, text)
    };
    let mut found = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| wrong())?;
        found.extend(text.split(',').map(str::trim).filter(|t| !t.is_empty()));
    }
    if found.is_empty() {
        return headers.get(name).map_or(Ok(None), |_| Err(wrong()));
    }
    if found == ["*"] {
        return Ok(Some(Tags::Any));
    }
    let quoted = |tag: &&str| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let inner = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        inner.is_some_and(|t| !t.contains('"'))
    };
    if found.len() > MAX_TAGS || !found.iter().all(quoted) {
        return Err(wrong());
    }
    Ok(Some(Tags::These(
        found.into_iter().map(str::to_owned).collect(),
    )))
}

/// Answers 304 in place of what the caller has already.
pub(super) async fn not_modified(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = match reads.then(|| tags(request.headers(), &header::IF_NONE_MATCH)) {
        // One that cannot be read is none: the answer itself is never wrong.
        Some(Ok(known)) => known,
        Some(Err(_)) | None => None,
    };
    let response = next.run(request).await;
    let Some(known) = known else {
        return response;
    };
    let tag = response.headers().get(header::ETAG);
    let same = match (tag.and_then(|t| t.to_str().ok()), &known) {
        (None, _) => false,
        (Some(_), Tags::Any) => true,
        (Some(tag), Tags::These(tags)) => tags.iter().any(|t| opaque(t) == opaque(tag)),
    };
    if !same || response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::empty())
}

/// For If-None-Match weak tags are as good (RFC 9110 §8.8.3.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|v| HeaderValue::from_str(v).unwrap());
        values.map(|v| (name.clone(), v)).collect()
    }

    #[test]
    fn conditions_are_read_as_they_are_written() {
        let known: Revision = "0123456789abcdef".parse().unwrap();
        let ours = r#""0123456789abcdef-fedcba9876543210""#;
        let check = |values: &[&str], wanted: Option<Expected>| {
            let read = expected(&headers(&header::IF_MATCH, values));
            assert_eq!(read, Ok(wanted), "{values:?}");
        };
        check(&[], None);
        check(&["*"], Some(Expected::There));
        check(&[ours], Some(Expected::OneOf(vec![known])));
        check(&[r#""another""#, ours], Some(Expected::OneOf(vec![known])));
        // A weak tag promises too little to change something by it.
        check(&[&format!("W/{ours}")], Some(Expected::OneOf(vec![])));
    }

    #[test]
    fn what_is_no_condition_is_refused_and_not_taken_for_none() {
        for wrong in [
            "",
            "0123456789abcdef",
            r#""a", *"#,
            r#""a"#,
            &"\"a\",".repeat(17),
        ] {
            let read = expected(&headers(&header::IF_MATCH, &[wrong]));
            assert_eq!(read.unwrap_err().code, Code::BadRequest, "{wrong}");
        }
    }

    #[test]
    fn what_shall_be_new_is_said_by_a_star() {
        let read = |value| expected(&headers(&header::IF_NONE_MATCH, &[value]));
        assert_eq!(read("*"), Ok(Some(Expected::Absent)));
        assert!(read(r#""a""#).is_err());
    }
}
