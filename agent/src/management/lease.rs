//! The lease as the DHCP client's script wrote it: `key=value` lines in `lease-<card>`. What it holds came from a
//! stranger on the wire, so addresses are parsed and names are filtered before anything is shown.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// A lease file is a few hundred bytes; more is not ours.
const LIMIT_BYTES: usize = 4096;

/// DNS limits a name to 253 characters.
const NAME_LIMIT: usize = 253;

/// One card's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    /// Kernel name of the card.
    pub(super) nic: String,
    /// Our address.
    pub(super) address: Ipv4Addr,
    /// Netmask as prefix length.
    pub(super) prefix: u32,
    /// The DHCP server that gave it.
    pub(super) server: Option<Ipv4Addr>,
    /// The name the DHCP server calls this machine by.
    pub(super) hostname: Option<String>,
}

/// The first card's lease in `folder`, by card name.
pub(super) fn first(folder: &Path) -> Option<Lease> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names.iter().find_map(|name| {
        let nic = name.strip_prefix("lease-")?;
        parse(nic, &fs::read_to_string(folder.join(name)).ok()?)
    })
}

fn parse(nic: &str, text: &str) -> Option<Lease> {
    let text = text.get(..LIMIT_BYTES).unwrap_or(text);
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let mask: Ipv4Addr = value("subnet")
        .and_then(|mask| mask.parse().ok())
        .unwrap_or(Ipv4Addr::new(255, 255, 255, 0));
    Some(Lease {
        nic: nic.to_owned(),
        address: value("ip")?.parse().ok()?,
        prefix: u32::from(mask).leading_ones(),
        server: value("serverid").and_then(|server| server.parse().ok()),
        hostname: value("hostname").and_then(hostname),
    })
}

fn hostname(raw: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!raw.is_empty() && raw.len() <= NAME_LIMIT && raw.chars().all(is_name)).then(|| raw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_and_a_hostile_name_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first(folder.path()), None);
        fs::write(folder.path().join("coldplug-done"), "").unwrap();
        let text = "ip=10.77.0.101\nsubnet=255.255.255.0\nserverid=10.77.0.1\nhostname=m1\n";
        fs::write(folder.path().join("lease-eth1"), text).unwrap();
        let want = Lease {
            nic: "eth1".into(),
            address: Ipv4Addr::new(10, 77, 0, 101),
            prefix: 24,
            server: Some(Ipv4Addr::new(10, 77, 0, 1)),
            hostname: Some("m1".into()),
        };
        assert_eq!(first(folder.path()), Some(want));
        assert_eq!(
            parse("eth0", "ip=10.0.0.9\nhostname=a\x1b[2J")
                .unwrap()
                .hostname,
            None
        );
        assert_eq!(parse("eth0", "ip=not-one\n"), None);
    }
}
