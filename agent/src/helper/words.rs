//! The boot sockets' types as a helper's words on its link, and back.

use ipxe::{BootOffer, PxeClient};
use ipxe_net::{BootNote, NonceAsk, NonceReceived, ScriptAsk, TftpEnd};
use mesh_proto::message::boot::{Client, NonceQuestion, Note, Offer, Received, ScriptQuestion};
use std::net::SocketAddr;

/// A DHCP client.
pub(super) fn client(client: &PxeClient) -> Client {
    Client {
        mac: client.mac.to_string(),
        uuid: client
            .uuid
            .map(|uuid| format!("{:032x}", u128::from_be_bytes(uuid))),
        firmware: client.firmware.describe(),
        ipxe: client.ipxe,
    }
}

/// What the controller offers.
pub(super) fn offer(offer: Offer) -> BootOffer {
    match offer {
        Offer::Silent => BootOffer::Silent,
        Offer::Firmware { name } => BootOffer::Firmware(name),
        Offer::Script => BootOffer::Script,
    }
}

fn told(offer: BootOffer) -> Offer {
    match offer {
        BootOffer::Silent => Offer::Silent,
        BootOffer::Firmware(name) => Offer::Firmware { name },
        BootOffer::Script => Offer::Script,
    }
}

/// A question for a script.
pub(super) fn script(ask: ScriptAsk, controller: SocketAddr) -> ScriptQuestion {
    ScriptQuestion {
        mac: ask.mac.to_string(),
        uuid: ask.uuid,
        serial: ask.serial,
        arch: ask.arch,
        platform: ask.platform,
        session: ask.session,
        after_management: ask.after_management,
        from: ask.from,
        at: ask.at,
        controller,
    }
}

/// A question for an activation's file.
pub(super) fn nonce(ask: NonceAsk) -> NonceQuestion {
    NonceQuestion {
        nonce: ask.nonce,
        name: ask.name,
        session: ask.session,
        peek: ask.peek,
        from: ask.from,
        at: ask.at,
    }
}

/// Evidence.
pub(super) fn received(file: NonceReceived) -> Received {
    Received {
        nonce: file.nonce,
        name: file.name,
        session: file.session,
        start: file.bytes.start,
        end: file.bytes.end,
        size: file.size,
    }
}

/// What happened on a socket, where the controller wants to know it.
pub(super) fn note(note: BootNote) -> Option<Note> {
    Some(match note {
        BootNote::Asked { client: who, offer } => Note::Asked {
            client: client(&who),
            told: told(offer),
        },
        BootNote::AddressRequested { mac, ip } => Note::AddressRequested {
            mac: mac.to_string(),
            ip,
        },
        BootNote::ForeignServer { server, boots, .. } => Note::ForeignServer { server, boots },
        BootNote::Tftp {
            from,
            name,
            end: TftpEnd::Complete,
            ..
        } => Note::Loaded { from, name },
        BootNote::Http { from, path, status } => Note::Http { from, path, status },
        BootNote::Tftp { .. } | BootNote::Dropped(_) => return None,
    })
}
