//! A few nodes on a network without loss or delay.

use std::time::{Duration, Instant};

use mesh_proto::{
    identity::{Identity, NodeId, Role},
    membership::{Event, MemberState, Membership},
};

#[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn identity(node: u64) -> Identity {
    let role = if node == 0 {
        Role::Controller
    } else {
        Role::Agent
    };
    let addr = ([10, 0, (node >> 8) as u8, node as u8], 4849).into();
    Identity::new(NodeId(node), 1, addr, role)
}

/// Nodes 0.. of which 0 is the others' seed.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Membership>,
    pub(crate) cut: Vec<bool>,
    /// Their packets are lost; they hear the others.
    pub(crate) mute: Vec<bool>,
}

impl Net {
    pub(crate) fn new(count: u64) -> Self {
        let now = start();
        let node = |id: u64| Membership::new(now, identity(id), [id as u8 + 1; 32]);
        let mut net = Self {
            now,
            nodes: (0..count).map(node).collect(),
            cut: vec![false; count as usize],
            mute: vec![false; count as usize],
        };
        for node in &mut net.nodes {
            node.join(now, &[identity(0)]);
        }
        net.deliver();
        net
    }

    pub(crate) fn deliver(&mut self) {
        while let Some((from, to, packet)) = self.next_packet() {
            if let Some(at) = self.nodes.iter().position(|n| n.identity().addr == to)
                && !self.cut[from]
                && !self.mute[from]
                && !self.cut[at]
            {
                self.nodes[at]
                    .handle_datagram(self.now, &packet)
                    .expect("our own packet");
            }
        }
    }

    fn next_packet(&mut self) -> Option<(usize, std::net::SocketAddr, Vec<u8>)> {
        let sent = |(from, node): (usize, &mut Membership)| {
            node.poll_transmit().map(|(to, packet)| (from, to, packet))
        };
        self.nodes.iter_mut().enumerate().find_map(sent)
    }

    /// Lets time pass; nodes that are cut off go on alone.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.nodes.iter().filter_map(Membership::poll_timeout).min();
            self.now = next.map_or(end, |at| at.max(self.now).min(end));
            for node in &mut self.nodes {
                node.handle_timeout(self.now);
            }
            self.deliver();
            if self.now == end {
                return;
            }
        }
    }

    pub(crate) fn state(&self, of: u64, at: usize) -> Option<MemberState> {
        let members = self.nodes[at].members(self.now);
        let found = members.iter().find(|m| m.identity.node == NodeId(of));
        found.map(|m| m.state)
    }

    pub(crate) fn events(&mut self, at: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.nodes[at].poll_event()).collect()
    }
}
