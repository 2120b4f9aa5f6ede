//! One node, ours or stock, behind the same verbs; ours may be sealed.

use std::{net::SocketAddr, time::Instant};

use mesh_proto::{
    codec::Datagram,
    identity::{Identity, NodeId, Role},
    membership::{Event, Membership},
    seal::{GossipKey, Seal, SessionId, SiteTag},
};

use crate::stock::StockNode;

/// What a node notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Up(Identity),
    Down(Identity),
    /// It was declared down, and came back.
    Renewed(Identity),
}

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    /// Ours, with every datagram in its envelope.
    Sealed,
    /// foca alone: no filter, no swap, no verdicts.
    Stock,
}

pub(crate) enum Node {
    Ours(Box<Membership>, Option<Box<Seal>>),
    Stock(Box<StockNode>),
}

/// Real ids are random numbers of 64 bits; small ones would make every packet shorter.
const LARGE: u64 = 0x5a5a_5a5a_0000_0000;

pub(crate) fn node_id(index: usize) -> NodeId {
    NodeId(LARGE | index as u64)
}

/// Which node this is.
pub(crate) fn number(node: NodeId) -> usize {
    (node.0 & !LARGE) as usize
}

pub(crate) fn identity(index: usize, generation: u32) -> Identity {
    let addr = ([10, 0, (index >> 8) as u8, index as u8], 4849).into();
    let role = if index == 0 {
        Role::Controller
    } else {
        Role::Agent
    };
    Identity::new(node_id(index), generation, addr, role)
}

/// The node that listens there.
pub(crate) fn index(addr: SocketAddr) -> usize {
    match addr.ip() {
        std::net::IpAddr::V4(ip) => usize::from(ip.octets()[2]) << 8 | usize::from(ip.octets()[3]),
        std::net::IpAddr::V6(_) => unreachable!("nodes have IPv4 addresses here"),
    }
}

impl Node {
    pub(crate) fn new(kind: Kind, now: Instant, index: usize, seed: [u8; 32]) -> Self {
        let id = identity(index, 1);
        match kind {
            Kind::Stock => Self::Stock(Box::new(StockNode::new(id, seed))),
            Kind::Ours => Self::Ours(Box::new(Membership::new(now, id, seed)), None),
            Kind::Sealed => {
                let session = SessionId(*seed.first_chunk().unwrap());
                let mut seal = Seal::new(SiteTag::of("sim"), id.node, session);
                seal.ring.install(now, 1, &GossipKey::new([1; 32])).unwrap();
                seal.ring.use_epoch(now, 1).unwrap();
                Self::Ours(
                    Box::new(Membership::new(now, id, seed)),
                    Some(Box::new(seal)),
                )
            }
        }
    }

    /// The membership, to which links speak.
    pub(crate) fn ours(&mut self) -> Option<&mut Membership> {
        match self {
            Self::Ours(membership, _) => Some(membership),
            Self::Stock(_) => None,
        }
    }

    pub(crate) fn join(&mut self, now: Instant) {
        let seed = identity(0, 1);
        match self {
            Self::Ours(membership, _) => membership.join(now, &[seed]),
            Self::Stock(stock) => stock.join(now, seed),
        }
    }

    pub(crate) fn datagram(&mut self, now: Instant, bytes: &[u8]) {
        match self {
            Self::Stock(stock) => stock.datagram(now, bytes),
            Self::Ours(membership, None) => membership.handle_datagram(now, bytes).unwrap(),
            Self::Ours(membership, Some(seal)) => match seal.open(now, bytes).unwrap().datagram {
                Datagram::Foca(packet) => membership.handle_datagram(now, &packet).unwrap(),
                Datagram::Knock => {}
            },
        }
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        match self {
            Self::Ours(membership, _) => membership.handle_timeout(now),
            Self::Stock(stock) => stock.timeout(now),
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        match self {
            Self::Ours(membership, _) => membership.poll_timeout(),
            Self::Stock(stock) => stock.next(),
        }
    }

    pub(crate) fn transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        match self {
            Self::Stock(stock) => stock.transmit(),
            Self::Ours(membership, None) => membership.poll_transmit(),
            Self::Ours(membership, Some(seal)) => {
                let (to, packet) = membership.poll_transmit()?;
                Some((to, seal.seal(&Datagram::Foca(packet)).unwrap()))
            }
        }
    }

    pub(crate) fn change(&mut self) -> Option<Change> {
        match self {
            Self::Stock(stock) => stock.change(),
            Self::Ours(membership, _) => loop {
                match membership.poll_event()? {
                    Event::Up(id) => return Some(Change::Up(id)),
                    Event::Down(id) => return Some(Change::Down(id)),
                    Event::RenewedOurselves(id) => return Some(Change::Renewed(id)),
                    Event::Lagged | Event::Expelled => panic!("nobody is slow or expelled here"),
                    Event::Renewed { .. } | Event::Facts(_) | Event::Joined | Event::Alone => {}
                }
            },
        }
    }

    pub(crate) fn active(&self) -> Box<dyn Iterator<Item = &Identity> + '_> {
        match self {
            Self::Ours(membership, _) => Box::new(membership.active_members()),
            Self::Stock(stock) => Box::new(stock.active()),
        }
    }

    /// As after a long quiet time: it knows all of these.
    pub(crate) fn preset(&mut self, now: Instant, all: &[Identity]) {
        match self {
            Self::Stock(stock) => stock.preset(now, all),
            Self::Ours(membership, _) => {
                let members = all.iter().map(|id| (&foca::Member::alive(*id)).into());
                membership.merge(now, &members.collect::<Vec<_>>());
            }
        }
    }
}
