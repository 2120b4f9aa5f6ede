//! What agents send and get, counted by the kernel of their host: IP packets with their headers, of every protocol.

use anyhow::{Context, Result};
use enforcer_tests::lab::Namespace;
use serde_json::Value;

/// Counters on the crowd's host.
pub(crate) struct Traffic<'a>(&'a Namespace);

/// Bytes so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes {
    /// Sent by agents, to each other and to the controller.
    pub(crate) sent: u64,
    /// Sent by the controller to agents.
    pub(crate) from_controller: u64,
}

impl<'a> Traffic<'a> {
    /// Counts from now on.
    pub(crate) fn count(host: &'a Namespace) -> Result<Self> {
        host.sh("nft add table ip count
             nft add counter ip count sent
             nft add counter ip count got
             nft add chain ip count out '{ type filter hook output priority 0; }'
             nft add chain ip count in '{ type filter hook input priority 0; }'
             nft add rule ip count out ip saddr 10.88.0.0/16 counter name sent
             nft add rule ip count in ip saddr 10.77.0.1 ip daddr 10.88.0.0/16 counter name got")?;
        Ok(Self(host))
    }

    /// What was counted.
    pub(crate) fn bytes(&self) -> Result<Bytes> {
        let json = self
            .0
            .run("nft", &["-j", "list", "counters", "table", "ip", "count"])?;
        let list: Value = serde_json::from_str(&json)?;
        let of = |name: &str| {
            let items = list["nftables"].as_array()?;
            let found = items.iter().find(|item| item["counter"]["name"] == name)?;
            found["counter"]["bytes"].as_u64()
        };
        Ok(Bytes {
            sent: of("sent").context("no counter of what is sent")?,
            from_controller: of("got").context("no counter of what comes")?,
        })
    }
}

impl Drop for Traffic<'_> {
    fn drop(&mut self) {
        let _ = self.0.run("nft", &["delete", "table", "ip", "count"]);
    }
}
