//! The local socket: the API for this host's people, who are known by the kernel's word (peer credentials).

mod peer;
mod socket;

use std::{io, path::Path, sync::Arc, time::Duration};

use axum::{Router, http::Extensions};
use futures_util::FutureExt as _;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(super) use self::peer::is_account;
pub use self::{
    peer::{GROUP, PeerRule},
    socket::{SocketError, bind, find},
};
use super::{audited::LocalUser, auth::Caller, connection::speak, error::Problem};

/// Connections at once: each person's or program's is one or two; more is a leak or an attack by a local user.
const MAX_CONNECTIONS: usize = 256;
/// How long open requests may take to end when the controller stops.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after `accept` failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop`; then lets open requests end for a short while.
pub async fn serve(
    listener: UnixListener,
    router: Router,
    rule: PeerRule,
    stop: CancellationToken,
) {
    let (rule, places) = (Arc::new(rule), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            Some(_) = open.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let (router, rule, stop) = (router.clone(), Arc::clone(&rule), stop.clone());
                open.spawn(
                    async move {
                        connection(stream, router, &rule, stop).await;
                        drop(place);
                    }
                    .boxed(),
                );
            }
            Err(error) => {
                warn!(%error, "the API socket cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let all = async { while open.join_next().await.is_some() {} };
    // What is still open after the grace period is dropped with `open`.
    let _ = tokio::time::timeout(GRACE, all).await;
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// Waits for a free place first: the kernel's backlog then holds who comes.
async fn accept(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
) -> io::Result<(UnixStream, Place)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(stream: UnixStream, router: Router, rule: &PeerRule, stop: CancellationToken) {
    let mut seen = Extensions::new();
    let router = match peer(&stream, rule) {
        Ok((caller, user)) => {
            seen.insert(caller);
            seen.insert(user);
            router
        }
        Err(problem) => Router::new().fallback(move || async move { problem }),
    };
    speak(Box::new(stream), router, seen, stop).await;
}

fn peer(stream: &UnixStream, rule: &PeerRule) -> Result<(Caller, LocalUser), Problem> {
    let peer = stream.peer_cred().map_err(|e| {
        Problem::new(
            super::error::Code::Unauthenticated,
            format!("the kernel does not say who you are: {e}"),
        )
    })?;
    let caller = rule.caller(peer.uid(), peer.gid())?;
    Ok((caller, LocalUser(peer.uid())))
}

/// Binds the socket at `path` and says where, for a start's log.
///
/// # Errors
/// See [`SocketError`].
pub fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    bind(path, peer::group_id(GROUP))
}
