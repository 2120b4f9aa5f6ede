//! What foca wants done while one of its functions runs, kept until it has returned.

use std::time::Duration;

use foca::{Message, Notification, OwnedNotification, Timer};

use crate::{codec, identity::Identity};

/// A packet, and what has to be known about it before it may go.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) to: Identity,
    pub(super) bytes: Vec<u8>,
    /// It tells the receiver that it is down.
    pub(super) turn_undead: bool,
}

#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) packets: Vec<Packet>,
    pub(super) timers: Vec<(Duration, Timer<Identity>)>,
    pub(super) notifications: Vec<OwnedNotification<Identity>>,
    /// Our own incarnation, as our last packet named it: foca does not tell otherwise.
    pub(super) incarnation: u16,
}

impl foca::Runtime<Identity> for &mut Effects {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.notifications.push(notification.to_owned());
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        let Ok(header) = codec::header(data) else {
            return; // cannot be: our own codec wrote it
        };
        self.incarnation = header.src_incarnation;
        self.packets.push(Packet {
            to,
            bytes: data.to_vec(),
            turn_undead: header.message == Message::TurnUndead,
        });
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((after, event));
    }
}
