//! A port on the loopback that serves the app and passes `/api/` on to the
//! controller's local socket, where this process's user counts; whoever has the token printed here works as that user.
//!
//! Other people of this host and pages of other sites reach the port too. The token keeps out the first; against the second
//! no cookie passes, and a name that leads here without being ours (DNS rebinding) is refused.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::super::{Session, client::Client, failure::Failure};
use crate::http::{
    api::reader::PATHS,
    error::{Code, Problem},
};

/// Connections at once: a browser opens six, and a few pages may be open.
const MAX_CONNECTIONS: usize = 64;
/// How long a browser may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

type Answer = UnsyncBoxBody<Bytes, hyper::Error>;

/// What every request needs.
struct Door {
    client: Client,
    token: String,
    /// `host:port` as browsers may write it.
    names: [String; 2],
}

pub(super) async fn run(port: u16, session: &mut Session<'_>) -> Result<(), Failure> {
    let cannot = |e: io::Error| {
        Failure::Local(format!(
            "cannot listen on 127.0.0.1:{port} ({e}); choose another --port"
        ))
    };
    // Who may not ask the controller is told so here, not by the page.
    session.client.get("/machines?limit=1").await?;
    let at = (Ipv4Addr::LOCALHOST, port);
    let listener = TcpListener::bind(at).await.map_err(cannot)?;
    let port = listener.local_addr().map_err(cannot)?.port();
    let token = crate::hex::of(&rand::random::<[u8; 32]>());
    writeln!(session.out, "http://127.0.0.1:{port}/#token={token}")?;
    session.out.flush()?;
    eprintln!("open this address in a browser on this host; Ctrl-C ends it");
    let door = Door {
        client: session.client.clone(),
        token,
        names: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
    };
    serve(&listener, Arc::new(door)).await.map_err(cannot)
}

async fn serve(listener: &TcpListener, door: Arc<Door>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let (stream, _) = listener.accept().await?;
        let door = Arc::clone(&door);
        // Ends with its browser's connection, all of them with this program.
        tokio::spawn(async move {
            let handle = service_fn(|request| {
                let door = Arc::clone(&door);
                async move { Ok::<_, std::convert::Infallible>(door.answer(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), handle);
            // A browser that goes in between is nothing to tell.
            let _ = connection.await;
            drop(place);
        });
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        if let Err(problem) = self.check(request.method(), request.uri().path(), request.headers())
        {
            return refusal(&problem);
        }
        if request.uri().path().starts_with("/api/") {
            return self.pass(request).await;
        }
        match crate::web::file(request.uri().path(), request.headers()) {
            Some(file) => file.map(whole),
            None => text(StatusCode::NOT_FOUND, "there is no such file"),
        }
    }

    /// Whether somebody may ask this here.
    fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(header::HOST).map_or(&b""[..], |h| h.as_bytes());
        if !self.names.iter().any(|name| name.as_bytes() == host) {
            let text = format!("this is http://{}; open it by that name", self.names[0]);
            return Err(Problem::new(Code::Forbidden, text));
        }
        // A preflight carries no token, and does nothing but ask.
        if !path.starts_with("/api/") || *method == Method::OPTIONS {
            return Ok(());
        }
        // The files of a page, which its browser loads before that page can show a token.
        if *method == Method::GET && PATHS.contains(&path) {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION);
        let token = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if token.is_some_and(|token| same(token, self.token.as_bytes())) {
            return Ok(());
        }
        let text =
            "the token is not the one that `enforcer web` printed; open the address that it shows";
        Err(Problem::new(Code::Unauthenticated, text))
    }

    /// To the controller and back, piece by piece: uploads and live streams as well.
    async fn pass(&self, request: Request<Incoming>) -> Response<Answer> {
        let (mut parts, body) = request.into_parts();
        // For us alone; and the controller's connection is another one than the browser's.
        for name in [
            header::AUTHORIZATION,
            header::CONNECTION,
            header::COOKIE,
            header::UPGRADE,
        ] {
            parts.headers.remove(name);
        }
        let body = body.map_err(io::Error::other).boxed_unsync();
        let request = Request::from_parts(parts, body);
        match self.client.open(Ok(request)).await {
            Ok(mut response) => {
                // Nobody signs in here: who has the token is who started this.
                response.headers_mut().remove(header::SET_COOKIE);
                response.map(BodyExt::boxed_unsync)
            }
            Err(failure) => text(StatusCode::BAD_GATEWAY, &failure.to_string()),
        }
    }
}

/// Compares without telling by its time how much of it is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn refusal(problem: &Problem) -> Response<Answer> {
    let body = serde_json::to_string(&problem.doc()).unwrap_or_default();
    let mut response = text(problem.code.status(), &body);
    let kind = header::HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn text(status: StatusCode, words: &str) -> Response<Answer> {
    let mut response = Response::new(whole(Bytes::from(words.to_owned())));
    *response.status_mut() = status;
    response
}

fn whole(body: Bytes) -> Answer {
    Full::new(body).map_err(|e| match e {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn check(method: &Method, path: &str, host: &str, token: Option<&str>) -> Option<Code> {
        let door = Door {
            client: Client::new("/nowhere".into()),
            token: "c0ffee".to_owned(),
            names: ["127.0.0.1:4890".to_owned(), "localhost:4890".to_owned()],
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(token) = token {
            let value = HeaderValue::from_str(token).unwrap();
            headers.insert(header::AUTHORIZATION, value);
        }
        door.check(method, path, &headers).err().map(|p| p.code)
    }

    #[test]
    fn the_api_is_for_who_has_the_token() {
        let asked = |token| check(&Method::GET, "/api/v1/machines", "localhost:4890", token);
        assert_eq!(asked(Some("Bearer c0ffee")), None);
        for wrong in [None, Some("c0ffee"), Some("Bearer c0ffef"), Some("Bearer ")] {
            assert_eq!(asked(wrong), Some(Code::Unauthenticated), "{wrong:?}");
        }
    }

    #[test]
    fn files_and_preflights_need_none() {
        let free = |method, path| check(method, path, "127.0.0.1:4890", None);
        assert_eq!(free(&Method::GET, "/assets/index.js"), None);
        assert_eq!(free(&Method::OPTIONS, "/api/v1/machines"), None);
        assert_eq!(free(&Method::GET, "/api/docs/reader.js"), None);
        let document = free(&Method::GET, "/api/v1/openapi.json");
        assert_eq!(document, Some(Code::Unauthenticated));
    }

    #[test]
    fn a_name_that_only_leads_here_is_refused() {
        for host in ["evil.test:4890", "127.0.0.1", "127.0.0.1:80", ""] {
            let told = check(&Method::GET, "/", host, Some("Bearer c0ffee"));
            assert_eq!(told, Some(Code::Forbidden), "{host}");
        }
    }
}
