//! One connection of the API, whatever carries it: HTTP/1.1 with bounds on its heads and on how long they may take.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Extensions, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::debug;

use crate::client::Stream;

/// How long a client may take to send its request's head; as long may a connection lie idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head, bytes: the longest honest ones, with cookies of other programs of a host, have some kilobytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Serves `router` until the client goes or `stop`; then an open request may still end. Every request gets what the transport
/// has `seen` into its extensions.
pub(super) async fn speak(
    stream: Box<dyn Stream>,
    router: Router,
    seen: Extensions,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().extend(seen.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "an API connection ended early");
    }
}
