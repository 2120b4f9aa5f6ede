//! Slow chores: folders that other commands change, activations whose time is over.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::policy;
use crate::{
    boot::Desk, config::Config, firmware::FirmwareSet, state::ops::ExpireOverdue, store::Store,
};

/// How often folders and time limits are looked at: a person who just ran `management-os build` waits no longer.
const EVERY: Duration = Duration::from_secs(2);

/// Takes in a management OS or firmware that was put in place while we run.
pub(super) async fn assets(store: Store, desk: Arc<Desk>, config: Config, stop: CancellationToken) {
    let (systems, firmware) = (
        config.state.join("assets/management-os"),
        config.state.join("firmware/manifest.json"),
    );
    let mut before = (changed(&systems), changed(&firmware));
    while tick(&stop).await {
        let now = (changed(&systems), changed(&firmware));
        if now.0 != before.0
            && store
                .set_policy(policy::of(&config, store.view().policy.mesh.clone()))
                .await
                .is_ok()
        {
            info!("the installed management OSes were read again");
        }
        if now.1 != before.1 {
            reload(&desk, &config.state.join("firmware"));
        }
        before = now;
    }
}

fn reload(desk: &Desk, folder: &Path) {
    match FirmwareSet::open(folder) {
        Ok((set, notices)) => {
            notices
                .iter()
                .for_each(|notice| warn!("boot programs: {notice}"));
            desk.set_firmware(set);
            info!("the firmware manifest was read again");
        }
        Err(error) => warn!(%error, "the firmware manifest cannot be read; the old one stays"),
    }
}

/// When a file or folder changed last; a rename into a folder changes it.
fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|m| m.modified()).ok()
}

/// Closes activations, commands and reservations whose time is over.
pub(super) async fn overdue(store: Store, stop: CancellationToken) {
    while tick(&stop).await {
        let (view, now) = (store.view(), store.now());
        let overdue = view.activations().any(|a| a.is_open() && !a.is_due(now))
            || view.open_commands().any(|c| now >= c.overdue_at())
            || view
                .machines()
                .any(|m| m.hold.as_ref().is_some_and(|h| !h.stands(now)));
        if overdue && let Err(error) = store.apply(ExpireOverdue).await {
            warn!(%error, "what is overdue could not be closed");
        }
    }
}

async fn tick(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(EVERY) => true,
    }
}
