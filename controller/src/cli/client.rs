//! The API's client: HTTP/1.1 over the local socket or over TLS, a connection per request.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
    http::request::Builder,
};
use hyper_util::rt::TokioIo;
use mesh_proto::json::from_slice;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

use super::{contexts::Server, failure::Failure};
pub(super) use crate::percent::encode;
use crate::{
    client::Stream,
    http::{api::Page, error::ProblemDoc},
};

/// How long the controller may take for an answer; commits take milliseconds, a busy Pi's SD card seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Whom requests name; over the network the context's own name takes its place.
const HOST: &str = "enforcer.local";

/// A header that says under which condition a change is to be made.
pub(super) type Condition = (HeaderName, HeaderValue);

/// A request's body.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Asks the controller.
#[derive(Debug, Clone)]
pub(super) struct Client(Way);

/// How the controller is reached.
#[derive(Debug, Clone)]
enum Way {
    /// Over this host's socket.
    Socket(PathBuf),
    /// Over the network.
    Network(Arc<Server>),
}

impl From<PathBuf> for Client {
    fn from(socket: PathBuf) -> Self {
        Self(Way::Socket(socket))
    }
}

impl Client {
    /// Over this host's socket.
    pub(super) fn new(socket: PathBuf) -> Self {
        socket.into()
    }

    /// Over the network.
    pub(super) fn to(server: Server) -> Self {
        Self(Way::Network(Arc::new(server)))
    }

    /// The JSON at `path`.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, empty()).await
    }

    /// The text at `path`, which is not below `/api/v1`; at most `most` bytes of it.
    pub(super) async fn text(&self, path: &str, most: usize) -> Result<String, Failure> {
        let request = Request::builder().uri(path).header(header::HOST, HOST);
        let read = async {
            let response = self.open(request.body(empty())).await?;
            if !response.status().is_success() {
                let refused = answer(response).await.err();
                return Err(refused.unwrap_or_else(|| Failure::Answer("no text".to_owned())));
            }
            let body = Limited::new(response.into_body(), most).collect().await;
            let bytes = body.map_err(|e| Failure::Answer(e.to_string()))?.to_bytes();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let late = || self.unreachable(io::ErrorKind::TimedOut.into());
        timeout(ANSWER_TIMEOUT, read).await.map_err(|_| late())?
    }

    /// The last `most` entries of the list at `path`, and how many came before them.
    pub(super) async fn tail(
        &self,
        path: &str,
        most: usize,
    ) -> Result<(Vec<Value>, usize), Failure> {
        let mut kept = self.list(path).await?;
        let before = kept.len().saturating_sub(most);
        kept.drain(..before);
        Ok((kept, before))
    }

    /// Every entry of the list at `path`, page by page.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        let more = if path.contains('?') { '&' } else { '?' };
        loop {
            let page: Page<Value> = read(&self.get(&format!("{path}{cursor}")).await?)?;
            all.extend(page.items);
            let Some(next) = page.next else {
                return Ok(all);
            };
            cursor = format!("{more}cursor={}", encode(&next));
        }
    }

    /// Sends `body` as JSON.
    pub(super) async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<Value, Failure> {
        self.ask(method, path, json(body)?).await
    }

    /// What a change at `path` has to count on, so that it replaces nothing that its asker does not know: what is there now,
    /// or that nothing is.
    pub(super) async fn condition(&self, path: &str) -> Result<Condition, Failure> {
        let request = self.request(Method::GET, path).body(empty());
        let late = || self.unreachable(io::ErrorKind::TimedOut.into());
        let response = timeout(ANSWER_TIMEOUT, self.open(request))
            .await
            .map_err(|_| late())??;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok((header::IF_NONE_MATCH, HeaderValue::from_static("*")));
        }
        let tag = response.headers().get(header::ETAG).cloned();
        match (response.status().is_success(), tag) {
            (true, Some(tag)) => Ok((header::IF_MATCH, tag)),
            (true, None) => Err(Failure::Answer("no ETag".to_owned())),
            (false, _) => Err(match answer(response).await {
                Err(failure) => failure,
                Ok(_) => Failure::Answer("no document".to_owned()),
            }),
        }
    }

    /// Sends `body` as JSON, to be taken only under a condition.
    pub(super) async fn send_if<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        (name, value): Condition,
        body: &B,
    ) -> Result<Value, Failure> {
        let request = self.request(method, path).header(name, value);
        self.settle(request, json(body)?).await
    }

    /// Deletes what is at `path`.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask(Method::DELETE, path, empty()).await.map(|_| ())
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Value, Failure> {
        self.settle(self.request(method, path), body).await
    }

    async fn settle(&self, request: Builder, body: Body) -> Result<Value, Failure> {
        let answer = async {
            let response = self.open(request.body(body)).await?;
            answer(response).await
        };
        let late = || self.unreachable(io::ErrorKind::TimedOut.into());
        timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| late())?
    }

    /// Uploads `body` of `size` bytes; takes as long as it takes.
    pub(super) async fn upload(&self, path: &str, size: u64, body: Body) -> Result<Value, Failure> {
        let request = self
            .request(Method::PUT, path)
            .header(header::CONTENT_LENGTH, size);
        let response = self.open(request.body(body)).await?;
        answer(response).await
    }

    /// Downloads what is at `path` from byte `from` on: the bytes of the whole, and the rest of them.
    pub(super) async fn download(&self, path: &str, from: u64) -> Result<(u64, Incoming), Failure> {
        let mut request = self.request(Method::GET, path);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let response = self.open(request.body(empty())).await?;
        let text = |name| response.headers().get(name)?.to_str().ok();
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => text(header::CONTENT_RANGE)
                .and_then(|range| range.rsplit_once('/'))
                .and_then(|(_, total)| total.parse().ok()),
            StatusCode::OK if from == 0 => {
                text(header::CONTENT_LENGTH).and_then(|len| len.parse().ok())
            }
            // Everything had come before.
            StatusCode::RANGE_NOT_SATISFIABLE => Some(from),
            _ => None,
        };
        match total {
            Some(total) => Ok((total, response.into_body())),
            None => Err(match answer(response).await {
                Err(failure) => failure,
                Ok(_) => Failure::Answer("no bytes".to_owned()),
            }),
        }
    }

    /// Opens a live stream at `path`.
    pub(super) async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        self.stream_from(path, None).await
    }

    /// Opens a live stream at `path`, behind what was `seen` of it.
    pub(super) async fn stream_from(
        &self,
        path: &str,
        seen: Option<u64>,
    ) -> Result<Incoming, Failure> {
        let mut request = self.request(Method::GET, path);
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let request = request.body(empty());
        let late = || self.unreachable(io::ErrorKind::TimedOut.into());
        let response = timeout(ANSWER_TIMEOUT, self.open(request))
            .await
            .map_err(|_| late())??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(match answer(response).await {
            Err(failure) => failure,
            Ok(_) => Failure::Answer("no stream".to_owned()),
        })
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, HOST)
    }

    /// Sends a request as it is and waits for the head of the answer.
    pub(super) async fn open(
        &self,
        request: Result<Request<Body>, hyper::http::Error>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = request.map_err(|e| Failure::Usage(e.to_string()))?;
        let stream: Box<dyn Stream> = match &self.0 {
            Way::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                Box::new(stream.map_err(|e| self.unreachable(e))?)
            }
            Way::Network(server) => {
                server.dress(request.headers_mut());
                server.connect().await?
            }
        };
        let lost = |e: hyper::Error| self.unreachable(io::Error::other(e));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Ends with the response; its errors are the response's.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(lost)
    }

    fn unreachable(&self, source: io::Error) -> Failure {
        match &self.0 {
            Way::Socket(socket) => Failure::Unreachable {
                socket: socket.clone(),
                source,
            },
            Way::Network(server) => {
                let cure = "look at the log of `enforcer serve` there";
                server.unreachable(&source.to_string(), cure)
            }
        }
    }
}

async fn answer(response: Response<Incoming>) -> Result<Value, Failure> {
    let status = response.status();
    let body = response.into_body().collect().await;
    let bytes = body.map_err(|e| Failure::Answer(e.to_string()))?.to_bytes();
    if status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|e| Failure::Answer(format!("{status}: {e}")))?;
    if status.is_success() {
        return Ok(value);
    }
    Err(Failure::Refused(read::<ProblemDoc>(&value)?))
}

fn json<B: Serialize>(body: &B) -> Result<Body, Failure> {
    let bytes = serde_json::to_vec(body).map_err(|e| Failure::Local(e.to_string()))?;
    let body = Full::new(Bytes::from(bytes)).map_err(|e| match e {});
    Ok(body.boxed_unsync())
}

fn empty() -> Body {
    Full::new(Bytes::new())
        .map_err(|e| match e {})
        .boxed_unsync()
}

/// The document in `value`. Read as a text, as everything else is: a type's reader is some kilobytes for each kind of input.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    from_slice(value.to_string().as_bytes()).map_err(|e| Failure::Answer(e.to_string()))
}

/// A path with a query of what somebody asked for; what nobody did is left out.
pub(super) fn filtered<'a>(
    path: &str,
    asked: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> String {
    let asked = asked.into_iter();
    let asked = asked.filter_map(|(name, value)| Some(format!("{name}={}", encode(value?))));
    match asked.collect::<Vec<_>>().join("&") {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_query_has_what_was_asked_for() {
        let path = |state, open| super::filtered("/x", [("state", state), ("open", open)]);
        assert_eq!(path(None, None), "/x");
        assert_eq!(path(None, Some("true")), "/x?open=true");
        assert_eq!(path(Some("a&b"), Some("true")), "/x?state=a%26b&open=true");
    }

    #[test]
    fn any_text_is_one_segment() {
        assert_eq!(super::encode("a/b?c=ä 1"), "a%2Fb%3Fc%3D%C3%A4%201");
        assert_eq!(super::encode("52:54-x_y.z~"), "52%3A54-x_y.z~");
    }
}
