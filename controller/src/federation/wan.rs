//! The mesh of sites, driven: frames of links go in, frames for links come out, and what it notices becomes words for people and
//! addresses for the next dial. What is believed is decided in [`mesh_proto::wan`].

use std::{
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use jiff::SignedDuration;
use mesh_net::{LinkEnd, PeerLink};
use mesh_proto::wan::{HeardSite, Presence, Wan, WanEvent};
use tokio::{sync::Notify, task::JoinSet};
use tracing::{debug, info, warn};

use super::{Federation, Inner, lock};
use crate::{
    metrics::{Counter, PeerCounter},
    state::{
        Timestamp,
        event::Draft,
        ops::MovePeer,
        peer::{Peer, SiteName},
    },
};

/// Addresses beside those that the people of both sites know, in one dial. The others are tried when these are the newest.
const LEARNT: usize = 4;
/// The mesh always has a time when it wants to be called; this is for the compiler.
const IDLE: Duration = Duration::from_secs(60);

/// The mesh, and what wakes its timer.
pub(super) struct WanDesk {
    wan: Mutex<Wan>,
    /// Whom the mesh was told to be joined.
    joined: Mutex<Vec<SiteName>>,
    changed: Notify,
}

impl WanDesk {
    pub(super) fn new(site: &SiteName, generation: u32, addresses: &[SocketAddr]) -> Self {
        let (now, seed) = (Instant::now(), rand::random());
        Self {
            wan: Wan::new(now, site.as_str(), generation, addresses, seed).into(),
            joined: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

/// Whether a site is there, as people are shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is.
    pub presence: Presence,
    /// Since when.
    pub since: Timestamp,
    /// How long a packet takes there and back over the newest link.
    pub rtt: Option<Duration>,
}

impl Federation {
    /// Keeps the mesh of sites until we stop.
    pub async fn run_wan(self) {
        let mut changed = self.0.store.subscribe();
        loop {
            self.0.wan_joined();
            let due = lock(&self.0.wan.wan).poll_timeout();
            let due = due.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep_until(due.into()) => self.0.wan(Wan::handle_timeout),
                () = self.0.wan.changed.notified() => {}
                Ok(()) = changed.changed() => {}
            }
        }
    }

    /// Reads the frames of a link until it ends.
    pub(super) async fn hear(&self, site: &SiteName, link: &PeerLink) -> LinkEnd {
        let mut reading = JoinSet::new();
        loop {
            tokio::select! {
                accepted = link.accept_frame() => match accepted {
                    Ok(frame) => { reading.spawn(frame.read()); }
                    Err(end) => return end,
                },
                Some(read) = reading.join_next() => {
                    let frame = read.ok().flatten();
                    self.0.frame(site, frame.as_deref());
                }
            }
        }
    }

    /// Whether a joined site is there.
    #[must_use]
    pub fn seen(&self, site: &SiteName) -> Option<Seen> {
        let rtt = lock(&self.0.links).with(site).last().map(PeerLink::rtt);
        let sites = lock(&self.0.wan.wan).sites();
        let seen = sites.into_iter().find(|s| *s.site == *site.as_str())?;
        Some(Seen {
            presence: seen.presence,
            since: self.0.at(seen.since),
            rtt,
        })
    }

    /// Sites that peers list and that are not joined here, each with since when it is listed so.
    #[must_use]
    pub fn heard(&self) -> Vec<(HeardSite, Timestamp)> {
        let heard = lock(&self.0.wan.wan).heard();
        // A revoked one is known here, and listed as that.
        let view = self.0.store.view();
        let strangers = heard.into_iter().filter(|h| {
            let site = h.site.parse::<SiteName>();
            site.is_ok_and(|site| view.peer(&site).is_none())
        });
        strangers.map(|h| (h.clone(), self.0.at(h.since))).collect()
    }

    /// Links that stand, by site.
    #[must_use]
    pub fn standing(&self) -> Vec<(SiteName, u64)> {
        let view = self.0.store.view();
        let joined = view.peers().filter(|p| p.is_joined());
        joined
            .map(|p| (p.site.clone(), self.links_with(&p.site) as u64))
            .collect()
    }

    /// Where a peer is dialled: as people were told, then as the mesh has learnt.
    pub(super) fn dialled_at(&self, peer: &Peer) -> Vec<SocketAddr> {
        let learnt = lock(&self.0.wan.wan).addresses(peer.site.as_str());
        let new = learnt.into_iter().filter(|at| !peer.addresses.contains(at));
        let known = peer.addresses.iter().copied();
        known.chain(new.take(LEARNT)).collect()
    }
}

impl Inner {
    /// A link with a site stands; told after the list of links has it.
    pub(super) fn link_began(&self, site: &SiteName) {
        // It may be one that the mesh has not heard of yet.
        self.wan_joined();
        self.wan(|wan, now| wan.link_up(now, site.as_str()));
    }

    /// A link with a site ended, as the list of links knows.
    pub(super) fn link_ended(&self, site: &SiteName) {
        let stands = lock(&self.links).with(site).next().is_some();
        if !stands {
            self.wan(|wan, now| wan.link_down(now, site.as_str()));
        }
    }

    /// The sites that are joined now.
    fn wan_joined(&self) {
        let view = self.store.view();
        let joined = view.peers().filter(|p| p.is_joined());
        let joined: Vec<SiteName> = joined.map(|p| p.site.clone()).collect();
        // Commits come by the thousand, and say so seldom.
        let mut told = lock(&self.wan.joined);
        if *told != joined {
            told.clone_from(&joined);
            self.wan(|wan, now| wan.set_joined(now, joined.iter().map(SiteName::as_str)));
        }
    }

    fn frame(&self, site: &SiteName, frame: Option<&[u8]>) {
        let Some(frame) = frame else {
            return self
                .metrics
                .count(Counter::Peer(PeerCounter::Frames), "unreadable");
        };
        // The mesh hears of a revocation a moment later than the store.
        if !self.is_joined(site) {
            return self
                .metrics
                .count(Counter::Peer(PeerCounter::Frames), "not-joined");
        }
        let taken = self.wan(|wan, now| wan.handle_frame(now, site.as_str(), frame));
        let fate = match taken {
            Ok(()) => "taken",
            Err(refused) => {
                debug!(%site, "a frame of a peer is not taken: {refused}");
                refused.label()
            }
        };
        self.metrics.count(Counter::Peer(PeerCounter::Frames), fate);
        let bytes = frame.len() as u64;
        self.metrics
            .add(Counter::Peer(PeerCounter::Bytes), "gossip-in", bytes);
    }

    /// Does something with the mesh, then what it wants done. Never waits: a frame that its link does not take is lost.
    fn wan<T>(&self, with: impl FnOnce(&mut Wan, Instant) -> T) -> T {
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        let done = {
            let mut wan = lock(&self.wan.wan);
            let before = wan.poll_timeout();
            let done = with(&mut wan, Instant::now());
            frames.extend(std::iter::from_fn(|| wan.poll_transmit()));
            events.extend(std::iter::from_fn(|| wan.poll_event()));
            if wan.poll_timeout() != before {
                self.wan.changed.notify_one();
            }
            done
        };
        for (site, frame) in frames {
            self.send_frame(&site, &frame);
        }
        events.into_iter().for_each(|event| self.noticed(event));
        done
    }

    fn send_frame(&self, site: &str, frame: &[u8]) {
        let Ok(site) = site.parse::<SiteName>() else {
            return;
        };
        let link = lock(&self.links).with(&site).last().cloned();
        if link.is_some_and(|link| link.send_frame(frame)) {
            let bytes = frame.len() as u64;
            self.metrics
                .add(Counter::Peer(PeerCounter::Bytes), "gossip-out", bytes);
        } else {
            self.metrics
                .count(Counter::Peer(PeerCounter::Frames), "not-sent");
        }
    }

    fn noticed(&self, event: WanEvent) {
        match event {
            WanEvent::Presence(site, presence) => self.tell_presence(&site, presence),
            WanEvent::Moved(site, addresses) => self.learn(&site, addresses),
        }
    }

    fn tell_presence(&self, site: &str, presence: Presence) {
        let text = match presence {
            Presence::Unknown => return,
            Presence::Alive => format!("{site} is alive: a link with it stands"),
            Presence::Unreachable => format!("{site} is not reached from here"),
            Presence::Down => format!("{site} is down: none of its peers reaches it"),
        };
        info!(
            site,
            presence = presence.word(),
            "how another site is reached has changed"
        );
        let draft = Draft::new("peer.presence", text).field("site", site);
        self.store.note(draft.field("presence", presence.word()));
    }

    /// A site said itself, over its own link, where it listens.
    fn learn(&self, site: &str, addresses: Vec<SocketAddr>) {
        let Ok(site) = site.parse::<SiteName>() else {
            return;
        };
        let store = self.store.clone();
        self.work.spawn(
            async move {
                if let Err(error) = store.apply(MovePeer { site, addresses }).await {
                    warn!(%error, "where a peer listens could not be written down");
                }
            }
            .boxed(),
        );
    }

    /// A moment of the monotonic clock, as people read it.
    fn at(&self, moment: Instant) -> Timestamp {
        let ago = SignedDuration::try_from(moment.elapsed()).unwrap_or_default();
        self.store.now() - ago
    }
}
