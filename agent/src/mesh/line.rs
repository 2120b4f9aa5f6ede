//! The way from who does jobs to the controller: the link that stands, if one does, and the controller's nudges.

use std::sync::Arc;

use mesh_net::AgentLink;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Clones share everything.
#[derive(Debug, Clone)]
pub struct JobLine {
    link: watch::Sender<Option<AgentLink>>,
    nudge: Arc<Notify>,
    active: watch::Sender<Instant>,
}

impl JobLine {
    /// No link yet. `active` is when somebody last wanted something of this machine.
    pub(super) fn new(active: watch::Sender<Instant>) -> Self {
        Self {
            link: watch::Sender::new(None),
            nudge: Arc::default(),
            active,
        }
    }

    /// The link that stands now.
    #[must_use]
    pub fn link(&self) -> Option<AgentLink> {
        self.link.borrow().clone()
    }

    /// Waits until a link stands.
    pub async fn linked(&self) {
        let mut links = self.link.subscribe();
        // We hold the sender ourselves: it does not go.
        let _gone = links.wait_for(Option::is_some).await;
    }

    /// Waits until the controller says that there may be a job, or says so for one that was said before.
    pub async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// The machine is not idle.
    pub fn touch(&self) {
        self.active.send_replace(Instant::now());
    }

    pub(super) fn set(&self, link: Option<AgentLink>) {
        // A new link may know of a job that the old one could not tell.
        if link.is_some() {
            self.nudge();
        }
        self.link.send_replace(link);
    }

    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }
}
