//! The agent as a boot helper: DHCP-proxy, TFTP and boot HTTP on its own segment, every question carried over its link.
//!
//! Runs while the controller says so ([`Duty`]); what it serves is asked by [`desk`] and kept by [`cache`]. Nothing is
//! decided here.

mod cache;
mod desk;
mod line;
mod outbox;
mod ports;
mod programs;
mod words;

use std::{path::PathBuf, sync::Arc, time::Duration};

use mesh_net::AgentLink;
use mesh_proto::message::boot::{Duty, HelperReport, HelperState};
use mesh_proto::message::job::Ability;
use mesh_proto::message::link::FromAgent;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{cache::Cache, desk::Desk, outbox::Outbox};
use crate::journal::Journal;

pub use self::{
    desk::Desk as HelperDesk,
    ports::{Bound, Ports},
};

/// Between attempts to take ports that another program has.
const AGAIN: Duration = Duration::from_secs(10);
/// Time for the controller to take a report.
const REPORT: Duration = Duration::from_secs(10);

/// What an agent needs to be a helper.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder for boot files.
    pub folder: PathBuf,
    /// Where it listens.
    pub ports: Ports,
}

impl Place {
    fn open(&self) -> Result<(Cache, Outbox), String> {
        let failed = |e| format!("cannot keep boot files in {}: {e}", self.folder.display());
        let cache = Cache::open(&self.folder.join("files")).map_err(failed)?;
        let outbox = Outbox::open(&self.folder.join("outbox")).map_err(failed)?;
        Ok((cache, outbox))
    }
}

/// The helper of an agent; clones are the same.
#[derive(Debug, Clone)]
pub struct Helper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Option<Place>,
    duty: watch::Sender<Option<Duty>>,
    link: watch::Sender<Option<AgentLink>>,
    report: watch::Sender<Option<HelperReport>>,
    journal: Journal,
}

impl Helper {
    /// Without duty yet. Without a place it never takes one.
    #[must_use]
    pub fn new(place: Option<Place>, journal: Journal) -> Self {
        Self(Arc::new(Inner {
            place,
            duty: watch::Sender::new(None),
            link: watch::Sender::new(None),
            report: watch::Sender::new(None),
            journal,
        }))
    }

    /// What the hello says that this agent can do: without a place it is no helper.
    #[must_use]
    pub fn abilities(&self) -> Vec<Ability> {
        let can = |ability: &Ability| *ability != Ability::Helper || self.0.place.is_some();
        Ability::OURS.into_iter().filter(can).collect()
    }

    /// What the controller wants. False: this agent cannot.
    pub fn set_duty(&self, duty: Option<Duty>) -> bool {
        if duty.is_some() && self.0.place.is_none() {
            return false;
        }
        self.0.duty.send_if_modified(|now| {
            let news = *now != duty;
            *now = duty;
            news
        });
        true
    }

    /// The link that stands now.
    pub fn set_link(&self, link: Option<AgentLink>) {
        self.0.link.send_replace(link);
    }

    /// How it goes; `None` before the first duty.
    #[must_use]
    pub fn report(&self) -> watch::Receiver<Option<HelperReport>> {
        self.0.report.subscribe()
    }

    /// Serves while there is a duty; never returns. Dropped, every socket closes.
    pub async fn run(&self) {
        tokio::join!(self.serve_on_duty(), self.tell_reports());
    }

    async fn serve_on_duty(&self) {
        let mut duties = self.0.duty.subscribe();
        loop {
            let duty = duties.borrow_and_update().clone();
            let (Some(duty), Some(place)) = (duty, &self.0.place) else {
                // We hold the sender ourselves: it does not go.
                let _never = duties.changed().await;
                continue;
            };
            let stop = CancellationToken::new();
            let serving = self.serve(place, &duty, &stop);
            tokio::pin!(serving);
            tokio::select! {
                () = &mut serving => {}
                _ = duties.changed() => {
                    stop.cancel();
                    serving.await;
                    self.say(HelperState::Off, "does not serve boot any more".to_owned());
                }
            }
        }
    }

    /// Serves one duty until `stop`; comes back after a while when it cannot.
    async fn serve(&self, place: &Place, duty: &Duty, stop: &CancellationToken) {
        let bound = Bound::bind(&place.ports, duty);
        let kept = place.open();
        let (bound, (cache, outbox)) = match (bound, kept) {
            (Ok(bound), Ok(kept)) => (bound, kept),
            (Err(text), _) | (_, Err(text)) => {
                self.say(HelperState::Failed, text);
                tokio::select! { () = sleep(AGAIN) => {} () = stop.cancelled() => {} }
                return;
            }
        };
        self.say(HelperState::Starting, "gets its boot programs".to_owned());
        let desk = Arc::new(Desk::new(self.0.link.subscribe(), cache, outbox));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&desk).keep_up(stop.clone()));
        tokio::select! {
            () = desk.has_programs() => {
                self.say(HelperState::Serving, bound.words());
                bound.serve(&desk, &mut tasks, stop);
            }
            () = stop.cancelled() => {}
        }
        while tasks.join_next().await.is_some() {}
    }

    fn say(&self, state: HelperState, text: String) {
        let report = HelperReport { state, text };
        self.0.report.send_if_modified(|now| {
            let news = now.as_ref() != Some(&report);
            if news {
                self.0.journal.say(&format!("boot helper: {}", report.text));
                *now = Some(report);
            }
            news
        });
    }

    /// Tells the controller how it goes, at each change and on each link.
    async fn tell_reports(&self) {
        let (mut reports, mut links) = (self.0.report.subscribe(), self.0.link.subscribe());
        loop {
            let report = reports.borrow_and_update().clone();
            let link = links.borrow_and_update().clone();
            if let (Some(report), Some(link)) = (report, link) {
                // Unheard, it is told on the next link.
                let _unheard = link.call(&FromAgent::Helper(report), REPORT).await;
            }
            tokio::select! {
                _ = reports.changed() => {}
                _ = links.changed() => {}
            }
        }
    }
}
