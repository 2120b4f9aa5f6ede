//! One request, one answer: understand, ask the authority, answer.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    http::response::Builder,
};
use ipxe::{
    MacAddr,
    http::{Route, ScriptQuery, Wanted, parse, wanted},
};

use super::{Shared, body::BootBody};
use crate::{
    BootFile, BootNote, CallbackReply, HttpAuthority, NonceAsk, NonceReceived, NonceReply,
    ScriptAsk,
};

type Answer = Response<BootBody>;

/// The file that this connection's last response carries as evidence, if any.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence(Arc<Mutex<Option<NonceReceived>>>);

impl Evidence {
    fn set(&self, file: NonceReceived) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(file);
        }
    }

    pub(super) fn take(&self) -> Option<NonceReceived> {
        self.0.lock().ok()?.take()
    }
}

/// One request and what surrounds it.
pub(super) struct Visit<A> {
    pub(super) shared: Arc<Shared<A>>,
    pub(super) evidence: Evidence,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

impl<A: HttpAuthority> Visit<A> {
    /// Answers, and tells the authority how.
    pub(super) async fn answer(self, request: Request<Incoming>) -> io::Result<Answer> {
        let path = request.uri().path().to_owned();
        let answer = self.routed(&request).await;
        let note = BootNote::Http {
            from: self.peer.ip(),
            path: path.chars().take(120).collect(),
            status: answer.status().as_u16(),
        };
        self.shared.authority.note(note);
        Ok(answer)
    }

    async fn routed(&self, request: &Request<Incoming>) -> Answer {
        let Some(route) = parse(request.uri().path(), request.uri().query()) else {
            return plain(StatusCode::NOT_FOUND, "There is nothing here.\n");
        };
        if let Some(refusal) = wrong_method(&route, request.method()) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, refusal);
        }
        if !self.within_quota(&route).await {
            self.shared.authority.note(BootNote::Dropped("http-quota"));
            let mut busy = plain(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests; wait a second.\n",
            );
            busy.headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return busy;
        }
        self.served(route, request).await
    }

    async fn within_quota(&self, route: &Route) -> bool {
        let (mac, nonce) = match route {
            Route::Machine(mac, _) | Route::Pixiecore(mac) => (Some(*mac), String::new()),
            Route::NonceFile { nonce, .. } | Route::Callback { nonce, .. } => {
                (None, nonce.chars().take(32).collect())
            }
            Route::General | Route::File(_) | Route::Health | Route::Metrics => return true,
        };
        self.shared
            .quota
            .lock()
            .await
            .admit((self.peer.ip(), mac, nonce), std::time::Instant::now())
    }

    async fn served(&self, route: Route, request: &Request<Incoming>) -> Answer {
        let authority = &self.shared.authority;
        // HEAD must not change anything: firmware asks for the size before it asks for the file.
        let head = *request.method() == Method::HEAD;
        match route {
            Route::General => plain(StatusCode::OK, authority.general_script(self.local)),
            Route::Machine(mac, query) if !head => {
                plain(StatusCode::OK, authority.script(self.ask(mac, query)).await)
            }
            Route::Machine(..) => plain(StatusCode::OK, ""),
            Route::Pixiecore(mac) => match authority.pixiecore(mac, self.local) {
                Some(json) => typed(StatusCode::OK, "application/json", json),
                None => plain(StatusCode::NOT_FOUND, "No network boot for this machine.\n"),
            },
            Route::File(path) => match authority.http_file(&path).await {
                Some(file) => ranged(file, request),
                None => plain(StatusCode::NOT_FOUND, "No such file.\n"),
            },
            Route::NonceFile {
                nonce,
                name,
                session,
            } => {
                self.nonce_file(
                    NonceAsk {
                        nonce,
                        name,
                        session,
                        peek: head,
                        from: self.peer,
                        at: self.local,
                    },
                    request,
                )
                .await
            }
            Route::Callback {
                nonce,
                failed,
                words,
            } => {
                let words = failed.then(|| words.unwrap_or_else(|| "no reason given".to_owned()));
                match authority.callback(nonce, words).await {
                    CallbackReply::Taken => plain(StatusCode::OK, "Thank you.\n"),
                    CallbackReply::Unknown => plain(StatusCode::NOT_FOUND, "No such boot.\n"),
                    CallbackReply::Unavailable => unavailable(),
                }
            }
            Route::Health => plain(StatusCode::OK, "ok\n"),
            Route::Metrics if self.peer.ip().is_loopback() => typed(
                StatusCode::OK,
                "text/plain; version=0.0.4",
                authority.metrics(),
            ),
            Route::Metrics => plain(StatusCode::FORBIDDEN, "Metrics are for this host only.\n"),
        }
    }

    fn ask(&self, mac: MacAddr, query: ScriptQuery) -> ScriptAsk {
        ScriptAsk {
            mac,
            uuid: query.uuid,
            serial: query.serial,
            arch: query.arch,
            platform: query.platform,
            session: query.session,
            after_management: query.after_management,
            from: self.peer,
            at: self.local,
        }
    }

    async fn nonce_file(&self, ask: NonceAsk, request: &Request<Incoming>) -> Answer {
        let (nonce, name, peek) = (ask.nonce.clone(), ask.name.clone(), ask.peek);
        match self.shared.authority.nonce_file(ask).await {
            NonceReply::Text(text) => plain(StatusCode::OK, text),
            NonceReply::Data(data) => typed(StatusCode::OK, "application/octet-stream", data),
            NonceReply::Gone(reason) => {
                plain(StatusCode::GONE, format!("This boot is over: {reason}\n"))
            }
            NonceReply::Refused(reason) => plain(
                StatusCode::FORBIDDEN,
                format!("This file is not for you: {reason}\n"),
            ),
            NonceReply::Unknown => plain(StatusCode::NOT_FOUND, "No such file.\n"),
            NonceReply::Unavailable => unavailable(),
            NonceReply::File { file, session } => {
                let size = file.size();
                let part = wanted(range_of(request), size);
                let mut answer = ranged(file, request);
                let bytes = match part {
                    Wanted::Whole => 0..size,
                    Wanted::Part(range) => range,
                    Wanted::Unsatisfiable => return answer,
                };
                if !peek {
                    // One file a connection: after it the driver asks TCP whether all of it arrived.
                    answer
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("close"));
                    self.evidence.set(NonceReceived {
                        nonce,
                        name,
                        session,
                        bytes,
                        size,
                    });
                }
                answer
            }
        }
    }
}

/// Why a method does not fit a route, if so. HEAD changes nothing, so it cannot call back: `wget --spider` must notice.
fn wrong_method(route: &Route, method: &Method) -> Option<&'static str> {
    match (route, method) {
        (Route::Callback { .. }, &Method::GET | &Method::POST) => None,
        (Route::Callback { .. }, _) => Some("Only GET and POST work here.\n"),
        (_, &Method::GET | &Method::HEAD) => None,
        _ => Some("Only GET and HEAD work here.\n"),
    }
}

fn range_of(request: &Request<Incoming>) -> Option<&str> {
    request.headers().get(header::RANGE)?.to_str().ok()
}

fn start(status: StatusCode, kind: &'static str) -> Builder {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::CACHE_CONTROL, "no-store")
}

fn finish(builder: Builder, body: BootBody) -> Answer {
    // Only our own constants and numbers are in the head.
    builder.body(body).unwrap_or_else(|_| {
        let mut broken = Response::new(BootBody::text(Bytes::new()));
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}

fn typed(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let text: Bytes = text.into();
    finish(
        start(status, kind).header(header::CONTENT_LENGTH, text.len()),
        BootBody::text(text),
    )
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", text)
}

fn unavailable() -> Answer {
    plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "The controller cannot write its state now; try again.\n",
    )
}

/// A file, or the part of it that the request wants. hyper leaves the body out for HEAD.
fn ranged(file: BootFile, request: &Request<Incoming>) -> Answer {
    let size = file.size();
    let head =
        |status| start(status, "application/octet-stream").header(header::ACCEPT_RANGES, "bytes");
    match wanted(range_of(request), size) {
        Wanted::Whole => finish(
            head(StatusCode::OK).header(header::CONTENT_LENGTH, size),
            BootBody::file(file, 0..size),
        ),
        Wanted::Part(r) => {
            let span = format!("bytes {}-{}/{size}", r.start, r.end - 1);
            let builder = head(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, span)
                .header(header::CONTENT_LENGTH, r.end - r.start);
            finish(builder, BootBody::file(file, r))
        }
        Wanted::Unsatisfiable => {
            let builder = head(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}"));
            finish(builder, BootBody::text(Bytes::new()))
        }
    }
}
