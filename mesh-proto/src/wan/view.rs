//! What people are shown, and where a site may be dialled.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{HeardSite, MAX_ADDRESSES, Peer, SiteRow, Wan, WanEvent, node_of};
use crate::message::link::EntryState;

/// Whether a joined site is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Nobody has heard of it since this program started.
    Unknown,
    /// Our link with it stands.
    Alive,
    /// We have no link with it; it lives as far as others, or we, can tell.
    Unreachable,
    /// Nobody has a link with it.
    Down,
}

impl Presence {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Alive => "alive",
            Self::Unreachable => "unreachable",
            Self::Down => "down",
        }
    }
}

/// A joined site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteView {
    /// Its name.
    pub site: Arc<str>,
    /// Whether it is there.
    pub presence: Presence,
    /// Since when it is so.
    pub since: Instant,
}

impl Peer {
    /// As it says itself; and as others say, which counts more while we do not hear it.
    fn listens_at(&self) -> Vec<SocketAddr> {
        let (first, then) = match self.link {
            Some(_) => (&self.own, &self.told),
            None => (&self.told, &self.own),
        };
        let new = then.iter().filter(|at| !first.contains(at));
        let all = first.iter().chain(new).take(MAX_ADDRESSES);
        all.copied().collect()
    }
}

impl Wan {
    /// The joined sites, in no order that means anything.
    #[must_use]
    pub fn sites(&self) -> Vec<SiteView> {
        let view = |peer: &Peer| SiteView {
            site: Arc::clone(&peer.site),
            presence: peer.presence,
            since: peer.since,
        };
        self.peers.values().map(view).collect()
    }

    /// Sites that peers list and that are not joined here, by name.
    #[must_use]
    pub fn heard(&self) -> Vec<HeardSite> {
        let name = |node| self.peers.get(&node).map(|p| p.site.to_string());
        self.heard.all(name)
    }

    /// How many joined sites live as far as the gossip can tell, whether we have a link with them or not.
    #[must_use]
    pub fn living(&self) -> usize {
        self.members.active()
    }

    /// Where a joined site may be dialled, besides what people were told.
    #[must_use]
    pub fn addresses(&self, site: &str) -> Vec<SocketAddr> {
        let Some(peer) = self.peers.get(&node_of(site)) else {
            return Vec::new();
        };
        peer.listens_at()
    }

    pub(super) fn note_presence(&mut self, now: Instant) {
        let mut changed = Vec::new();
        for (node, peer) in &mut self.peers {
            let known = self.members.entry(*node).map(|entry| entry.state);
            let presence = match (&peer.link, known) {
                (Some(_), _) => Presence::Alive,
                (None, None) if peer.presence == Presence::Unknown => Presence::Unknown,
                (None, None | Some(EntryState::Down)) => Presence::Down,
                (None, Some(EntryState::Alive | EntryState::Suspect)) => Presence::Unreachable,
            };
            if presence != peer.presence {
                (peer.presence, peer.since) = (presence, now);
                changed.push(WanEvent::Presence(Arc::clone(&peer.site), presence));
            }
        }
        changed.into_iter().for_each(|event| self.tell(event));
    }

    /// What we know first-hand, for our peers' eyes: ourselves, and the sites joined here.
    pub(super) fn rows(&self) -> Vec<SiteRow> {
        let known = self.peers.iter().filter_map(|(node, peer)| {
            let mut entry = self.members.entry(*node)?;
            if peer.link.is_some() {
                entry.state = EntryState::Alive;
            }
            Some(SiteRow::of(&peer.site, &entry, &peer.listens_at()))
        });
        known.chain([self.own_row()]).collect()
    }
}
