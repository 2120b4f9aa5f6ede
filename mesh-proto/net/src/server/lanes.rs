//! Lanes for bytes: few at once, and only while one is open QUIC may hold more than a thousand idle links could afford.

use std::{sync::Arc, time::Duration};

use mesh_proto::message::{Refusal, RefusalCode};
use quinn::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::transport::{SEND_WIDE, SEND_WINDOW, WIDE, WINDOW};

/// Requests with bytes that are served at once, for all links of this process. Each may hold a chunk or two besides what
/// is in flight; sixteen keep a disk and a gigabit busy.
const ALL: usize = 16;
/// And of one link: one comes while the next is looked up. The others wait, so that eight machines get the same share.
const OF_ONE: usize = 2;
/// How long a request waits for a lane before it hears that all are taken.
const PATIENCE: Duration = Duration::from_secs(30);

/// All lanes of a server.
#[derive(Debug, Clone)]
pub(super) struct Road(Arc<Semaphore>);

impl Default for Road {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL)))
    }
}

/// The lanes of one link.
#[derive(Debug)]
pub(super) struct Lanes {
    free: Arc<Semaphore>,
    connection: Connection,
}

/// A lane that is used, until it is dropped.
pub(super) struct Lane {
    lanes: Arc<Lanes>,
    own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Lanes {
    pub(super) fn of(connection: &Connection) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(OF_ONE)),
            connection: connection.clone(),
        })
    }

    /// Waits for a lane; first come, first served.
    pub(super) async fn enter(self: &Arc<Self>, road: &Road) -> Result<Lane, Refusal> {
        let entered = async {
            // The link's own first: who waits for a neighbour's sake must not hold what others could use.
            let own = Arc::clone(&self.free).acquire_owned().await.ok()?;
            let all = Arc::clone(&road.0).acquire_owned().await.ok()?;
            Some((own, all))
        };
        let Ok(Some((own, all))) = timeout(PATIENCE, entered).await else {
            let text = "too many transfers at once; come back later";
            return Err(Refusal::new(RefusalCode::Busy, text));
        };
        Ok(Lane {
            lanes: Arc::clone(self),
            own: Some(own),
            _all: all,
        })
    }
}

impl Lane {
    /// The bytes go over the link itself, which needs windows for them.
    pub(super) fn widen(&self) {
        let connection = &self.lanes.connection;
        connection.set_receive_window(WIDE.into());
        connection.set_send_window(SEND_WIDE);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.own.take();
        if self.lanes.free.available_permits() == OF_ONE {
            let connection = &self.lanes.connection;
            connection.set_receive_window(WINDOW.into());
            connection.set_send_window(SEND_WINDOW);
        }
    }
}
