//! Handlers with their roles, as a router. Paths and methods are what the handlers say in `#[utoipa::path]`; what else
//! they say there, the document, is only made in tests, which hold `docs/openapi.json` to it. The program carries that file:
//! the code that makes it would be a tenth of the program.

use std::pin::Pin;

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    response::Response,
    routing::{MethodFilter, on},
};
use utoipa::openapi::path::HttpMethod;

use super::{
    Api,
    auth::{Access, AccessTable, Reach},
};

/// A handler where it is reached: functions alone, so that a list of endpoints is data.
pub(super) struct Endpoint {
    /// The path, from where its list is nested.
    pub(super) path: fn() -> String,
    /// One at least: the handler's macro sees to that.
    pub(super) methods: fn() -> Vec<HttpMethod>,
    /// The handler.
    pub(super) call: Call,
    /// What the document says of it.
    #[cfg(test)]
    pub(super) described: fn() -> utoipa_axum::router::UtoipaMethodRouter<Api>,
}

/// The [`Endpoint`] of each of these handlers.
macro_rules! routes {
    ($($($part:ident)::+),+ $(,)?) => {
        const {
            &[$($crate::http::endpoints::Endpoint {
                path: || utoipa_axum::routes!(@path [path()] of $($part)::+),
                methods: || utoipa_axum::routes!(@path [methods()] of $($part)::+),
                call: |request, api| $crate::http::endpoints::answer($($part)::+, request, api),
                #[cfg(test)]
                described: || utoipa_axum::routes!($($part)::+),
            }),+]
        }
    };
}
pub(super) use routes;

/// What a handler becomes.
type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler with what it reads from the request.
type Call = fn(Request, Api) -> Answer;

/// Asks a handler.
pub(super) fn answer<T, H>(handler: H, request: Request, api: Api) -> Answer
where
    H: Handler<T, Api, Future = Answer>,
{
    handler.call(request, api)
}

/// The one type of handler that axum sees: what it makes around each type is a kilobyte of program.
#[derive(Clone, Copy)]
struct Called(Call);

impl Handler<(), Api> for Called {
    type Future = Answer;

    fn call(self, request: Request, api: Api) -> Answer {
        (self.0)(request, api)
    }
}

/// What axum calls these methods together.
fn filter(methods: &[HttpMethod]) -> MethodFilter {
    let filters = methods.iter().map(|method| parts(method).1);
    filters
        .reduce(MethodFilter::or)
        .unwrap_or(MethodFilter::GET)
}

fn parts(method: &HttpMethod) -> (&'static str, MethodFilter) {
    match method {
        HttpMethod::Get => ("GET", MethodFilter::GET),
        HttpMethod::Post => ("POST", MethodFilter::POST),
        HttpMethod::Put => ("PUT", MethodFilter::PUT),
        HttpMethod::Delete => ("DELETE", MethodFilter::DELETE),
        HttpMethod::Options => ("OPTIONS", MethodFilter::OPTIONS),
        HttpMethod::Head => ("HEAD", MethodFilter::HEAD),
        HttpMethod::Patch => ("PATCH", MethodFilter::PATCH),
        HttpMethod::Trace => ("TRACE", MethodFilter::TRACE),
    }
}

/// Handlers and what they ask of callers; in tests also their description.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Api>,
    table: AccessTable,
    #[cfg(test)]
    described: utoipa_axum::router::OpenApiRouter<Api>,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds endpoints that ask for `access` and are about the whole site.
    pub(super) fn at(self, access: Access, endpoints: &[Endpoint]) -> Self {
        self.within(Reach::Site, access, endpoints)
    }

    /// Adds endpoints that ask for `access` and keep in this way to the machines that their caller reaches.
    pub(super) fn within(mut self, reach: Reach, access: Access, endpoints: &[Endpoint]) -> Self {
        for endpoint in endpoints {
            let (path, methods) = ((endpoint.path)(), (endpoint.methods)());
            for method in &methods {
                let method = parts(method).0;
                self.table.declare_within(&path, method, access, reach);
            }
            let handler = on(filter(&methods), Called(endpoint.call));
            self.router = self.router.route(&path, handler);
            #[cfg(test)]
            {
                self.described = self.described.routes((endpoint.described)());
            }
        }
        self
    }

    pub(super) fn nest(mut self, prefix: &str, inner: Self) -> Self {
        self.router = self.router.nest(prefix, inner.router);
        self.table.nest(prefix, inner.table);
        #[cfg(test)]
        {
            self.described = self.described.nest(prefix, inner.described);
        }
        self
    }

    /// The parts: handlers, roles.
    pub(super) fn split(self) -> (Router<Api>, AccessTable) {
        (self.router, self.table)
    }

    /// The document of all endpoints.
    #[cfg(test)]
    pub(super) fn openapi(self) -> utoipa::openapi::OpenApi {
        let (_, paths) = self.described.split_for_parts();
        super::document::complete(paths, &self.table)
    }
}
