//! Garbage: what no version needs any more goes, now and then and soon after something was deleted.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{Images, lock};
use crate::state::deployment::Phase;

/// How often: what broken uploads left, and sessions that nobody goes on with.
const EVERY: Duration = Duration::from_secs(3600);
/// After a deletion a little later: a person who deletes ten images makes one collection.
const SOON: Duration = Duration::from_secs(5);

impl Images {
    /// Collects until we stop.
    pub async fn keep_clean(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
                () = self.0.deleted.notified() => tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(SOON) => {}
                },
            }
            self.collect().await;
        }
    }

    /// Collects now.
    pub async fn collect(&self) {
        let view = self.0.store.view();
        {
            let mut sessions = lock(&self.0.sessions);
            sessions.end_old(Instant::now());
            let saves = |job| {
                view.deployment(job)
                    .is_some_and(|d| d.phase() == Phase::AtWork)
            };
            sessions.end_captures(saves);
        }
        let store = self.0.store.clone();
        let roots = move || store.view().image_roots().collect::<Vec<_>>();
        match self.blocking(move |chunks| chunks.collect(roots)).await {
            Ok(gone) if gone.chunks + gone.manifests > 0 => {
                info!(
                    chunks = gone.chunks,
                    bytes = gone.bytes,
                    manifests = gone.manifests,
                    "what no image needs any more is gone"
                );
            }
            Ok(_) => {}
            Err(failed) => error!("the image store could not be cleaned: {failed}"),
        }
    }
}
