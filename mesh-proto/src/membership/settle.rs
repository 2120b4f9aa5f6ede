//! Taking over what foca asked for: packets that may go, timers, and what it noticed.

use std::time::Instant;

use foca::OwnedNotification;

use super::{
    Membership,
    effects::Packet,
    event::Event,
    settings::{MAX_EVENTS, MAX_TRANSMITS},
    view::Standing,
};
use crate::identity::Identity;

impl Membership {
    /// Takes over what foca asked for in its last function.
    pub(super) fn settle(&mut self, now: Instant) {
        for (after, timer) in std::mem::take(&mut self.effects.timers) {
            self.set_timer(now, now + after, timer);
        }
        let notifications = std::mem::take(&mut self.effects.notifications);
        for notification in &notifications {
            self.handle_notification(now, notification);
        }
        while let Some(note) = self.board.next_news() {
            if note.node != self.identity().node {
                self.tell(Event::Facts(note));
            }
        }
        let packets = std::mem::take(&mut self.effects.packets);
        for packet in packets {
            self.send(packet);
        }
    }

    /// foca tells a member that it is down also when it refuted the suspicion in time, and the member then renews itself
    /// for nothing. Whom we hold active is not told.
    fn send(&mut self, packet: Packet) {
        if packet.to.node == self.identity().node {
            // Asked to probe an earlier identity of ours, by somebody who has not heard of this one.
        } else if packet.turn_undead && self.holds_active(&packet.to) {
            self.counters.undead_withheld += 1;
        } else if self.outbox.len() >= MAX_TRANSMITS {
            self.counters.transmits_lost += 1;
        } else {
            self.outbox.push_back((packet.to, packet.bytes));
        }
    }

    fn holds_active(&self, identity: &Identity) -> bool {
        self.foca
            .iter_members()
            .any(|member| member.id() == identity)
    }

    fn handle_notification(&mut self, now: Instant, what: &OwnedNotification<Identity>) {
        match *what {
            OwnedNotification::MemberUp(member) => {
                self.standing.insert(member.node, Standing::since(now));
                self.tell(Event::Up(member));
            }
            OwnedNotification::MemberDown(member) => {
                self.standing.insert(member.node, Standing::since(now));
                self.tell(Event::Down(member));
            }
            OwnedNotification::Rename(before, after) => {
                if let Some(standing) = self.standing.get_mut(&after.node) {
                    standing.identity_since = now;
                }
                self.tell(Event::Renewed { before, after });
            }
            OwnedNotification::Active => self.tell(Event::Joined),
            OwnedNotification::Idle => {
                self.ask_seeds_soon(now);
                self.tell(Event::Alone);
            }
            OwnedNotification::Defunct => {
                if !self.left {
                    self.tell(Event::Expelled);
                }
            }
            OwnedNotification::Rejoin(identity) => {
                self.counters.renewals += 1;
                self.tell(Event::RenewedOurselves(identity));
                self.ask_seeds_soon(now);
            }
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
            return;
        }
        self.counters.events_lost += 1;
        if self.events.back() != Some(&Event::Lagged) {
            self.events.push_back(Event::Lagged);
        }
    }

    pub(super) fn note_fault(&mut self, result: &Result<(), foca::Error>) {
        self.counters.faults += u64::from(result.is_err());
    }
}
