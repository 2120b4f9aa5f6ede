//! The OpenAPI document around what the handlers describe: the title, the role of each operation, the problems that every
//! operation may answer with.

use axum::http::StatusCode;
use utoipa::{
    OpenApi as _,
    openapi::{
        Content, OpenApi, Ref, RefOr, Response,
        path::{Operation, PathItem},
    },
};

use super::{
    api::{events::ResetDoc, explain::Processor},
    auth::{Access, AccessTable},
    error::ProblemDoc,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Enforcer",
        description = "Bare-metal boot server: machines, what they boot, and what happened. Errors are RFC 9457 problems with stable codes (docs/API-PROBLEMS.md).",
        license(name = "MPL-2.0", identifier = "MPL-2.0")
    ),
    components(schemas(ProblemDoc, ResetDoc, Processor))
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
        for (method, operation) in operations(item) {
            finish(operation, table.access(path, method));
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

/// Says which role an operation asks for, what its answers mean (OpenAPI 3.1 demands a description), and that it may
/// answer with a problem.
fn finish(operation: &mut Operation, access: Option<Access>) {
    let role = match access {
        Some(Access::Least(role)) => format!("Needs the role {}.", role.name()),
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
