//! A receiver of webhooks that does what a test tells it.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};

use super::SOON;

/// What it does with a message, after it has read it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// 200.
    Take,
    /// Another status; with a place to go to, should that be asked for.
    Answer(u16),
    /// It closes the connection without a word.
    LoseAnswer,
    /// It never answers.
    Hang,
}

/// A message that came.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) id: String,
    pub(super) timestamp: i64,
    pub(super) signature: String,
    pub(super) body: Value,
}

/// See the module.
pub(super) struct Receiver {
    pub(super) at: SocketAddr,
    got: mpsc::UnboundedReceiver<Got>,
    raw: Arc<Mutex<Bytes>>,
    _serving: JoinSet<()>,
}

/// What connections share.
struct Desk {
    act: Box<dyn Fn(usize) -> Act + Send + Sync>,
    count: Mutex<usize>,
    got: mpsc::UnboundedSender<Got>,
    raw: Arc<Mutex<Bytes>>,
}

impl Receiver {
    /// Does with message `n` what `act` says.
    pub(super) async fn start(act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (sender, got) = mpsc::unbounded_channel();
        let raw = Arc::<Mutex<Bytes>>::default();
        let desk = Arc::new(Desk {
            act: Box::new(act),
            count: Mutex::default(),
            got: sender,
            raw: Arc::clone(&raw),
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, desk));
        Self {
            at,
            got,
            raw,
            _serving: serving,
        }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Got {
        let came = timeout(SOON, self.got.recv()).await;
        came.expect("no message came").unwrap()
    }

    /// How many came that nobody looked at.
    pub(super) fn so_far(&mut self) -> usize {
        std::iter::from_fn(|| self.got.try_recv().ok()).count()
    }

    pub(super) fn forget(&mut self) {
        self.so_far();
    }

    /// The bytes of the last message.
    pub(super) fn last_body(&self) -> Bytes {
        self.raw.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        connections.spawn(async move {
            let service = service_fn(|request| answer(&desk, request));
            // A lost answer is an error here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    desk: &Desk,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    let act = {
        let mut count = desk.count.lock().unwrap();
        *count += 1;
        (desk.act)(*count - 1)
    };
    *desk.raw.lock().unwrap() = bytes.clone();
    let got = Got {
        path: head.uri.path().to_owned(),
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp").parse().unwrap(),
        signature: header("webhook-signature"),
        body: serde_json::from_slice(&bytes).unwrap(),
    };
    let _ = desk.got.send(got);
    let status = match act {
        Act::Take => 200,
        Act::Answer(status) => status,
        Act::LoseAnswer => return Err(io::ErrorKind::ConnectionReset.into()),
        Act::Hang => match std::future::pending::<Infallible>().await {},
    };
    let answer = Response::builder()
        .status(status)
        .header("location", "/elsewhere");
    answer.body(Full::default()).map_err(io::Error::other)
}
