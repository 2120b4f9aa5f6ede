//! Debian's serf: each agent with the LAN profile, its default.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use enforcer_tests::{bench::Bench, lab::need};

use crate::crowd::{self, Kind};

/// Where an agent's command socket is, on the loopback of the crowd's host.
const RPC: u16 = 20_000;

/// The agents' common key.
pub(crate) struct Serf {
    key: String,
}

impl Serf {
    pub(crate) fn new(bench: &Bench) -> Result<Self> {
        need::programs(&["serf"]).context("apt-get install serf")?;
        let key = bench.client.run("serf", &["keygen"])?;
        Ok(Self {
            key: key.trim().to_owned(),
        })
    }
}

fn rpc(number: u16) -> String {
    format!("-rpc-addr=127.0.0.1:{}", RPC + number)
}

impl Kind for Serf {
    fn command(&mut self, bench: &Bench, number: u16) -> Result<Command> {
        let mut command = bench.client.command("serf");
        // The snapshot makes its members outlive a restart, as our agents' state folder does.
        let snapshot = bench.space.folder().file(format!("serf{number}.snapshot"));
        fs::write(&snapshot, "")?;
        command.args(["agent", &format!("-node=n{number}"), &rpc(number)]);
        command.arg(format!("-bind={}:7946", crowd::address(number)));
        command.arg(format!("-encrypt={}", self.key));
        command.arg(format!("-snapshot={}", snapshot.display()));
        if number > 1 {
            command.arg(format!("-retry-join={}:7946", crowd::address(1)));
            command.arg("-retry-interval=1s");
        }
        Ok(command)
    }

    fn met(&self, log: &str) -> usize {
        // An agent meets itself first.
        log.matches("EventMemberJoin: ").count().saturating_sub(1)
    }

    fn joined(&mut self, number: u16) -> Result<String> {
        Ok(format!("EventMemberJoin: n{number} "))
    }

    fn failed(&mut self, number: u16) -> Result<String> {
        Ok(format!("EventMemberFailed: n{number} "))
    }

    fn event(&mut self, bench: &Bench, number: u16) -> Result<String> {
        bench.client.run(
            "serf",
            &["event", &rpc(number), "-coalesce=false", "changed", "disk"],
        )?;
        Ok("user-event: changed".to_owned())
    }
}
