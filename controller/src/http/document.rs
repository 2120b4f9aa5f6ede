//! The OpenAPI document around what the handlers describe: the title, the role of each operation, the problems that every
//! operation may answer with.

use axum::http::StatusCode;
use utoipa::{
    OpenApi as _,
    openapi::{
        Content, Header, OpenApi, Ref, RefOr, Response,
        path::{Operation, Parameter, PathItem},
    },
};

use super::{
    api::{
        events::ResetDoc,
        explain::{FirmwareWord, Processor},
    },
    auth::{Access, AccessTable, Reach},
    conditional::{IF_MATCH, header_parameter},
    error::ProblemDoc,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Enforcer",
        description = "Bare-metal boot server: machines, what they boot, and what happened. Errors are RFC 9457 problems with stable codes (docs/API-PROBLEMS.md).",
        license(name = "MPL-2.0", identifier = "MPL-2.0")
    ),
    components(schemas(ProblemDoc, ResetDoc, Processor, FirmwareWord))
)]
struct Document;

/// The whole document from the handlers' part.
pub(super) fn complete(handlers: OpenApi, table: &AccessTable) -> OpenApi {
    let mut document = Document::openapi();
    document.merge(handlers);
    let components = document.components.get_or_insert_default();
    let problem = RefOr::T(problem());
    components.responses.insert("Problem".to_owned(), problem);
    for (path, item) in &mut document.paths.paths {
        tag(item);
        for (method, operation) in operations(item) {
            finish(
                operation,
                table.access(path, method),
                table.reach(path, method),
            );
        }
    }
    document
}

fn problem() -> Response {
    let schema = Ref::from_schema_name("Problem");
    Response::builder()
        .description("What went wrong and what cures it")
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}

/// What can be changed under a condition has a tag, also when it is read and after a change.
fn tag(item: &mut PathItem) {
    let is_condition = |p: &RefOr<Parameter>| matches!(p, RefOr::T(p) if p.name == IF_MATCH);
    let conditional = |o: &Operation| o.parameters.iter().flatten().any(is_condition);
    if !operations(item).any(|(_, operation)| conditional(operation)) {
        return;
    }
    for (method, operation) in operations(item) {
        if let Some(RefOr::T(shown)) = operation.responses.responses.get_mut("200") {
            shown.headers.insert("ETag".to_owned(), RefOr::T(etag()));
        }
        if method == "GET" {
            let told = "The `ETag` of the answer that is known: when it would be the same there is none (304).";
            let known = header_parameter("If-None-Match", told);
            operation
                .parameters
                .get_or_insert_default()
                .push(RefOr::T(known));
            let same = Response::builder().description("As it is known").build();
            operation
                .responses
                .responses
                .insert("304".to_owned(), same.into());
        }
    }
}

fn etag() -> Header {
    let mut header = Header::default();
    let told = "What `If-Match` and `If-None-Match` name it by.";
    header.description = Some(told.to_owned());
    header
}

/// Says which role an operation asks for, what its answers mean (OpenAPI 3.1 demands a description), and that it may
/// answer with a problem.
fn finish(operation: &mut Operation, access: Option<Access>, reach: Reach) {
    let labelled = match reach {
        Reach::Site => "",
        Reach::Caller => " Also with a token for machines with some labels.",
        Reach::Machine | Reach::Handler => {
            " Also with a token for machines with some labels: of those."
        }
    };
    let role = match access {
        Some(Access::Least(role)) => format!("Needs the role {}.{labelled}", role.name()),
        Some(Access::Anyone) => "For anyone.".to_owned(),
        None => return,
    };
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{role}"),
        _ => role,
    });
    let responses = &mut operation.responses.responses;
    for (status, response) in &mut *responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = reason(status);
        }
    }
    let problem = RefOr::Ref(Ref::from_response_name("Problem"));
    responses.insert("default".to_owned(), problem);
}

fn reason(status: &str) -> String {
    let code = status.parse::<StatusCode>().ok();
    let reason = code.and_then(|c| c.canonical_reason());
    reason.unwrap_or(status).to_owned()
}

/// The operations of a path, by method.
pub(super) fn operations(
    item: &mut PathItem,
) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("GET", &mut item.get),
        ("PUT", &mut item.put),
        ("POST", &mut item.post),
        ("DELETE", &mut item.delete),
        ("OPTIONS", &mut item.options),
        ("HEAD", &mut item.head),
        ("PATCH", &mut item.patch),
        ("TRACE", &mut item.trace),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
