//! Whatever arrives: no panic, and no reply that others could not read or that outgrows its receiver.

mod dhcp_story;

use std::net::Ipv4Addr;

use dhcp_story::{Story, US, answer, stories};
use ipxe::{
    BootOffer, Lease, LeaseAnswer,
    dhcp::{Arrival, DhcpMode, DhcpPort, Message, Reply, code, turn},
};
use proptest::{collection::vec, prelude::*, sample::Index};

/// Every mode, port, offer and lease answer for one datagram.
fn all_replies(bytes: &[u8]) -> Vec<(Message, Reply)> {
    let _reply = Message::reply(bytes).map(|m| m.as_foreign_offer());
    let Ok(message) = Message::request(bytes) else {
        return Vec::new();
    };
    let mut replies = Vec::new();
    for (mode, port) in [
        (DhcpMode::Proxy, DhcpPort::Dhcp),
        (DhcpMode::Server, DhcpPort::Dhcp),
        (DhcpMode::Proxy, DhcpPort::Pxe),
    ] {
        let at = arrival(mode, port);
        let turn = turn(&message, &at);
        for offer in [
            BootOffer::Silent,
            BootOffer::Script,
            BootOffer::Firmware("x".repeat(300)),
        ] {
            for lease in [LeaseAnswer::Refuse, grant()] {
                let reply = answer(&message, &at, &turn, &offer, &lease);
                replies.extend(reply.map(|r| (message.clone(), r)));
            }
        }
    }
    replies
}

fn arrival(mode: DhcpMode, port: DhcpPort) -> Arrival<'static> {
    Arrival {
        mode,
        port,
        from: "10.77.0.101:4011".parse().expect("a literal"),
        address: US,
        ours: &[US],
        http_port: 4880,
        client_port: 68,
        relay_port: 67,
    }
}

/// A lease with more to tell than fits into 548 bytes.
fn grant() -> LeaseAnswer {
    LeaseAnswer::Grant(Lease {
        ip: Ipv4Addr::new(10, 77, 0, 50),
        prefix: 24,
        routers: vec![US; 20],
        dns: vec![US; 70],
        domain: Some("d".repeat(200)),
        hostname: Some("h".repeat(60)),
        seconds: u32::MAX,
    })
}

fn check(message: &Message, reply: &Reply) -> Result<(), TestCaseError> {
    let back = Message::reply(&reply.bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!((back.xid, back.mac), (message.xid, message.mac));
    prop_assert_eq!(back.server_id(), Some(US));
    let relay = message.options.raw(code::RELAY);
    prop_assert_eq!(back.options.raw(code::RELAY), relay);
    let takes = message.options.number16(code::MAX_SIZE).unwrap_or(0);
    let relayed = relay.map_or(0, |r| r.len() + 2 * r.len().div_ceil(255).max(1));
    let most = usize::from(takes.clamp(576, 1500)) - 28;
    prop_assert!(
        reply.bytes.len() - relayed <= most,
        "{} > {most}",
        reply.bytes.len()
    );
    if relay.is_none() {
        let theirs = <dhcproto::v4::Message as dhcproto::Decodable>::from_bytes(&reply.bytes);
        prop_assert!(theirs.is_ok(), "{:?}", theirs);
        prop_assert_eq!(
            theirs.map(|m| m.opts().len()).ok(),
            Some(back.options.iter().count())
        );
    }
    Ok(())
}

fn mutated(story: &Story, changes: &[(Index, u8)], cut: Option<Index>) -> Vec<u8> {
    let mut bytes = story.request.clone();
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..700)) {
        for (message, reply) in all_replies(&bytes) {
            check(&message, &reply)?;
        }
    }

    #[test]
    fn any_options_behind_a_good_header_are_survived(
        options in vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..12),
        kind in 1..9_u8,
        story in any::<Index>(),
    ) {
        let stories = stories();
        let mut bytes = story.get(&stories).request[..240].to_vec();
        bytes.extend([53, 1, kind]);
        for (code, value) in options {
            bytes.extend([code, u8::try_from(value.len()).unwrap_or(0)]);
            bytes.extend(value);
        }
        for (message, reply) in all_replies(&bytes) {
            check(&message, &reply)?;
        }
    }

    #[test]
    fn real_requests_with_damage_are_survived(
        story in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 0..8),
        cut in proptest::option::weighted(0.2, any::<Index>()),
    ) {
        let stories = stories();
        let bytes = mutated(story.get(&stories), &changes, cut);
        for (message, reply) in all_replies(&bytes) {
            check(&message, &reply)?;
        }
    }
}

#[test]
fn an_option_82_of_any_length_leaves_room_for_the_answer() {
    let discover = stories()
        .into_iter()
        .find(|s| s.path.ends_with("server-ovmf-pxe-discover.txt"))
        .expect("the story is there");
    for pieces in 0..6 {
        let mut bytes = discover.request.clone();
        bytes.pop();
        for _ in 0..pieces {
            bytes.extend([82, 255]);
            bytes.extend([7; 255]);
        }
        let replies = all_replies(&bytes);
        assert!(!replies.is_empty());
        for (message, reply) in replies {
            check(&message, &reply).expect("a good reply");
        }
    }
}

#[test]
fn a_reply_leaves_out_what_a_small_client_cannot_take_and_keeps_what_it_boots_by() {
    let intel = stories()
        .into_iter()
        .find(|s| s.path.ends_with("server-relayed-discover.txt"))
        .expect("the story is there");
    let mut small = intel.request;
    let at = small
        .windows(4)
        .position(|w| w == [57, 2, 4, 0xec])
        .expect("option 57");
    small[at + 2..at + 4].copy_from_slice(&[0, 0]);
    let replies = all_replies(&small);
    assert!(!replies.is_empty());
    for (message, reply) in replies {
        let relayed = message
            .options
            .raw(code::RELAY)
            .expect("it is relayed")
            .len()
            + 2;
        assert!(reply.bytes.len() - relayed <= 548, "{}", reply.bytes.len());
        let back = Message::reply(&reply.bytes).expect("our own");
        assert_eq!(
            back.options.raw(code::RELAY),
            message.options.raw(code::RELAY),
            "option 82"
        );
    }
}
