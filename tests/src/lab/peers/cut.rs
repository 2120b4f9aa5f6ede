//! A wire that is cut in two, or that swallows one kind of packet.

use crate::lab::{Namespace, Segment, need};
use anyhow::Result;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// While this value lives, some IPv4 packets do not cross the segment's bridge.
#[derive(Debug)]
pub struct Cut {
    namespace: Arc<Namespace>,
    table: String,
}

impl Cut {
    /// Nothing passes between the hosts of `one` side and those of the `other`, either way.
    pub fn between(segment: &Segment, one: &[Ipv4Addr], other: &[Ipv4Addr]) -> Result<Self> {
        let list = |side: &[Ipv4Addr]| -> String {
            let texts: Vec<String> = side.iter().map(Ipv4Addr::to_string).collect();
            texts.join(", ")
        };
        let (one, other) = (list(one), list(other));
        Self::start(
            segment,
            &[
                format!("ip saddr {{ {one} }} ip daddr {{ {other} }}"),
                format!("ip saddr {{ {other} }} ip daddr {{ {one} }}"),
            ],
        )
    }

    /// No UDP passes to or from this port.
    pub fn udp_port(segment: &Segment, port: u16) -> Result<Self> {
        let ways = ["sport", "dport"].map(|way| format!("ip protocol udp udp {way} {port}"));
        Self::start(segment, &ways)
    }

    /// No UDP passes between this port and one host.
    pub fn udp_port_of(segment: &Segment, host: Ipv4Addr, port: u16) -> Result<Self> {
        let ways = [
            format!("ip daddr {host} udp sport {port}"),
            format!("ip saddr {host} udp dport {port}"),
        ];
        Self::start(segment, &ways)
    }

    /// Nothing passes between two cables, broadcasts included, while both reach everybody else: two hosts that are deaf for
    /// each other. A cable has its host's name.
    pub fn cables(segment: &Segment, one: &str, other: &str) -> Result<Self> {
        let table = fresh_table()?;
        let rule = |from: &str, to: &str| {
            format!("add rule bridge {table} crossing iifname v{from} oifname v{to} counter drop\n")
        };
        let rules = format!(
            "add table bridge {table}
             add chain bridge {table} crossing {{ type filter hook forward priority 0; }}
             {}{}",
            rule(one, other),
            rule(other, one)
        );
        Self::load(segment, table, &rules)
    }

    fn start(segment: &Segment, what: &[String]) -> Result<Self> {
        let table = fresh_table()?;
        // Once where a frame comes in from a cable, and once where the bridge's own host sends it.
        let mut rules = format!(
            "add table bridge {table}
             add chain bridge {table} arriving {{ type filter hook prerouting priority -300; }}
             add chain bridge {table} leaving {{ type filter hook output priority -300; }}\n"
        );
        for chain in ["arriving", "leaving"] {
            for packets in what {
                rules += &format!("add rule bridge {table} {chain} {packets} counter drop\n");
            }
        }
        Self::load(segment, table, &rules)
    }

    fn load(segment: &Segment, table: String, rules: &str) -> Result<Self> {
        let namespace = segment.namespace().clone();
        namespace.sh(&format!("nft -f - <<'END'\n{rules}END\n"))?;
        Ok(Self { namespace, table })
    }
}

/// A name that no other cut has.
fn fresh_table() -> Result<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    need::programs(&["nft"])?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Ok(format!("cut{number}"))
}

impl Drop for Cut {
    fn drop(&mut self) {
        let _ = self
            .namespace
            .run("nft", &["delete", "table", "bridge", &self.table]);
    }
}
