//! The part of the view about other sites.

use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};
use ipxe::MacAddr;

use super::View;
use crate::state::{
    activation::Nonce,
    peer::{Invitation, NamedMacs, Outgoing, Peer, SiteName},
    trust::token::TokenId,
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PeersView {
    peers: OrdMap<SiteName, Arc<Peer>>,
    invitations: OrdMap<TokenId, Arc<Invitation>>,
    named: OrdMap<SiteName, Arc<NamedMacs>>,
    sites_by_mac: HashMap<MacAddr, OrdSet<SiteName>>,
    outgoing: OrdMap<Nonce, Arc<Outgoing>>,
}

impl View {
    /// All peers, revoked ones too, by name.
    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.peers.values()
    }

    /// A peer by name.
    #[must_use]
    pub fn peer(&self, site: &SiteName) -> Option<&Arc<Peer>> {
        self.peers.peers.get(site)
    }

    /// All invitations that are kept.
    pub fn invitations(&self) -> impl Iterator<Item = &Arc<Invitation>> {
        self.peers.invitations.values()
    }

    /// An invitation by name.
    #[must_use]
    pub fn invitation(&self, id: &TokenId) -> Option<&Arc<Invitation>> {
        self.peers.invitations.get(id)
    }

    /// The MACs that a peer has named.
    #[must_use]
    pub fn named_by(&self, site: &SiteName) -> Option<&Arc<NamedMacs>> {
        self.peers.named.get(site)
    }

    /// The joined peers that have named this MAC, by name.
    pub fn peers_naming(&self, mac: MacAddr) -> impl Iterator<Item = &Arc<Peer>> {
        let sites = self.peers.sites_by_mac.get(&mac).into_iter().flatten();
        sites
            .filter_map(|site| self.peers.peers.get(site))
            .filter(|peer| peer.is_joined())
    }

    /// What peers have still to be told.
    pub fn outgoing(&self) -> impl Iterator<Item = &Arc<Outgoing>> {
        self.peers.outgoing.values()
    }
}

impl PeersView {
    pub(super) fn insert(&mut self, peer: Arc<Peer>) {
        self.peers.insert(peer.site.clone(), peer);
    }

    pub(super) fn forget(&mut self, site: &SiteName) {
        self.peers.remove(site);
    }

    pub(super) fn insert_invitation(&mut self, invitation: Arc<Invitation>) {
        self.invitations.insert(invitation.id.clone(), invitation);
    }

    pub(super) fn forget_invitation(&mut self, id: &TokenId) {
        self.invitations.remove(id);
    }

    pub(super) fn insert_named(&mut self, named: Arc<NamedMacs>) {
        for mac in &named.macs {
            let sites = self.sites_by_mac.entry(*mac).or_default();
            sites.insert(named.site.clone());
        }
        self.named.insert(named.site.clone(), named);
    }

    pub(super) fn forget_named(&mut self, site: &SiteName) {
        let Some(old) = self.named.remove(site) else {
            return;
        };
        for mac in &old.macs {
            if let Some(sites) = self.sites_by_mac.get_mut(mac) {
                sites.remove(site);
                if sites.is_empty() {
                    self.sites_by_mac.remove(mac);
                }
            }
        }
    }

    pub(super) fn insert_outgoing(&mut self, told: Arc<Outgoing>) {
        self.outgoing.insert(told.nonce.clone(), told);
    }

    pub(super) fn forget_outgoing(&mut self, nonce: &Nonce) {
        self.outgoing.remove(nonce);
    }
}
