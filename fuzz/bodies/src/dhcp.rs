//! DHCP: one datagram, in every mode, on every port, with every offer and lease answer.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipxe::{
    BootOffer, Lease, LeaseAnswer,
    dhcp::{
        Arrival, DhcpMode, DhcpPort, Message, Reply, Turn, boot_reply, code, lease_reply, turn,
    },
};

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The input is one datagram. Our reply to it must be one we would read, for the same station, with the relay's option
/// as it came.
pub fn fuzz_dhcp(data: &[u8]) {
    if let Ok(foreign) = Message::reply(data) {
        let _offer = foreign.as_foreign_offer();
    }
    let Ok(message) = Message::request(data) else {
        return;
    };
    let _host = message.host_name();
    for (mode, port) in [
        (DhcpMode::Proxy, DhcpPort::Dhcp),
        (DhcpMode::Server, DhcpPort::Dhcp),
        (DhcpMode::Server, DhcpPort::Pxe),
    ] {
        let at = Arrival {
            mode,
            port,
            from: SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 50), 4011),
            address: US,
            ours: &[US],
            http_port: 4880,
            client_port: 68,
            relay_port: 67,
        };
        for offer in [
            BootOffer::Silent,
            BootOffer::Script,
            BootOffer::Firmware("f".repeat(200)),
        ] {
            check(&message, answer(&message, &at, &offer));
        }
    }
}

fn answer(message: &Message, at: &Arrival<'_>, offer: &BootOffer) -> Vec<Reply> {
    match turn(message, at) {
        Turn::Ignore => Vec::new(),
        Turn::Boot(kind) => boot_reply(message, at, kind, offer).into_iter().collect(),
        Turn::Lease(ask) => [LeaseAnswer::Silent, LeaseAnswer::Refuse, grant()]
            .iter()
            .filter_map(|lease| lease_reply(message, at, ask.verb, lease, offer))
            .collect(),
    }
}

fn grant() -> LeaseAnswer {
    LeaseAnswer::Grant(Lease {
        ip: Ipv4Addr::new(10, 77, 0, 50),
        prefix: 33,
        routers: vec![US],
        dns: vec![US; 100],
        domain: Some("d".repeat(300)),
        hostname: Some(String::new()),
        seconds: u32::MAX,
    })
}

fn check(message: &Message, replies: Vec<Reply>) {
    for reply in replies {
        let back = Message::reply(&reply.bytes).expect("our own replies are well-formed");
        assert_eq!((back.mac, back.xid), (message.mac, message.xid));
        assert_eq!(
            back.options.raw(code::RELAY),
            message.options.raw(code::RELAY)
        );
    }
}
