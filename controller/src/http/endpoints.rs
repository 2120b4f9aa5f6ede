//! Handlers with their roles, as a router. Paths and methods are what the handlers say in `#[utoipa::path]`; what else
//! they say there, the document, is only made in tests, which hold `docs/openapi.json` to it. The program carries that file:
//! the code that makes it would be a tenth of the program.

use axum::{
    Router,
    routing::{MethodFilter, MethodRouter},
};
use utoipa::openapi::path::HttpMethod;

use super::{
    Api,
    auth::{Access, AccessTable},
};

/// A handler where it is reached.
pub(super) struct Endpoint {
    path: String,
    methods: Vec<HttpMethod>,
    handler: MethodRouter<Api>,
    #[cfg(test)]
    described: utoipa_axum::router::UtoipaMethodRouter<Api>,
}

/// The [`Endpoint`] of each of these handlers.
macro_rules! routes {
    ($($($part:ident)::+),+ $(,)?) => {
        vec![$({
            let methods = utoipa_axum::routes!(@path [methods()] of $($part)::+);
            $crate::http::endpoints::Endpoint::new(
                utoipa_axum::routes!(@path [path()] of $($part)::+),
                axum::routing::on($crate::http::endpoints::filter(&methods), $($part)::+),
                methods,
                #[cfg(test)]
                utoipa_axum::routes!($($part)::+),
            )
        }),+]
    };
}
pub(super) use routes;

impl Endpoint {
    pub(super) fn new(
        path: String,
        handler: MethodRouter<Api>,
        methods: Vec<HttpMethod>,
        #[cfg(test)] described: utoipa_axum::router::UtoipaMethodRouter<Api>,
    ) -> Self {
        Self {
            path,
            methods,
            handler,
            #[cfg(test)]
            described,
        }
    }
}

/// What axum calls these methods together. A handler has at least one: its macro sees to that.
pub(super) fn filter(methods: &[HttpMethod]) -> MethodFilter {
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

    /// Adds endpoints that ask for `access`.
    pub(super) fn at(mut self, access: Access, endpoints: Vec<Endpoint>) -> Self {
        for endpoint in endpoints {
            for method in &endpoint.methods {
                self.table.declare(&endpoint.path, parts(method).0, access);
            }
            self.router = self.router.route(&endpoint.path, endpoint.handler);
            #[cfg(test)]
            {
                self.described = self.described.routes(endpoint.described);
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
