//! A peer listens at other addresses than it did.

use std::net::SocketAddr;

use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    peer::{MAX_ADDRESSES, Peer, SiteName},
};

/// A peer said itself, over its own link, where it listens. What it may is another matter, and stays.
#[derive(Debug, Clone)]
pub struct MovePeer {
    /// Which.
    pub site: SiteName,
    /// Where it listens now.
    pub addresses: Vec<SocketAddr>,
}

impl Transition for MovePeer {
    /// Whether that was new.
    type Outcome = bool;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let known = view.peer(&self.site).filter(|p| p.is_joined());
        let bounded = (1..=MAX_ADDRESSES).contains(&self.addresses.len());
        let is_new = |p: &Peer| self.addresses.iter().any(|at| !p.addresses.contains(at));
        let moved = known.filter(|p| bounded && is_new(p));
        if let Some(peer) = moved {
            // What a person wrote into the invitation may be the only way through a translator of addresses.
            let before = peer
                .addresses
                .iter()
                .filter(|at| !self.addresses.contains(at));
            let all = self.addresses.iter().chain(before).take(MAX_ADDRESSES);
            let to: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
            let text = format!("{} listens at {} now", self.site, to.join(", "));
            let draft = Draft::new("peer.moved", text).field("site", self.site.as_str());
            changes.event(draft);
            changes.write(Peer {
                addresses: all.copied().collect(),
                ..Peer::clone(peer)
            });
        }
        (changes, moved.is_some())
    }
}
