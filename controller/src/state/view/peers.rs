//! The part of the view about other sites.

use std::sync::Arc;

use ipxe::MacAddr;

use super::{
    View,
    rows::{Index, Rows, UNRANKED, Under},
};
use crate::state::{
    Key, Record,
    peer::{Invitation, NamedMacs, Outgoing, Peer, SiteName},
    trust::token::TokenId,
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PeersView {
    peers: Rows,
    invitations: Rows,
    named: Rows,
    /// What sites named a MAC.
    named_by_mac: Index,
    outgoing: Rows,
}

impl View {
    /// All peers, revoked ones too, by name.
    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.peers.all()
    }

    /// A peer by name.
    #[must_use]
    pub fn peer(&self, site: &SiteName) -> Option<&Arc<Peer>> {
        self.peers.peers.get(&Key::Peer(site.clone()))
    }

    /// All invitations that are kept.
    pub fn invitations(&self) -> impl Iterator<Item = &Arc<Invitation>> {
        self.peers.invitations.all()
    }

    /// An invitation by name.
    #[must_use]
    pub fn invitation(&self, id: &TokenId) -> Option<&Arc<Invitation>> {
        self.peers.invitations.get(&Key::Invitation(id.clone()))
    }

    /// The MACs that a peer has named.
    #[must_use]
    pub fn named_by(&self, site: &SiteName) -> Option<&Arc<NamedMacs>> {
        self.peers.named.get(&Key::NamedMacs(site.clone()))
    }

    /// The joined peers that have named this MAC, by name.
    pub fn peers_naming(&self, mac: MacAddr) -> impl Iterator<Item = &Arc<Peer>> {
        let named = self.peers.named_by_mac.list(Under::Mac(mac));
        let peers = named.filter_map(|key| match key {
            Key::NamedMacs(site) => self.peer(site),
            _ => None,
        });
        peers.filter(|peer| peer.is_joined())
    }

    /// What peers have still to be told.
    pub fn outgoing(&self) -> impl Iterator<Item = &Arc<Outgoing>> {
        self.peers.outgoing.all()
    }
}

impl PeersView {
    pub(super) fn put(&mut self, peer: Record) {
        self.peers.put(peer);
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.peers.remove(key);
    }

    pub(super) fn put_invitation(&mut self, invitation: Record) {
        self.invitations.put(invitation);
    }

    pub(super) fn forget_invitation(&mut self, key: &Key) {
        self.invitations.remove(key);
    }

    pub(super) fn insert_named(&mut self, named: Arc<NamedMacs>) {
        let key = Key::NamedMacs(named.site.clone());
        for mac in &named.macs {
            let of = Under::Mac(*mac);
            self.named_by_mac.insert(of, UNRANKED, key.clone());
        }
        self.named.put(Record::NamedMacs(named));
    }

    pub(super) fn forget_named(&mut self, key: &Key) {
        let Some(Record::NamedMacs(old)) = self.named.remove(key) else {
            return;
        };
        for mac in &old.macs {
            let of = Under::Mac(*mac);
            self.named_by_mac.remove(of, UNRANKED, key.clone());
        }
    }

    pub(super) fn put_outgoing(&mut self, told: Record) {
        self.outgoing.put(told);
    }

    pub(super) fn forget_outgoing(&mut self, key: &Key) {
        self.outgoing.remove(key);
    }
}
