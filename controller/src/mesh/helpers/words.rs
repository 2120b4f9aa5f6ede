//! A helper's words as the boot sockets' own types, and back. What a machine said stays a stranger's text.

use ipxe::{BootOffer, Firmware, MacAddr, PxeClient};
use ipxe_net::{BootNote, NonceAsk, NonceReceived, ScriptAsk, TftpEnd};
use mesh_proto::message::{
    Refusal, RefusalCode,
    boot::{Client, NonceQuestion, Note, Offer, Received, ScriptQuestion},
};

/// Longest path that is kept of a request, characters: as the boot server cuts its own.
const MAX_PATH: usize = 120;

fn wrong(what: &str) -> Refusal {
    Refusal::new(RefusalCode::Protocol, format!("that is no {what}"))
}

fn mac(text: &str) -> Result<MacAddr, Refusal> {
    let mac = text.parse::<MacAddr>().ok();
    mac.filter(|mac| mac.is_station())
        .ok_or_else(|| wrong("hardware address"))
}

fn uuid(digits: &str) -> Option<[u8; 16]> {
    let bits = u128::from_str_radix(digits, 16).ok();
    bits.filter(|_| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(u128::to_be_bytes)
}

/// A DHCP client.
pub(super) fn client(asked: &Client) -> Result<PxeClient, Refusal> {
    let firmware = Firmware::from_words(&asked.firmware).ok_or_else(|| wrong("firmware"))?;
    let uuid = match &asked.uuid {
        Some(digits) => Some(uuid(digits).ok_or_else(|| wrong("uuid"))?),
        None => None,
    };
    Ok(PxeClient {
        mac: mac(&asked.mac)?,
        uuid,
        firmware,
        ipxe: asked.ipxe,
    })
}

/// An offer, for the helper.
pub(super) fn offer(offer: BootOffer) -> Offer {
    match offer {
        BootOffer::Silent => Offer::Silent,
        BootOffer::Firmware(name) => Offer::Firmware { name },
        BootOffer::Script => Offer::Script,
    }
}

fn told(offer: Offer) -> BootOffer {
    match offer {
        Offer::Silent => BootOffer::Silent,
        Offer::Firmware { name } => BootOffer::Firmware(name),
        Offer::Script => BootOffer::Script,
    }
}

/// A question for a script.
pub(super) fn script_ask(question: ScriptQuestion) -> Result<ScriptAsk, Refusal> {
    Ok(ScriptAsk {
        mac: mac(&question.mac)?,
        uuid: question.uuid,
        serial: question.serial,
        arch: question.arch,
        platform: question.platform,
        session: question.session,
        after_management: question.after_management,
        from: question.from,
        at: question.at,
    })
}

/// A question for an activation's file.
pub(super) fn nonce_ask(question: NonceQuestion) -> NonceAsk {
    NonceAsk {
        nonce: question.nonce,
        name: question.name,
        session: question.session,
        peek: question.peek,
        from: question.from,
        at: question.at,
    }
}

/// Evidence.
pub(super) fn received(file: Received) -> NonceReceived {
    NonceReceived {
        nonce: file.nonce,
        name: file.name,
        session: file.session,
        bytes: file.start..file.end,
        size: file.size,
    }
}

/// What happened on a socket.
pub(super) fn note(note: Note) -> Result<BootNote, Refusal> {
    Ok(match note {
        Note::Asked {
            client: asked,
            told: offer,
        } => BootNote::Asked {
            client: client(&asked)?,
            offer: told(offer),
        },
        Note::AddressRequested { mac: who, ip } => BootNote::AddressRequested {
            mac: mac(&who)?,
            ip,
        },
        Note::ForeignServer { server, boots } => BootNote::ForeignServer {
            server,
            boots,
            client: None,
        },
        Note::Loaded { from, name } => BootNote::Tftp {
            from,
            name: name.chars().take(MAX_PATH).collect(),
            bytes: 0,
            end: TftpEnd::Complete,
        },
        Note::Http { from, path, status } => BootNote::Http {
            from,
            path: path.chars().take(MAX_PATH).collect(),
            status,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_station_no_firmware_or_no_uuid_is_refused() {
        let good = Client {
            mac: "52:54:00:00:00:01".into(),
            uuid: Some("000102030405060708090a0b0c0d0e0f".into()),
            firmware: "uefi-pxe x64".into(),
            ipxe: false,
        };
        let read = client(&good).unwrap();
        assert_eq!(read.uuid.map(|u| u[15]), Some(15));
        let wrong = |change: fn(&mut Client)| {
            let mut bad = good.clone();
            change(&mut bad);
            client(&bad).unwrap_err().code
        };
        for change in [
            |c: &mut Client| c.mac = "ff:ff:ff:ff:ff:ff".into(),
            |c: &mut Client| c.mac = "web1".into(),
            |c: &mut Client| c.firmware = "toaster".into(),
            |c: &mut Client| c.uuid = Some(format!("+{}", "0".repeat(31))),
            |c: &mut Client| c.uuid = Some("00".into()),
        ] {
            assert_eq!(wrong(change), RefusalCode::Protocol);
        }
    }
}
