//! Serf agents on the loopback of the lab's controller, each with the tags of a machine and a handler for the query `reboot`.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use enforcer_tests::lab::{RunFolder, Service, Space, need, wait_until};
use enforcer_tests::site::PATIENCE;
use rustix::process::Signal;
use serde_json::Value;

/// The key of the agents' RPC.
pub(crate) const KEY: &str = "a key that nobody guesses";

/// The card of agent `n`'s machine.
pub(crate) fn card(n: u8) -> String {
    format!("52:54:00:77:01:{n:02x}")
}

/// How many members of a list are of this state.
pub(crate) fn agents(members: &[Value], state: &str) -> usize {
    members.iter().filter(|m| m["state"] == state).count()
}

/// The agents.
pub(crate) struct Room<'s> {
    space: &'s Space,
    agents: BTreeMap<u8, Service>,
}

impl<'s> Room<'s> {
    /// Starts `count` agents; all have met when it returns.
    pub(crate) fn start(space: &'s Space, count: u8) -> Result<Self> {
        need::programs(&["serf", "curl"])?;
        let mut room = Self {
            space,
            agents: BTreeMap::new(),
        };
        // The key can only be given in a file; once, since agents that start read it.
        room.secret("serf.json", &format!("{{\"rpc_auth\": \"{KEY}\"}}"))?;
        for n in 1..=count {
            room.start_agent(n)?;
        }
        wait_until("the agents to meet", PATIENCE, || {
            let met = room.log(1).matches("EventMemberJoin: ").count();
            Ok((met >= usize::from(count)).then_some(()))
        })?;
        Ok(room)
    }

    fn folder(&self) -> &Arc<RunFolder> {
        self.space.folder()
    }

    /// Where agent `n` takes commands.
    pub(crate) fn rpc(&self, n: u8) -> String {
        format!("127.0.1.{n}:7373")
    }

    /// A file that only the controller reads.
    pub(crate) fn secret(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder().file(name);
        fs::write(&file, format!("{text}\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }

    /// Starts agent `n`, again if it was killed.
    pub(crate) fn start_agent(&mut self, n: u8) -> Result<()> {
        let handler = self.folder().file(format!("reboot{n}.sh"));
        let mark = self.mark(n);
        fs::write(
            &handler,
            format!("#!/bin/sh\necho restarting\n: > {}\n", mark.display()),
        )?;
        fs::set_permissions(&handler, fs::Permissions::from_mode(0o755))?;
        let auth = self.folder().file("serf.json");
        let mut command = self.space.command("serf");
        command
            .args([
                "agent",
                &format!("-node=n{n}"),
                &format!("-bind=127.0.1.{n}:7946"),
            ])
            .arg(format!("-rpc-addr={}", self.rpc(n)))
            .arg(format!("-config-file={}", auth.display()))
            .args(["-tag", &format!("mac={}", card(n)), "-tag", "role=web"])
            .arg(format!("-event-handler=query:reboot={}", handler.display()));
        if n > 1 {
            command.args(["-retry-join=127.0.1.1:7946", "-retry-interval=1s"]);
        }
        let service = self.space.service(&format!("serf{n}"), command)?;
        self.agents.insert(n, service);
        Ok(())
    }

    fn agent(&self, n: u8) -> Result<&Service> {
        self.agents.get(&n).with_context(|| format!("no agent {n}"))
    }

    /// What agent `n` has said.
    pub(crate) fn log(&self, n: u8) -> String {
        self.agents.get(&n).map(Service::log).unwrap_or_default()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, n: u8) {
        if let Some(mut agent) = self.agents.remove(&n) {
            agent.kill9();
        }
    }

    /// Stops it in the middle of what it does; its ports stay open.
    pub(crate) fn pause(&mut self, n: u8) -> Result<()> {
        self.agent(n)?.signal(Signal::STOP)
    }

    /// The end of a pause.
    pub(crate) fn go_on(&mut self, n: u8) -> Result<()> {
        self.agent(n)?.signal(Signal::CONT)
    }

    fn mark(&self, n: u8) -> PathBuf {
        self.folder().file(format!("rebooted{n}"))
    }

    /// Whether agent `n`'s handler ran.
    pub(crate) fn rebooted(&self, n: u8) -> bool {
        self.mark(n).exists()
    }

    /// Waits until it ran.
    pub(crate) fn wait_rebooted(&self, n: u8) -> Result<()> {
        wait_until("the handler to run", PATIENCE, || {
            Ok(self.rebooted(n).then_some(()))
        })
    }
}
