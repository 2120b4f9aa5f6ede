//! The agent as a boot helper: DHCP-proxy, TFTP and boot HTTP on its own segment, every question carried over its link.
//!
//! Runs while the controller says so ([`Duty`]), and for a day after its last word ([`role`]); what it serves is asked by
//! [`desk`] and kept by [`cache`]. What it may answer by itself is written and signed by the controller ([`away`]).

mod away;
mod cache;
mod desk;
mod heard;
mod line;
mod offers;
mod outbox;
mod ports;
mod programs;
mod role;
mod tick;
mod words;

use std::{path::PathBuf, sync::Arc, time::Duration};

use mesh_net::{AgentLink, LinkIdentity};
use mesh_proto::message::boot::{Duty, HelperReport, HelperState};
use mesh_proto::message::job::Ability;
use mesh_proto::message::link::FromAgent;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use self::{away::Away, cache::Cache, desk::Desk, outbox::Outbox, role::Role};
use crate::journal::Journal;

pub use self::{
    desk::Desk as HelperDesk,
    ports::{Bound, Ports},
    tick::Tick,
};

/// Between attempts to take ports that another program has.
const AGAIN: Duration = Duration::from_secs(10);
/// Time for the controller to take a report.
const REPORT: Duration = Duration::from_secs(10);

/// How often it is looked whether the role is still good without a link.
const LOOK_AT_ROLE: Duration = Duration::from_secs(60);
/// How much younger than so the role on the disk is while a link stands, seconds: an SD card is not written each minute.
const WRITTEN_AGAIN_S: i64 = 900;

/// What an agent needs to be a helper.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder for boot files.
    pub folder: PathBuf,
    /// Where it listens.
    pub ports: Ports,
    /// Reads the time: [`Tick::now`].
    pub tick: fn() -> Tick,
}

/// What a helper keeps on its disk.
#[derive(Debug)]
struct Kept {
    cache: Cache,
    outbox: Outbox,
    away: Away,
}

impl Place {
    fn open(&self, own: &LinkIdentity) -> Result<Kept, String> {
        let failed = |e| format!("cannot keep boot files in {}: {e}", self.folder.display());
        Ok(Kept {
            cache: Cache::open(&self.folder.join("files")).map_err(failed)?,
            outbox: Outbox::open(&self.folder.join("outbox")).map_err(failed)?,
            away: Away::open(&self.folder, own, self.tick).map_err(failed)?,
        })
    }

    fn role(&self) -> Role {
        Role::in_folder(&self.folder)
    }
}

/// The helper of an agent; clones are the same.
#[derive(Debug, Clone)]
pub struct Helper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Option<Place>,
    /// Who this is: what is delegated is for one node of one site.
    own: watch::Sender<Option<LinkIdentity>>,
    duty: watch::Sender<Option<Duty>>,
    link: watch::Sender<Option<AgentLink>>,
    report: watch::Sender<Option<HelperReport>>,
    /// Wants it looked at what there is to serve.
    look: Arc<Notify>,
    journal: Journal,
}

impl Helper {
    /// Without duty yet. Without a place it never takes one.
    #[must_use]
    pub fn new(place: Option<Place>, journal: Journal) -> Self {
        Self(Arc::new(Inner {
            place,
            own: watch::Sender::new(None),
            duty: watch::Sender::new(None),
            link: watch::Sender::new(None),
            report: watch::Sender::new(None),
            look: Arc::default(),
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
        let Some(place) = &self.0.place else {
            return duty.is_none();
        };
        if let Err(error) = place.role().keep(duty.as_ref(), (place.tick)()) {
            let text = format!("the role of a boot helper is not kept: {error}");
            self.0.journal.say(&text);
        }
        if duty.is_none() {
            Away::forget(&place.folder);
        }
        self.set_serving(duty);
        self.0.look.notify_one();
        true
    }

    fn set_serving(&self, duty: Option<Duty>) {
        self.0.duty.send_if_modified(|now| {
            let news = *now != duty;
            *now = duty;
            news
        });
    }

    /// Who this is. Before its first link what was served when the agent ended goes on, if that is still good.
    pub fn set_identity(&self, own: &LinkIdentity) {
        let is_first = self.0.own.send_replace(Some(own.clone())).is_none();
        let (true, Some(place)) = (is_first, &self.0.place) else {
            return;
        };
        let role = place.role();
        match role.kept(&(place.tick)()) {
            Some((duty, _)) => {
                self.0.journal.say("boot helper: goes on as it was told");
                self.set_serving(Some(duty));
            }
            None if role.is_written() => self.0.journal.say(
                "boot helper: nobody has confirmed its role for 24 h; it serves again when its controller is back",
            ),
            None => {}
        }
    }

    /// The site does not take this agent's key any more: it serves nobody.
    pub fn lose(&self) {
        self.0.own.send_replace(None);
        let _cannot = self.set_duty(None);
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
        tokio::join!(self.serve_on_duty(), self.tell_reports(), self.keep_role());
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

    /// Without a word of the controller the role ends after a day; while its link stands it is its word.
    async fn keep_role(&self) {
        loop {
            sleep(LOOK_AT_ROLE).await;
            let duty = self.0.duty.borrow().clone();
            let (Some(duty), Some(place)) = (duty, &self.0.place) else {
                continue;
            };
            let (linked, now) = (self.0.link.borrow().is_some(), (place.tick)());
            let left = place.role().kept(&now).map_or(0, |(_, left)| left);
            if linked && left < role::LIVES_S - WRITTEN_AGAIN_S {
                // One that cannot be kept ends sooner.
                let _sooner = place.role().keep(Some(&duty), now);
            } else if !linked && left == 0 {
                self.set_serving(None);
            }
        }
    }

    /// Serves one duty until `stop`; comes back after a while when it cannot.
    async fn serve(&self, place: &Place, duty: &Duty, stop: &CancellationToken) {
        let bound = Bound::bind(&place.ports, duty);
        let own = self.0.own.borrow().clone();
        let own = own.ok_or_else(|| "this agent has no key".to_owned());
        let kept = own.and_then(|own| place.open(&own));
        let (bound, kept) = match (bound, kept) {
            (Ok(bound), Ok(kept)) => (bound, kept),
            (Err(text), _) | (_, Err(text)) => {
                self.say(HelperState::Failed, text);
                tokio::select! { () = sleep(AGAIN) => {} () = stop.cancelled() => {} }
                return;
            }
        };
        self.say(HelperState::Starting, "gets its boot programs".to_owned());
        let desk = Arc::new(Desk::new(
            self.0.link.subscribe(),
            self.0.own.subscribe(),
            kept,
            Arc::clone(&self.0.look),
        ));
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
