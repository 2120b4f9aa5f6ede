//! DHCP among real peers, in network namespaces: beside a dnsmasq on the same host, and behind a relay.
//!
//! The program enters a namespace of its own, makes more below it, and is itself the server (`examples/dhcpd.rs`) and
//! the PXE client in them. Needs dnsmasq, busybox's udhcpc, isc-dhcp-relay, iproute2 and util-linux, and root or user
//! namespaces; without them it fails and says so.
#![expect(clippy::panic, reason = "a story that goes wrong is a failed test")]

mod lab;
mod probe;

#[path = "../../examples/dhcpd.rs"]
mod dhcpd;

use std::{env, process::ExitCode};

use lab::{Namespace, Running, inside_own_namespace, need};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("proxy" | "server") => return dhcpd::main().unwrap_or(ExitCode::FAILURE),
        Some("probe" | "solicit") => return probe::main(),
        _ => {}
    }
    need(&[
        "ip", "nstat", "dnsmasq", "busybox", "dhcrelay", "nsenter", "unshare",
    ]);
    if let Some(code) = inside_own_namespace() {
        return code;
    }
    let stories: [(&str, fn()); 7] = [
        (
            "a router solicitation is told that there is none",
            no_router,
        ),
        ("a taken port is said with its cure", taken_port),
        ("a dnsmasq that was first keeps its clients", || {
            beside_dnsmasq(true);
        }),
        ("a dnsmasq that starts later gets its clients", || {
            beside_dnsmasq(false);
        }),
        (
            "a broadcast answer is a frame, unless this host itself asked",
            broadcast,
        ),
        (
            "another server is noticed and our host's own client undisturbed",
            foreign_server,
        ),
        (
            "a relay's clients get addresses, option 82 and boot files",
            relayed,
        ),
    ];
    for (claim, story) in stories {
        story();
        println!("ok: {claim}");
    }
    ExitCode::SUCCESS
}

/// A segment with a server's namespace (10.99.0.1) and a client's, which has no address yet.
fn segment() -> (Namespace, Namespace) {
    let (host, client) = (Namespace::new(), Namespace::new());
    host.veth("lan0", &client, "c0");
    host.address("lan0", "10.99.0.1/24");
    (host, client)
}

fn dnsmasq(at: &Namespace, interface: &str) -> Running {
    let mut args = vec![
        "dnsmasq",
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
    ];
    let interface = format!("--interface={interface}");
    args.extend([
        interface.as_str(),
        "--dhcp-range=10.99.0.50,10.99.0.99,10m",
        "--pid-file=",
    ]);
    args.extend(["--dhcp-leasefile=/dev/null", "--log-dhcp"]);
    let running = at.run(&args);
    running.expect("DHCP, IP range");
    running
}

/// Both answer: dnsmasq with addresses, also by unicast, we with boot files.
fn beside_dnsmasq(dnsmasq_first: bool) {
    let (host, client) = segment();
    let early = dnsmasq_first.then(|| dnsmasq(&host, "lan0"));
    let ours = host.run_self(&["proxy", "4880"]);
    ours.expect("ready");
    let theirs = early.unwrap_or_else(|| dnsmasq(&host, "lan0"));

    let os = client.udhcpc("c0");
    os.expect("bound 10.99.0.");
    theirs.forget();
    os.signal("USR1");
    // Unicast: a broadcast would only follow minutes later.
    os.expect("renew 10.99.0.");
    theirs.expect("DHCPREQUEST(lan0) 10.99.0.");

    let rom = client.run_self(&["probe", "c0"]);
    rom.expect_all(&[
        "Offer from 10.99.0.1 yiaddr 0.0.0.0 siaddr 10.99.0.1 file ipxe.efi",
        "Offer from 10.99.0.1 yiaddr 10.99.0.",
    ]);
    ours.expect("Asked");
}

/// A server cannot share its host with another one.
fn taken_port() {
    let (host, _client) = segment();
    let _theirs = dnsmasq(&host, "lan0");
    let ours = host.run_self(&["server", "4880"]);
    ours.expect("UDP port 67 is taken by another DHCP or PXE server on this host; stop it, or");
}

/// iPXE of 2019 waits for this answer; a host that routes IPv6 must not give it.
fn no_router() {
    let (host, client) = segment();
    let ours = host.run_self(&["server", "4880"]);
    ours.expect("ready");
    let rom = client.run_self(&["solicit", "c0"]);
    rom.expect("advertisement hops 0 flags 0 lifetime 0 len 16");
}

/// What leaves as a frame is not counted among what our host's IP sent. A program of our host hears no frames of ours.
fn broadcast() {
    const OFFER: &str = "Offer from 10.99.0.1 yiaddr 0.0.0.0 siaddr 10.99.0.1 file ipxe.efi";
    let (host, client) = segment();
    let ours = host.run_self(&["proxy", "4880"]);
    ours.expect("ready");
    client.run_self(&["probe", "c0"]).expect(OFFER);
    let counted = host.run(&["nstat", "-asz", "IpExtInBcastPkts", "IpExtOutBcastPkts"]);
    counted.expect_all(&[
        "IpExtInBcastPkts                1",
        "IpExtOutBcastPkts               0",
    ]);
    host.run_self(&["probe", "lan0"]).expect(OFFER);
}

/// A dnsmasq on another host of the segment, a client of it, and a DHCP client on our own host.
fn foreign_server() {
    let (host, other, client) = (Namespace::new(), Namespace::new(), Namespace::new());
    host.bridge("br0", &[("p0", &other, "d0"), ("p1", &client, "c0")]);
    host.address("br0", "10.99.0.1/24");
    other.address("d0", "10.99.0.2/24");
    let _theirs = dnsmasq(&other, "d0");
    let ours = host.run_self(&["proxy", "4880"]);
    ours.expect("ready");
    let os = client.udhcpc("c0");
    os.expect("bound 10.99.0.");
    ours.expect_all(&[
        "AddressRequested",
        "ForeignServer { server: 10.99.0.2, boots: false, client: Some(",
    ]);

    let own = host.udhcpc("br0");
    own.expect("bound 10.99.0.");
    own.signal("USR1");
    own.expect("renew 10.99.0.");
}

/// The server, a relay with two legs, and a client behind it.
fn relayed() {
    let (server, relay, client) = (Namespace::new(), Namespace::new(), Namespace::new());
    server.veth("up0", &relay, "r0");
    relay.veth("r1", &client, "c0");
    server.address("up0", "10.99.0.1/24");
    relay.address("r0", "10.99.0.2/24");
    relay.address("r1", "192.168.7.1/24");
    server.ip(&["route", "add", "192.168.7.0/24", "via", "10.99.0.2"]);
    let ours = server.run_self(&["server", "4880", "up0", "192.168.7.50/24"]);
    ours.expect("ready");
    // -a adds option 82; -D drops replies whose option 82 is not the relay's own.
    let agent = relay.run(&[
        "dhcrelay",
        "-4",
        "-d",
        "--no-pid",
        "-a",
        "-D",
        "-id",
        "r1",
        "-iu",
        "r0",
        "10.99.0.1",
    ]);
    agent.expect("Sending on   Socket/fallback");

    let os = client.udhcpc("c0");
    os.expect("bound 192.168.7.50");
    client.ip(&["route", "add", "default", "via", "192.168.7.1"]);
    relay.forward();
    os.signal("USR1");
    os.expect("renew 192.168.7.50");

    let rom = client.run_self(&["probe", "c0"]);
    rom.expect("Offer from 10.99.0.1 yiaddr 192.168.7.51 siaddr 10.99.0.1 file ipxe.efi");
}
