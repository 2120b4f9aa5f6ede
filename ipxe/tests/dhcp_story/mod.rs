//! A DHCP exchange as a text file: a request in annotated hex, what we know and decide, and the reply as one reads it.
#![allow(dead_code, reason = "each test program uses its part")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken story is a broken test"
)]

use std::{fmt::Write, fs, net::Ipv4Addr, path::PathBuf};

use ipxe::{
    BootOffer, Lease, LeaseAnswer,
    dhcp::{
        Arrival, DhcpMode, DhcpPort, Message, Options, Reply, Turn, boot_reply, lease_reply, turn,
    },
};

/// Our address in every story.
pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// One exchange.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) path: PathBuf,
    /// All before the reply.
    pub(crate) told: String,
    pub(crate) expected: String,
    pub(crate) mode: DhcpMode,
    pub(crate) port: DhcpPort,
    pub(crate) from: String,
    pub(crate) offer: BootOffer,
    pub(crate) lease: LeaseAnswer,
    pub(crate) request: Vec<u8>,
}

/// Every story of `tests/golden/dhcp`.
pub(crate) fn stories() -> Vec<Story> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/dhcp");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.into_iter().map(Story::read).collect()
}

impl Story {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let (told, expected) = text.split_once("\nreply:\n").unwrap();
        let (head, hex) = told.split_once("\nrequest:\n").unwrap();
        let field = |name: &str| {
            let line = head
                .lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("{}: no {name}", path.display()))
        };
        Self {
            mode: match field("mode") {
                "proxy" => DhcpMode::Proxy,
                "server" => DhcpMode::Server,
                other => panic!("mode {other}"),
            },
            port: match field("port") {
                "67" => DhcpPort::Dhcp,
                "4011" => DhcpPort::Pxe,
                other => panic!("port {other}"),
            },
            from: field("from").to_owned(),
            offer: offer(field("offer")),
            lease: lease(field("lease")),
            request: unhex(hex),
            expected: expected.to_owned(),
            told: told.to_owned(),
            path,
        }
    }

    pub(crate) fn arrival(&self) -> Arrival<'static> {
        Arrival {
            mode: self.mode,
            port: self.port,
            from: self.from.parse().unwrap(),
            address: US,
            ours: &[US],
            http_port: 4880,
            client_port: 68,
            relay_port: 67,
        }
    }

    /// What the story's reply section should read.
    pub(crate) fn play(&self) -> String {
        let at = self.arrival();
        let message = Message::request(&self.request).unwrap();
        let mut out = String::new();
        if let Some(client) = message.boot_client() {
            let ipxe = if client.ipxe { ", iPXE" } else { "" };
            writeln!(out, "  seen as {}{ipxe}", client.firmware.describe()).unwrap();
        }
        let turn = turn(&message, &at);
        if let Turn::Lease(ask) = &turn {
            let host = ask.hostname.as_deref().unwrap_or("-");
            writeln!(
                out,
                "  asks {:?}, subnet {}, host {host}",
                ask.verb, ask.subnet
            )
            .unwrap();
        }
        match answer(&message, &at, &turn, &self.offer, &self.lease) {
            None => out.push_str("  nothing\n"),
            Some(reply) => describe(&mut out, &reply),
        }
        out
    }
}

/// The reply to a message, from whichever function its turn calls for.
pub(crate) fn answer(
    message: &Message,
    at: &Arrival<'_>,
    turn: &Turn,
    offer: &BootOffer,
    lease: &LeaseAnswer,
) -> Option<Reply> {
    match turn {
        Turn::Ignore => None,
        Turn::Boot(kind) => boot_reply(message, at, *kind, offer),
        Turn::Lease(ask) => lease_reply(message, at, ask.verb, lease, offer),
    }
}

fn offer(text: &str) -> BootOffer {
    match text {
        "silent" => BootOffer::Silent,
        "script" => BootOffer::Script,
        other => BootOffer::Firmware(other.strip_prefix("firmware ").unwrap().to_owned()),
    }
}

fn lease(text: &str) -> LeaseAnswer {
    match text {
        "none" => LeaseAnswer::Silent,
        "refuse" => LeaseAnswer::Refuse,
        other => {
            let (ip, prefix) = other
                .strip_prefix("grant ")
                .unwrap()
                .split_once('/')
                .unwrap();
            LeaseAnswer::Grant(Lease {
                ip: ip.parse().unwrap(),
                prefix: prefix.parse().unwrap(),
                routers: vec![Ipv4Addr::new(10, 77, 0, 254)],
                dns: vec![Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 3)],
                domain: Some("lab.example".to_owned()),
                hostname: None,
                seconds: 43_200,
            })
        }
    }
}

/// `00*16` is sixteen zeros; what follows a `#` is for people.
fn unhex(text: &str) -> Vec<u8> {
    let words = text
        .lines()
        .flat_map(|l| l.split('#').next().unwrap().split_whitespace());
    let mut bytes = Vec::new();
    for word in words {
        let (octet, times) = word.split_once('*').unwrap_or((word, "1"));
        let octet = u8::from_str_radix(octet, 16).unwrap();
        bytes.extend(std::iter::repeat_n(octet, times.parse().unwrap()));
    }
    bytes
}

fn describe(out: &mut String, reply: &Reply) {
    let message = Message::reply(&reply.bytes).unwrap();
    let header = [
        format!(
            "to {}, {} bytes, {:?}",
            reply.to,
            reply.bytes.len(),
            message.kind
        ),
        format!(
            "xid {:08x}, flags {:04x}, chaddr {}",
            message.xid, message.flags, message.mac
        ),
        format!(
            "ciaddr {}, yiaddr {}, siaddr {}, giaddr {}",
            message.ciaddr, message.yiaddr, message.siaddr, message.giaddr
        ),
        format!("file {:?}", latin1(&message.file)),
    ];
    for line in header {
        writeln!(out, "  {line}").unwrap();
    }
    // In the order of the wire: what comes last matters.
    let mut area = &reply.bytes[240..];
    while let [code, len, rest @ ..] = area
        && *code != 255
    {
        let (value, rest) = rest.split_at(usize::from(*len));
        writeln!(out, "  {code} {}", option(*code, value)).unwrap();
        area = rest;
    }
    assert_eq!(area[0], 255, "END");
    assert!(area[1..].iter().all(|b| *b == 0), "padding");
}

fn option(code: u8, value: &[u8]) -> String {
    match code {
        1 | 3 | 6 | 54 => {
            let addresses = value.chunks_exact(4);
            let addresses = addresses.map(|a| Ipv4Addr::new(a[0], a[1], a[2], a[3]).to_string());
            addresses.collect::<Vec<_>>().join(" ")
        }
        51 | 58 | 59 => format!("{} s", u32::from_be_bytes(value.try_into().unwrap())),
        12 | 15 | 60 | 66 | 67 => format!("{:?}", latin1(value)),
        _ => value
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn latin1(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    bytes[..end].iter().copied().map(char::from).collect()
}

/// The options of a message as another implementation reads them; panics when it cannot.
pub(crate) fn read_by_dhcproto(bytes: &[u8]) -> dhcproto::v4::Message {
    use dhcproto::Decodable;
    let message = dhcproto::v4::Message::from_bytes(bytes).unwrap();
    let ours = Message::reply(bytes).unwrap();
    assert_eq!(
        message.opts().len(),
        options_of(&ours.options),
        "options that it understood"
    );
    message
}

fn options_of(options: &Options) -> usize {
    options.iter().count()
}
