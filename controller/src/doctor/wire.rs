//! Who gives addresses on the segments that are served: asked as a station that is new there.

use std::{io, thread, time::Duration};

use ipxe::MacAddr;
use ipxe_net::dhcp::{FoundServer, own_addresses, probe, served};

use super::{Findings, Grade};
use crate::config::{Config, DhcpRole};

/// How long answers are waited for: servers that look whether an address is free first take a second and more.
const PATIENCE: Duration = Duration::from_secs(4);

pub(super) fn look(config: &Config, running: bool, found: &mut Findings) {
    // What answers from this host while we run as the server is ourselves; else it is another program.
    let serving = running && config.dhcp == DhcpRole::Server;
    let ours = if serving { own_addresses() } else { Vec::new() };
    let only = (!config.interfaces.is_empty()).then_some(config.interfaces.as_slice());
    let segments = served(only).into_iter().filter(|s| s.up);
    let asked: Vec<_> = segments
        .map(|segment| {
            let name = segment.name.clone();
            (segment.name, thread::spawn(move || ask(&name)))
        })
        .collect();
    for (name, asked) in asked {
        match asked.join() {
            Ok(Ok(mut servers)) => {
                servers.retain(|server| !ours.contains(&server.address));
                judge(config.dhcp, &name, &servers, found);
            }
            Ok(Err(error)) => {
                let cure = match error.kind() {
                    io::ErrorKind::PermissionDenied => "run this as root, or give it CAP_NET_RAW",
                    _ => "look whether the interface has a cable",
                };
                let text = format!("{name} was not asked for DHCP servers: {error}");
                found.add(Grade::Note, "dhcp-unseen", text, cure);
            }
            Err(_) => found.add(
                Grade::Note,
                "dhcp-unseen",
                format!("{name} was not asked"),
                "try again",
            ),
        }
    }
}

fn ask(name: &str) -> io::Result<Vec<FoundServer>> {
    let mut mac: [u8; 6] = rand::random();
    // Nobody's: locally administered, no group (IEEE 802).
    mac[0] = 0x02;
    probe(name, rand::random(), MacAddr(mac), PATIENCE)
}

fn judge(role: DhcpRole, name: &str, others: &[FoundServer], found: &mut Findings) {
    for server in others {
        let at = server.address;
        match role {
            DhcpRole::Server => {
                let text = format!("{at} gives addresses on {name}, too");
                let cure =
                    "one DHCP server to a segment: stop it, or be a proxy: `dhcp.mode = \"proxy\"`";
                found.add(Grade::Problem, "dhcp-foreign", text, cure);
            }
            DhcpRole::Proxy if server.boots => {
                let text = format!("{at} on {name} tells every station what to boot");
                let cure = "take the boot file out of it (in dnsmasq: dhcp-boot; options 66 and 67): the faster one wins";
                found.add(Grade::Warning, "dhcp-rival", text, cure);
            }
            DhcpRole::Proxy | DhcpRole::Off => {
                found.good("dhcp", format!("{at} gives addresses on {name}"));
            }
        }
    }
    if !others.is_empty() {
        return;
    }
    match role {
        DhcpRole::Server => found.good("dhcp", format!("nobody else gives addresses on {name}")),
        DhcpRole::Proxy | DhcpRole::Off => {
            let text = format!("nobody gives addresses on {name}: machines cannot boot there");
            let cure = "switch the segment's DHCP server on, or let Enforcer be it: `dhcp.mode = \"server\"`";
            found.add(Grade::Warning, "dhcp-none", text, cure);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn codes(role: DhcpRole, servers: &[(u8, bool)]) -> Vec<String> {
        let server = |(last, boots): &(u8, bool)| FoundServer {
            address: Ipv4Addr::new(192, 0, 2, *last),
            boots: *boots,
        };
        let servers: Vec<_> = servers.iter().map(server).collect();
        let mut found = Findings::default();
        judge(role, "eth0", &servers, &mut found);
        found.sorted().into_iter().map(|f| f.code).collect()
    }

    #[test]
    fn another_server_is_wanted_by_a_proxy_and_wrong_for_a_server() {
        use DhcpRole::{Proxy, Server};
        assert_eq!(codes(Server, &[(1, false)]), ["dhcp-foreign"]);
        assert_eq!(codes(Server, &[]), ["dhcp"]);
        assert_eq!(codes(Proxy, &[(1, false)]), ["dhcp"]);
        assert_eq!(
            codes(Proxy, &[(1, false), (2, true)]),
            ["dhcp-rival", "dhcp"]
        );
        assert_eq!(codes(Proxy, &[]), ["dhcp-none"]);
    }
}
