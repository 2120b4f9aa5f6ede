//! One site on a list.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{identity_of, node_of};
use crate::{
    identity::{Identity, NodeId},
    message::link::{Entry, EntryState},
};

/// Addresses of one site: what an invitation may name.
pub const MAX_ADDRESSES: usize = 8;
/// Longest name of a site: one label of a host name.
const MAX_NAME: usize = 63;

/// What is said of a site. The order of the variants is part of the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowState {
    /// It answers who tells.
    Alive,
    /// It did not answer somebody.
    Suspect,
    /// It is gone.
    Down,
    /// Who tells does not know it any more.
    Forgotten,
}

/// A site as another tells of it. The order of the fields is part of the wire format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Its name.
    pub site: String,
    /// Which start of its controller.
    pub generation: u32,
    /// How often it renewed itself since.
    pub renewals: u16,
    /// SWIM's counter inside that.
    pub incarnation: u16,
    /// What is thought of it.
    pub state: RowState,
    /// Where it listens for links, as it said itself.
    pub addresses: Vec<SocketAddr>,
}

/// Whether a text can be a site's name: one lower-case label of a host name.
#[must_use]
pub fn is_site_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

impl SiteRow {
    pub(super) fn of(site: &str, known: &Entry, addresses: &[SocketAddr]) -> Self {
        Self {
            site: site.to_owned(),
            generation: known.generation,
            renewals: known.renewals,
            incarnation: known.incarnation,
            state: match known.state {
                EntryState::Alive => RowState::Alive,
                EntryState::Suspect => RowState::Suspect,
                EntryState::Down => RowState::Down,
            },
            addresses: addresses.to_vec(),
        }
    }

    /// Whether it is a row that a site of ours may have written.
    pub(super) fn is_sane(&self) -> bool {
        is_site_name(&self.site) && self.addresses.len() <= MAX_ADDRESSES
    }

    pub(super) fn node(&self) -> NodeId {
        node_of(&self.site)
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            renewals: self.renewals,
            ..identity_of(&self.site, self.generation)
        }
    }

    /// The row as the gossip knows it; `None` when it is about nothing that may be gossiped.
    pub(super) fn entry(&self) -> Option<Entry> {
        let id = self.identity();
        let state = match self.state {
            RowState::Alive => EntryState::Alive,
            RowState::Suspect => EntryState::Suspect,
            RowState::Down => EntryState::Down,
            RowState::Forgotten => return None,
        };
        Some(Entry {
            node: id.node,
            generation: id.generation,
            renewals: id.renewals,
            addr: id.addr,
            role: id.role,
            incarnation: self.incarnation,
            state,
        })
    }
}

/// Whether an address that a stranger names can be dialled at all: one host's, and not this one's own.
pub(super) fn can_be_dialled(at: &SocketAddr) -> bool {
    let ip = at.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    at.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
