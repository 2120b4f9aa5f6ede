//! The bound on the list of members. foca has none: whoever holds the group key could fill our memory with names.

use std::{borrow::Cow, collections::HashSet};

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message};

use super::{Membership, event::Refused, settings::MAX_MEMBERS};
use crate::{
    codec::{self, MAX_PACKET},
    identity::{Identity, NodeId},
};

/// More updates than fit into one packet: the smallest takes 17 bytes.
const MOST_UPDATES: usize = MAX_PACKET / 17;

impl Membership {
    pub(super) fn room(&self) -> usize {
        MAX_MEMBERS.saturating_sub(self.foca.iter_membership_state().len())
    }

    pub(super) fn known_nodes(&self) -> HashSet<NodeId> {
        let members = self.foca.iter_membership_state();
        let others = members.map(|member| member.id().node);
        others.chain([self.identity().node]).collect()
    }

    /// The packet as it may go to foca: while there is room, as it is; then without what it says about strangers.
    pub(super) fn admit<'a>(&mut self, packet: &'a [u8]) -> Result<Cow<'a, [u8]>, Refused> {
        if packet.len() > MAX_PACKET {
            return Err(Refused::TooLong);
        }
        if self.room() > MOST_UPDATES {
            return Ok(Cow::Borrowed(packet));
        }
        let known = self.known_nodes();
        let speaker = codec::header(packet).map_err(|_malformed| Refused::Malformed)?;
        if !known.contains(&speaker.src.node) {
            return Err(Refused::Full);
        }
        let sifted = sift(packet, |member| known.contains(&member.id().node))?;
        self.counters.strangers += sifted.dropped.len() as u64;
        Ok(sifted.kept)
    }
}

/// A packet from which some updates were taken.
pub(crate) struct Sifted<'a> {
    /// The packet without them.
    pub(crate) kept: Cow<'a, [u8]>,
    /// They.
    pub(crate) dropped: Vec<Member<Identity>>,
}

/// Takes the updates out of a packet that are not to be kept.
pub(crate) fn sift(
    packet: &[u8],
    keep: impl Fn(&Member<Identity>) -> bool,
) -> Result<Sifted<'_>, Refused> {
    let mut rest = packet;
    let header: Header<Identity> =
        codec::next(&mut rest).map_err(|_malformed| Refused::Malformed)?;
    let lists_updates = header.message != Message::Broadcast && rest.len() >= 2;
    if !lists_updates {
        return Ok(Sifted {
            kept: Cow::Borrowed(packet),
            dropped: Vec::new(),
        });
    }
    let (head, mut updates, mut dropped) = (packet.len() - rest.len(), Vec::new(), Vec::new());
    let (count, mut taken) = (rest.get_u16(), 0);
    for _ in 0..count {
        let before = rest;
        let member: Member<Identity> =
            codec::next(&mut rest).map_err(|_malformed| Refused::Malformed)?;
        if keep(&member) {
            updates.put_slice(&before[..before.len() - rest.len()]);
            taken += 1;
        } else {
            dropped.push(member);
        }
    }
    let mut kept = Vec::with_capacity(packet.len());
    kept.put_slice(&packet[..head]);
    kept.put_u16(taken);
    kept.put_slice(&updates);
    kept.put_slice(rest);
    let kept = Cow::Owned(kept);
    Ok(Sifted { kept, dropped })
}
