//! Frames that come in, and how far each is believed.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{
    Frame, MAX_ADDRESSES, REFUTES, RENEWS, Refused, RowState, SiteRow, Wan, WanEvent, node_of, row,
};
use crate::{
    codec,
    identity::NodeId,
    membership::sift,
    message::link::{Entry, EntryState},
};

impl Wan {
    /// A frame came over the link with a site.
    ///
    /// # Errors
    /// When it is not taken. Nothing else needs to be done.
    pub fn handle_frame(&mut self, now: Instant, from: &str, bytes: &[u8]) -> Result<(), Refused> {
        let from = node_of(from);
        let peer = self.peers.get_mut(&from).ok_or(Refused::NotJoined)?;
        let link = peer.link.as_mut().ok_or(Refused::NotJoined)?;
        if !link.admits(now) {
            return Err(Refused::TooMany);
        }
        let news = self.news;
        let taken = match Frame::from_bytes(bytes)? {
            Frame::Gossip(packet) => self.gossip(now, from, &packet),
            Frame::Hello(row) => self.hello(now, from, &row),
            Frame::Rumour(row) => self.rumour(now, &row),
            Frame::Ask { session, revision } => {
                self.answer(now, from, session, revision);
                Ok(())
            }
            Frame::List {
                session,
                revision,
                rows,
            } => {
                self.read(now, from, (session, revision), &rows);
                Ok(())
            }
        };
        self.settle(now);
        let link = self.peers.get_mut(&from).and_then(|p| p.link.as_mut());
        if let Some(link) = link.filter(|_| self.news != news) {
            link.hurry(now);
        }
        taken
    }

    /// Gossip of a site about itself, and about sites that we do not reach ourselves.
    fn gossip(&mut self, now: Instant, from: NodeId, packet: &[u8]) -> Result<(), Refused> {
        let header = codec::header(packet).map_err(|_malformed| Refused::Malformed)?;
        if header.src.node != from {
            return Err(Refused::Forged);
        }
        let ours = self.members.identity().node;
        let sifted = sift(packet, |member| {
            let node = member.id().node;
            node != ours && self.is_hearsay(from, node)
        });
        let sifted = sifted.map_err(|_malformed| Refused::Malformed)?;
        let taken = self.members.handle_datagram(now, &sifted.kept);
        for entry in sifted.dropped.iter().map(Entry::from) {
            self.contradict(now, &entry);
        }
        taken.map_err(|_malformed| Refused::Malformed)
    }

    /// Whether this site's word counts about that one: about joined sites with which we have no link.
    fn is_hearsay(&self, teller: NodeId, node: NodeId) -> bool {
        let peer = self.peers.get(&node);
        peer.is_some_and(|p| p.link.is_none()) && teller != node
    }

    /// A site says who it is.
    fn hello(&mut self, now: Instant, from: NodeId, row: &SiteRow) -> Result<(), Refused> {
        if row.node() != from {
            return Err(Refused::Forged);
        }
        let is_new = self.members.entry(from).is_none_or(|known| {
            (known.generation, known.renewals) != (row.generation, row.renewals)
        });
        let given_up = self.members.entry(from);
        self.first_hand(now, from, row);
        if let Some(given_up) = given_up.filter(|known| known.state == EntryState::Down) {
            // We take its word; others may have given up this life as well, and told us so long ago.
            self.contradict(now, &given_up);
        }
        if is_new {
            // It may have begun again without our seeing the end of its last link.
            self.greet(from);
        }
        Ok(())
    }

    fn first_hand(&mut self, now: Instant, from: NodeId, row: &SiteRow) {
        if let Some(entry) = row.entry() {
            let alive = Entry {
                state: EntryState::Alive,
                ..entry
            };
            self.members.meet(now, &alive);
        }
        let own = dialled(&row.addresses);
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if !own.is_empty() && peer.own != own {
            peer.own.clone_from(&own);
            let site = Arc::clone(&peer.site);
            self.tell(WanEvent::Moved(site, own));
        }
    }

    /// Somebody says what others say of us.
    fn rumour(&mut self, now: Instant, row: &SiteRow) -> Result<(), Refused> {
        if row.node() != self.members.identity().node {
            return Err(Refused::Forged);
        }
        if let Some(entry) = row.entry() {
            self.contradict(now, &entry);
        }
        Ok(())
    }

    /// Sends what is new on our list, not too often.
    fn answer(&mut self, now: Instant, to: NodeId, session: u64, revision: u64) {
        let peer = self.peers.get_mut(&to);
        let Some((peer, link)) = peer.and_then(|p| Some((&p.site, p.link.as_mut()?))) else {
            return;
        };
        if !link.may_ask(now) {
            return;
        }
        let to = Arc::clone(peer);
        self.board.refresh(self.rows());
        if let Some((revision, rows)) = self.board.since(session, revision) {
            let list = Frame::List {
                session: self.board.session,
                revision,
                rows,
            };
            self.send(to, &list);
        }
    }

    /// Reads a peer's list.
    fn read(&mut self, now: Instant, from: NodeId, upto: (u64, u64), rows: &[SiteRow]) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if peer.read.0 != upto.0 {
            self.heard.forget_teller(from);
        }
        peer.read = upto;
        let mut hearsay = Vec::new();
        for row in rows {
            let node = row.node();
            if node == from {
                self.first_hand(now, from, row);
            } else if node != self.members.identity().node && !self.peers.contains_key(&node) {
                self.heard.put(now, from, row);
            } else if self.is_hearsay(from, node) {
                self.note_addresses(node, row);
                hearsay.extend(row.entry());
            } else if let Some(entry) = row.entry() {
                self.contradict(now, &entry);
            }
        }
        self.members.merge(now, &hearsay);
    }

    fn note_addresses(&mut self, node: NodeId, row: &SiteRow) {
        let told = dialled(&row.addresses);
        if row.state == RowState::Alive
            && !told.is_empty()
            && let Some(peer) = self.peers.get_mut(&node)
        {
            // Who tells may have it from before: the newest come first, and none is believed more than a dial.
            let before = peer.told.iter().filter(|at| !told.contains(at));
            let all = told.iter().chain(before).take(MAX_ADDRESSES);
            peer.told = all.copied().collect();
        }
    }

    /// Somebody doubts a life: ours, which we say, or that of a site that speaks to us, which is told. What comes too often
    /// waits, since a list says it once.
    fn contradict(&mut self, now: Instant, entry: &Entry) {
        if entry.state == EntryState::Alive {
            return;
        }
        if entry.node == self.members.identity().node {
            self.disputed = Some(entry.clone());
        } else if let Some(peer) = self.peers.get_mut(&entry.node) {
            peer.disputed = Some(entry.clone());
        }
        self.settle_disputes(now);
    }

    pub(super) fn settle_disputes(&mut self, now: Instant) {
        let wait = match self.disputed.as_ref().map(|doubt| doubt.state) {
            Some(EntryState::Down) => RENEWS,
            Some(EntryState::Suspect | EntryState::Alive) | None => REFUTES,
        };
        let rested = |at: Instant| now.saturating_duration_since(at) >= wait;
        if self.refuted.is_none_or(rested)
            && let Some(entry) = self.disputed.take()
            && self.members.merge(now, &[entry]).news > 0
        {
            self.refuted = Some(now);
        }
        let mut rumours = Vec::new();
        for (node, peer) in &mut self.peers {
            let Some(link) = peer.link.as_mut().filter(|_| peer.disputed.is_some()) else {
                continue;
            };
            if let Some(entry) = peer.disputed.take_if(|_| link.may_be_warned(now)) {
                let known = self.members.entry(*node);
                if known.is_some_and(|known| is_about(&entry, &known)) {
                    rumours.push((Arc::clone(&peer.site), entry));
                }
            }
        }
        for (to, entry) in rumours {
            let rumour = Frame::Rumour(SiteRow::of(&to, &entry, &[]));
            self.send(to, &rumour);
        }
    }
}

/// Whether a doubt is about the life that a site has, and not one that it has answered already.
fn is_about(doubt: &Entry, known: &Entry) -> bool {
    (known.generation, known.renewals) == (doubt.generation, doubt.renewals)
        && (doubt.state == EntryState::Down || known.incarnation <= doubt.incarnation)
}

fn dialled(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let can = addresses.iter().filter(|at| row::can_be_dialled(at));
    can.copied().collect()
}
