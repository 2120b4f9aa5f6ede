//! Who calls, what they may, and the table that says what each endpoint asks for. Default deny: a handler that the table
//! does not know is never reached.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::info;

pub use super::scope::Reach;
use super::{
    error::{Code, Problem},
    lasting::{Shown, while_good},
    network,
    scope::within,
};
pub use crate::state::user::Role;
use crate::{
    state::user::{self, Asker, UserName},
    store::Store,
};

/// How the names of callers begin that showed a token.
const TOKEN: &str = "token/";
/// The way of those who signed in with a password.
const SESSION: &str = "session";

/// Who calls. The transport puts it into the request's extensions; nothing in a request's own text ever does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For the record: `local:root`, `token/ci:ann`, `session:ann`.
    pub name: String,
    /// What they may.
    pub role: Role,
}

impl Caller {
    /// Who asks, to the state.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker {
            caller: self.name.clone(),
            admin: self.role == Role::Admin,
        }
    }

    /// The name of their account.
    #[must_use]
    pub fn account(&self) -> &str {
        user::account(&self.name)
    }

    /// Who shows a token: `token/ci:ann` has ann's account.
    pub(super) fn token(name: &str, account: &str, role: Role) -> Self {
        Self {
            name: format!("{TOKEN}{name}:{account}"),
            role,
        }
    }

    /// Who signed in: `session:ann`.
    pub(super) fn session(account: &str, role: Role) -> Self {
        Self {
            name: format!("{SESSION}:{account}"),
            role,
        }
    }

    /// Whether they are a token. No transport names anybody so.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.name.starts_with(TOKEN)
    }

    /// Whose things are that they make: theirs; root's are the site's.
    #[must_use]
    pub fn owner(&self) -> Option<UserName> {
        let user = self.asker().user();
        user.filter(|name| name.as_str() != user::ROOT)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(unauthenticated)
    }
}

/// What an endpoint asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it tells nothing worth hiding.
    Anyone,
    /// At least this role.
    Least(Role),
}

impl Access {
    /// Whether a caller of `role` (`None`: nobody we know) is let in.
    #[must_use]
    pub fn admits(self, role: Option<Role>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Least(least) => role.is_some_and(|role| role >= least),
        }
    }
}

/// What is declared of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Declared {
    access: Access,
    reach: Reach,
}

/// Which endpoint asks for what, and how it keeps to the machines its caller reaches: path template → method.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessTable(BTreeMap<String, BTreeMap<String, Declared>>);

impl AccessTable {
    /// Declares an endpoint that is about the whole site.
    #[cfg(test)]
    pub(crate) fn declare(&mut self, path: &str, method: &str, access: Access) {
        self.declare_within(path, method, access, Reach::Site);
    }

    /// Declares an endpoint.
    pub(crate) fn declare_within(
        &mut self,
        path: &str,
        method: &str,
        access: Access,
        reach: Reach,
    ) {
        self.0
            .entry(path.to_owned())
            .or_default()
            .insert(method.to_ascii_uppercase(), Declared { access, reach });
    }

    /// Declares every endpoint of `other` under `prefix`.
    pub(crate) fn nest(&mut self, prefix: &str, other: Self) {
        for (path, methods) in other.0 {
            self.0.insert(format!("{prefix}{path}"), methods);
        }
    }

    /// What an endpoint asks for, if it is declared.
    #[must_use]
    pub fn access(&self, path: &str, method: &str) -> Option<Access> {
        Some(self.0.get(path)?.get(method)?.access)
    }

    /// How an endpoint keeps to the machines that its caller reaches; what anyone may has nothing to keep from them.
    #[must_use]
    pub(crate) fn reach(&self, path: &str, method: &str) -> Reach {
        let declared = self.0.get(path).and_then(|methods| methods.get(method));
        match declared {
            Some(Declared {
                access: Access::Anyone,
                ..
            }) => Reach::Caller,
            Some(declared) => declared.reach,
            None => Reach::Site,
        }
    }

    /// Every (path, method, access).
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, Access)> {
        self.0.iter().flat_map(|(path, methods)| {
            methods
                .iter()
                .map(|(method, declared)| (path.as_str(), method.as_str(), declared.access))
        })
    }

    /// Whether `caller` may use `method` of `path`.
    fn check(&self, path: &str, method: &Method, caller: Option<&Caller>) -> Result<(), Problem> {
        let Some(access) = self.access(path, answering(method)) else {
            return Err(method_not_allowed(&self.methods(path)));
        };
        if access.admits(caller.map(|c| c.role)) {
            return Ok(());
        }
        Err(match (caller, access) {
            (Some(caller), Access::Least(least)) => forbidden(caller, least),
            (_, Access::Anyone | Access::Least(_)) => unauthenticated(),
        })
    }

    /// The declared methods of a path, as the `Allow` header has them.
    fn methods(&self, path: &str) -> String {
        let methods = self.0.get(path).into_iter().flatten();
        methods
            .map(|(m, _)| m.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The method whose handler answers: axum answers HEAD by that of GET.
fn answering(method: &Method) -> &str {
    match *method == Method::HEAD {
        true => Method::GET.as_str(),
        false => method.as_str(),
    }
}

fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "the controller does not know you: sign in, show a token of `enforcer tokens create`, or use the local socket on its own host",
    )
}

fn forbidden(caller: &Caller, least: Role) -> Problem {
    let (name, role, least) = (&caller.name, caller.role.name(), least.name());
    Problem::new(
        Code::Forbidden,
        format!(
            "{name} has the role {role}; this needs {least}: ask an admin, or run it as root on the controller's host"
        ),
    )
}

fn method_not_allowed(methods: &str) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("this endpoint knows only {methods}"),
    )
}

/// The guard around every route: lets a request through only when the table declares its endpoint, its caller fits, and they reach
/// what it is about.
pub(crate) async fn guard(
    State((table, store)): State<(Arc<AccessTable>, Store)>,
    request: Request,
    next: Next,
) -> Response {
    // Without a matched path there is no handler behind, only the fallback's "not found".
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let caller = request.extensions().get::<Caller>().cloned();
    let method = request.method().clone();
    if let Err(problem) = table.check(path.as_str(), &method, caller.as_ref()) {
        return refuse(problem, &table.methods(path.as_str()));
    }
    let reach = table.reach(path.as_str(), answering(&method));
    let (mut parts, body) = request.into_parts();
    let within = match within(&mut parts, reach, &store.view()).await {
        Ok(within) => within,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, body);
    let uri = request.uri().path().to_owned();
    let from = network::from(&request);
    let mut response = next.run(request).await;
    if let Some((machine, scope)) = within {
        response = while_good(&store, Shown::Within(machine, scope), response);
    }
    if !method.is_safe() {
        let caller = caller.map_or_else(String::new, |c| c.name);
        info!(%caller, %method, path = %uri, status = response.status().as_u16(), from, "API change");
    }
    response
}

/// The answer to a refused request, with the headers HTTP asks for.
fn refuse(problem: Problem, methods: &str) -> Response {
    let code = problem.code;
    let mut response = problem.into_response();
    let headers = response.headers_mut();
    if code == Code::MethodNotAllowed
        && let Ok(allow) = HeaderValue::from_str(methods)
    {
        headers.insert(header::ALLOW, allow);
    }
    if code == Code::Unauthenticated {
        challenge(headers);
    }
    response
}

/// The answer to a request of whom nobody knows.
pub(super) fn challenged(problem: Problem) -> Response {
    let mut response = problem.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        challenge(response.headers_mut());
    }
    response
}

/// RFC 9110 §11.6.1 wants a challenge with each 401.
fn challenge(headers: &mut HeaderMap) {
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
}
