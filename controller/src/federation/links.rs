//! The links: dialled where none stands, attended while they do, closed when a site is revoked.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use ipxe::MacAddr;
use mesh_net::{CallError, CloseCode, PeerIncoming, PeerLink};
use mesh_proto::message::peer::{Evidence, PeerAsk, PeerReply};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};

use super::{Federation, counts::Rejected, lock, question::plain};
use crate::{
    metrics::{Counter, PeerCounter},
    state::{
        event::{Draft, Origin},
        ops::{Told, macs_for},
        peer::{Outgoing, Peer, SiteName},
    },
    store::Behalf,
};

/// How often it is looked whether links are missing, and whether peers have to be told something.
const LOOK: Duration = Duration::from_secs(1);
/// What happens within this is told together.
const GATHER: Duration = Duration::from_millis(50);
/// Time for a peer to take note of something.
const TELL: Duration = Duration::from_secs(5);
/// The pause after a dial that failed, doubled each time up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Questions of one peer a second, as many as boot HTTP takes of one machine; more wait for the next second.
const QUESTIONS_A_SECOND: u32 = 50;
/// Links with one peer that stand at once: each side may have dialled, and an old one may not have ended yet.
const MAX_LINKS: usize = 4;

/// How long a link goes on beside a newer one: what was asked over it is answered by then, and over the other one the rest goes on.
const BESIDE: Duration = Duration::from_secs(3);

/// The links that stand, the newest of a site last, and the machines that each site was told of over any of them.
#[derive(Debug, Default)]
pub(super) struct Links {
    standing: HashMap<SiteName, Vec<PeerLink>>,
    told: HashMap<SiteName, BTreeSet<MacAddr>>,
}

impl Links {
    /// The links with a site that have not ended.
    pub(super) fn with(&self, site: &SiteName) -> impl DoubleEndedIterator<Item = &PeerLink> {
        let links = self.standing.get(site).into_iter().flatten();
        links.filter(|l| l.end().is_none())
    }

    fn insert(&mut self, site: &SiteName, link: &PeerLink) -> bool {
        let links = self.standing.entry(site.clone()).or_default();
        let room = links.len() < MAX_LINKS;
        if room {
            links.push(link.clone());
        }
        room
    }

    fn remove(&mut self, site: &SiteName, link: &PeerLink) {
        if let Some(links) = self.standing.get_mut(site) {
            links.retain(|l| !l.is(link));
        }
        // It may have begun anew, from a backup: it is told all over again.
        self.told.remove(site);
    }

    fn all(&self) -> impl Iterator<Item = (&SiteName, &PeerLink)> {
        let links = self.standing.iter();
        links.flat_map(|(site, links)| links.iter().map(move |l| (site, l)))
    }
}

/// When a site is dialled again.
#[derive(Debug)]
struct Patience {
    next: Instant,
    pause: Duration,
}

impl Federation {
    /// Keeps the links until we stop.
    pub async fn run(self) {
        let mut patience: BTreeMap<SiteName, Patience> = BTreeMap::new();
        let mut changed = self.0.store.subscribe();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut dials = JoinSet::new();
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => break,
                _ = look.tick() => {}
                Ok(()) = changed.changed() => {}
                Some(done) = dials.join_next() => {
                    if let Ok((site, stands)) = done {
                        settle(&mut patience, site, stands);
                    }
                }
            }
            self.part();
            self.dial_missing(&mut patience, &mut dials);
        }
        for (_, link) in lock(&self.0.links).all() {
            link.close(CloseCode::Stopping, "the controller stops");
        }
        drop(dials);
        self.0.work.close();
        self.0.work.wait().await;
    }

    /// Closes the links with sites that were revoked.
    fn part(&self) {
        let view = self.0.store.view();
        for (site, link) in lock(&self.0.links).all() {
            if !view.peer(site).is_some_and(|p| p.is_joined()) {
                link.close(CloseCode::Revoked, "this site was revoked");
            }
        }
    }

    fn dial_missing(
        &self,
        patience: &mut BTreeMap<SiteName, Patience>,
        dials: &mut JoinSet<(SiteName, bool)>,
    ) {
        let view = self.0.store.view();
        let now = Instant::now();
        for peer in view.peers().filter(|p| p.is_joined()) {
            let due = patience.get(&peer.site).is_none_or(|p| now >= p.next);
            if !due || self.links_with(&peer.site) > 0 {
                continue;
            }
            // Until it is settled nobody dials it a second time.
            let waits = patience.entry(peer.site.clone()).or_insert(Patience {
                next: now,
                pause: PAUSES.0,
            });
            waits.next = now + PAUSES.1;
            let (federation, peer) = (self.clone(), Peer::clone(peer));
            dials.spawn(async move {
                let stands = federation.dial(&peer).await;
                (peer.site, stands)
            });
        }
    }

    /// Dials a peer at all its addresses at once: most of those that it had are silent, each for seconds.
    async fn dial(&self, peer: &Peer) -> bool {
        let Ok(ca) = mesh_net::keys::certificate_der(&peer.ca) else {
            warn!(site = %peer.site, "the CA of this peer cannot be read");
            return false;
        };
        let dial = |at| {
            let dialled = self.0.server.dial_peer(peer.site.as_str(), ca.clone(), at);
            async move { (at, dialled.await) }
        };
        let mut dials: FuturesUnordered<_> = self.dialled_at(peer).into_iter().map(dial).collect();
        while let Some((at, dialled)) = dials.next().await {
            match dialled {
                Ok(link) => {
                    let federation = self.clone();
                    self.0
                        .work
                        .spawn(async move { federation.attend(link).await }.boxed());
                    return true;
                }
                Err(error) => debug!(site = %peer.site, %at, "no link: {error}"),
            }
        }
        false
    }

    /// Attends a link, whoever dialled it, until it ends.
    pub async fn attend(&self, link: PeerLink) {
        let Ok(site) = link.site().parse::<SiteName>() else {
            return link.close(CloseCode::Refused, "this is no site's name");
        };
        if !lock(&self.0.links).insert(&site, &link) {
            let why = "more links than a site may have";
            self.0.rejected(&site, Rejected::Link, why);
            return link.close(CloseCode::Busy, why);
        }
        info!(%site, at = %link.remote(), "a link with another site stands");
        self.0.link_began(&site);
        let end = tokio::select! {
            end = self.serve(&site, &link) => end,
            end = self.hear(&site, &link) => end,
        };
        lock(&self.0.links).remove(&site, &link);
        self.0.link_ended(&site);
        info!(%site, "a link with another site ended: {end}");
    }

    async fn serve(&self, site: &SiteName, link: &PeerLink) -> mesh_net::LinkEnd {
        let mut changed = self.0.store.subscribe();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut questions, mut errand) = (JoinSet::new(), JoinSet::new());
        let (mut pace, mut newer_since) = (Pace::new(), None);
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => {
                    link.close(CloseCode::Stopping, "the controller stops");
                }
                accepted = after(pace.rests_until(), link) => match accepted {
                    Ok(incoming) => {
                        pace.asked();
                        let this = (self.clone(), site.clone(), link.clone());
                        questions.spawn(question(this, incoming).boxed());
                        continue;
                    }
                    Err(end) => return end,
                },
                Some(_done) = questions.join_next() => continue,
                Some(_done) = errand.join_next() => continue,
                _ = look.tick() => {}
                Ok(()) = changed.changed() => {}
            }
            if let Some(end) = link.end() {
                return end;
            }
            if !self.0.is_joined(site) {
                link.close(CloseCode::Revoked, "this site was revoked");
                continue;
            }
            if self.is_superfluous(site, link, &mut newer_since) {
                link.close(CloseCode::Superseded, "a newer link with this site stands");
                continue;
            }
            if errand.is_empty() {
                errand.spawn(self.clone().tell(site.clone(), link.clone()).boxed());
            }
        }
    }

    /// Whether a newer link has stood for a while: both sites may have dialled, and one link is enough. It is for the site whose
    /// name comes first to say, or each would close the other's.
    fn is_superfluous(
        &self,
        site: &SiteName,
        link: &PeerLink,
        newer_since: &mut Option<Instant>,
    ) -> bool {
        let links = lock(&self.0.links);
        let newest = links.with(site).last();
        if self.0.site > *site || newest.is_none_or(|newest| newest.is(link)) {
            *newer_since = None;
            return false;
        }
        newer_since.get_or_insert_with(Instant::now).elapsed() >= BESIDE
    }

    /// Tells a peer what it does not know: the machines that we have something for, and how what it granted ended.
    async fn tell(self, site: SiteName, link: PeerLink) {
        // Events come in crowds; what follows looks at every activation.
        tokio::time::sleep(GATHER).await;
        let view = self.0.store.view();
        let Some(peer) = view.peer(&site) else {
            return;
        };
        let macs = macs_for(&view, peer, self.0.store.now());
        let is_told = lock(&self.0.links).told.get(&site) == Some(&macs);
        if !is_told {
            let bare = |m: &MacAddr| m.hyphens().replace('-', "");
            let ask = PeerAsk::Macs {
                macs: macs.iter().map(bare).collect(),
            };
            if let Ok(PeerReply::Noted) = self.0.asked(link.ask(&ask, TELL).await) {
                lock(&self.0.links).told.insert(site.clone(), macs);
            }
        }
        for told in view.outgoing().filter(|o| o.site == site) {
            if !self.tell_end(&site, &link, told).await {
                return;
            }
        }
    }

    /// Whether the peer has taken note; until then it is told again.
    async fn tell_end(&self, site: &SiteName, link: &PeerLink, told: &Outgoing) -> bool {
        let ask = PeerAsk::Evidence(Evidence {
            nonce: told.nonce.to_string(),
            outcome: told.outcome,
            reason: told.reason.clone(),
        });
        match self.0.asked(link.ask(&ask, TELL).await) {
            Ok(PeerReply::Noted) => {}
            // It will never know it: a backup was brought back there, or the machine was deleted.
            Err(CallError::Refused(refusal))
                if refusal.code == mesh_proto::message::RefusalCode::NotAllowed =>
            {
                let text = format!(
                    "{site} does not want to know of a boot: {}",
                    plain(&refusal.text)
                );
                self.0
                    .store
                    .note(Draft::new("peer.evidence-refused", text).field("site", site.as_str()));
            }
            _ => return false,
        }
        self.0.store.apply(Told(told.nonce.clone())).await.is_ok()
    }
}

/// The next question, not before that moment.
async fn after(moment: Instant, link: &PeerLink) -> Result<PeerIncoming, mesh_net::LinkEnd> {
    tokio::time::sleep_until(moment).await;
    link.accept().await
}

/// One question, read and answered.
async fn question((federation, site, link): (Federation, SiteName, PeerLink), ask: PeerIncoming) {
    match ask.read().await {
        Ok((ask, to)) => {
            let behalf = Behalf::new(Origin {
                by: Some(format!("peer:{site}")),
                from: Some(link.remote().ip().to_string()),
                ..Origin::default()
            });
            behalf
                .during(federation.answer(&site, &link, ask, to))
                .await;
        }
        Err(error) => {
            federation
                .0
                .metrics
                .count(Counter::Peer(PeerCounter::Answered), "unreadable");
            debug!(%site, "a question of a peer cannot be read: {error}");
        }
    }
}

fn settle(patience: &mut BTreeMap<SiteName, Patience>, site: SiteName, stands: bool) {
    let now = Instant::now();
    let before = patience.get(&site).map_or(PAUSES.0, |p| p.pause);
    let pause = match stands {
        true => PAUSES.0,
        false => (before * 2).min(PAUSES.1),
    };
    let next = now + before;
    patience.insert(site, Patience { next, pause });
}

/// How many questions a link may ask.
#[derive(Debug)]
struct Pace {
    second: Instant,
    asked: u32,
}

impl Pace {
    fn new() -> Self {
        Self {
            second: Instant::now(),
            asked: 0,
        }
    }

    /// Another question came.
    fn asked(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.asked) = (now, 0);
        }
        self.asked += 1;
    }

    /// Until when no question is read; in the past when one may be.
    fn rests_until(&self) -> Instant {
        match self.asked < QUESTIONS_A_SECOND {
            true => self.second,
            false => self.second + Duration::from_secs(1),
        }
    }
}
