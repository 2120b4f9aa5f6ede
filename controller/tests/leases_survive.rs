//! Leases and reservations survive kill -9: the real program as DHCP server in a network of its own, a client with many
//! MACs, and a power cut after the last acknowledgement.
//!
//! Its own main: it runs itself again in fresh namespaces, as root there.

mod room;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use ipxe::{MacAddr, dhcp::Message};
use room::{ENFORCER, Running, Told, is_root, tell};
use socket2::{Domain, Socket, Type};

/// Between two tries of one question.
const REPEAT: Duration = Duration::from_millis(700);
/// A question that has no answer by then will not have one, on a host however busy.
const PATIENCE: Duration = Duration::from_secs(30);
const CONFIG: &str = "tftp = false\ninterfaces = [\"v0\"]\n[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.9.0.0/24\"\npool = \"10.9.0.50-10.9.0.99\"\n";
/// Both ends of the cable are in one network here, so the far end must take packets from an address of this host.
const SETUP: &str = "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.0.1/24 dev v0; \
    ip link set v0 up; ip link set v1 up; \
    for c in all v0 v1; do echo 0 > /proc/sys/net/ipv4/conf/$c/rp_filter; echo 1 > /proc/sys/net/ipv4/conf/$c/accept_local; done";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("inside") {
        story();
        return ExitCode::SUCCESS;
    }
    let me = std::env::current_exe().expect("a running program has a path");
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.arg("-r");
    }
    let ended = unshare.args(["-n", "-m"]).arg(me).arg("inside").status();
    match ended {
        Ok(status) if status.success() => {
            println!("ok: leases and reservations survive kill -9");
            ExitCode::SUCCESS
        }
        told => {
            eprintln!(
                "leases and reservations do not survive kill -9, or this host gives no namespaces: {told:?}"
            );
            ExitCode::FAILURE
        }
    }
}

fn story() {
    let up = Command::new("sh").args(["-ec", SETUP]).status();
    assert!(up.is_ok_and(|s| s.success()), "needs iproute2");
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let state = folder.path();
    std::fs::write(state.join("c.toml"), CONFIG).expect("our own folder");
    let running = serve(state);
    let client = Client::new().expect("root may listen to port 68");
    let mut leased = BTreeMap::new();
    for n in 1..=20 {
        leased.insert(mac(n), client.lease(mac(n)));
    }
    assert_eq!(
        leased
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        20,
        "no address twice: {leased:?}"
    );
    let reserved = Ipv4Addr::new(10, 9, 0, 7);
    let kept = ask(
        state,
        &[
            "reservations",
            "set",
            &mac(99).to_string(),
            "10.9.0.7",
            "--hostname",
            "kept",
        ],
    );
    assert_eq!(kept.code, Some(0), "{kept:?}");
    // The last one before the power goes: its ACK is the promise.
    leased.insert(mac(21), client.lease(mac(21)));
    let before = lists(state);
    running.kill();

    let running = serve(state);
    assert_eq!(lists(state), before, "what was listed is listed");
    for (mac, ip) in &leased {
        let answer = client.confirm(*mac, *ip);
        assert_eq!(
            answer,
            Some((ACK, *ip)),
            "{mac} asks again for {ip} after its reboot"
        );
    }
    for n in 30..=58 {
        let ip = client.lease(mac(n));
        assert!(
            !leased.values().any(|l| *l == ip) && ip != reserved,
            "{ip} is somebody's"
        );
        leased.insert(mac(n), ip);
    }
    // All fifty of the pool are lent: nobody gets what others hold, and asking for it is refused.
    assert_eq!(leased.len(), 50);
    let (owner, theirs) = (mac(1), leased[&mac(1)]);
    assert_eq!(
        client.confirm(mac(77), theirs).map(|a| a.0),
        Some(NAK),
        "{theirs} is {owner}'s"
    );
    assert_eq!(client.lease(mac(99)), reserved);
    running.kill();
    let _running = serve(state);
    assert_eq!(client.confirm(mac(99), reserved), Some((ACK, reserved)));
    assert_eq!(
        client.lease(mac(21)),
        leased[&mac(21)],
        "who discovers anew gets the address it had"
    );
}

fn serve(state: &Path) -> Running {
    let mut serve = Command::new(ENFORCER);
    serve
        .arg("--api-socket")
        .arg(state.join("sock"))
        .arg("serve");
    serve
        .arg("--config")
        .arg(state.join("c.toml"))
        .arg("--state")
        .arg(state.join("s"));
    Running::start(serve)
}

fn ask(state: &Path, args: &[&str]) -> Told {
    let mut ask = Command::new(ENFORCER);
    ask.arg("--api-socket").arg(state.join("sock")).args(args);
    tell(ask)
}

/// Leases and reservations as the API has them.
fn lists(state: &Path) -> [String; 2] {
    ["leases", "reservations"].map(|noun| {
        let told = ask(state, &[noun, "list", "-o", "json"]);
        assert_eq!(told.code, Some(0), "{told:?}");
        told.stdout
    })
}

fn mac(n: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 7, n])
}

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// DHCP clients behind one interface; they take their answers by broadcast.
struct Client {
    socket: UdpSocket,
}

impl Client {
    fn new() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.set_broadcast(true)?;
        socket.bind_device(Some(b"v1"))?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into())?;
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(REPEAT))?;
        Ok(Self { socket })
    }

    /// DISCOVER, then REQUEST of what was offered; the acknowledged address.
    fn lease(&self, mac: MacAddr) -> Ipv4Addr {
        let (kind, ip) = self.exchange(mac, &[53, 1, 1]).expect("an offer");
        assert_eq!(kind, OFFER);
        let [a, b, c, d] = ip.octets();
        let select = [53, 1, 3, 50, 4, a, b, c, d, 54, 4, 10, 9, 0, 1];
        let (kind, got) = self.exchange(mac, &select).expect("an acknowledgement");
        assert_eq!((kind, got), (ACK, ip));
        ip
    }

    /// INIT-REBOOT (RFC 2131 §4.3.2): the address it had, asked for without naming a server.
    fn confirm(&self, mac: MacAddr, ip: Ipv4Addr) -> Option<(u8, Ipv4Addr)> {
        let [a, b, c, d] = ip.octets();
        self.exchange(mac, &[53, 1, 3, 50, 4, a, b, c, d])
    }

    /// Asks until there is an answer: message type and address.
    fn exchange(&self, mac: MacAddr, options: &[u8]) -> Option<(u8, Ipv4Addr)> {
        let asked = Instant::now();
        let mut buffer = [0; 2048];
        while asked.elapsed() < PATIENCE {
            self.socket
                .send_to(&message(mac, options), "255.255.255.255:67")
                .expect("the cable is up");
            while let Ok((len, _)) = self.socket.recv_from(&mut buffer) {
                match Message::reply(&buffer[..len]) {
                    // An answer to an earlier repetition carries another transaction.
                    Ok(reply) if reply.mac == mac && reply.xid == xid(mac, options) => {
                        return Some((reply.options.byte(53)?, reply.yiaddr));
                    }
                    _ => {}
                }
            }
        }
        None
    }
}

/// A transaction's number: each question of each station has its own.
fn xid(mac: MacAddr, options: &[u8]) -> u32 {
    let sum = options.iter().fold(u32::from(options[2]), |sum, b| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*b))
    });
    sum << 8 | u32::from(mac.0[5])
}

fn message(mac: MacAddr, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&xid(mac, options).to_be_bytes());
    bytes[10] = 0x80;
    bytes[28..34].copy_from_slice(&mac.0);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend(options);
    bytes.push(255);
    bytes
}
