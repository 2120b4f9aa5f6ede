//! Our agents, each with a key of its own that a token has brought, and their controller.

use std::{
    net::Ipv4Addr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use enforcer_tests::{
    bench::{Bench, Table},
    lab::{AgentPlan, Controller, ControllerPlan, Service, Space, join_token, member, wait_until},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::crowd::{self, Kind, MEMBERS, PATIENCE};

/// Everything back after everything was killed at once (issue 3).
const BACK: Duration = Duration::from_secs(10);

/// The controller, and where each agent lives.
pub(crate) struct Ours {
    controller: Controller,
    agents: Vec<AgentPlan>,
}

impl Ours {
    pub(crate) fn new(bench: &Bench) -> Result<Self> {
        Ok(Self {
            controller: ControllerPlan::new().start(&bench.space)?,
            agents: Vec::new(),
        })
    }

    fn agent(&self, number: u16) -> Result<&AgentPlan> {
        let index = usize::from(number).checked_sub(1);
        index
            .and_then(|index| self.agents.get(index))
            .context("no such agent")
    }

    /// How many have greeted the controller since then.
    fn greeted(&self, since: Timestamp) -> Result<usize> {
        let list = self.controller.list("members")?;
        let fresh = |member: &&Value| {
            let joined = member["joined"].as_str().and_then(|at| at.parse().ok());
            joined.is_some_and(|at: Timestamp| at > since)
        };
        Ok(list.iter().filter(fresh).count())
    }

    /// How many members the controller holds for alive.
    fn alive(&self) -> Result<usize> {
        let list = self.controller.list("members")?;
        Ok(list.iter().filter(|one| one["state"] == "alive").count())
    }
}

impl Kind for Ours {
    fn command(&mut self, bench: &Bench, number: u16) -> Result<Command> {
        let address: Ipv4Addr = crowd::address(number).parse()?;
        let folder = bench.space.folder().path();
        let plan = AgentPlan::new(bench.client.clone(), address, folder, number)?;
        plan.join(Space::CONTROLLER, &join_token(&self.controller)?)?;
        let command = plan.daemon()?;
        self.agents.push(plan);
        Ok(command)
    }

    fn met(&self, log: &str) -> usize {
        member::met(log)
    }

    fn joined(&mut self, number: u16) -> Result<String> {
        Ok(member::up(&self.agent(number)?.node()?))
    }

    fn failed(&mut self, number: u16) -> Result<String> {
        Ok(member::down(&self.agent(number)?.node()?))
    }

    fn event(&mut self, _: &Bench, number: u16) -> Result<String> {
        let agent = self.agent(number)?;
        agent.board.disk("ANOTHER-DISK")?;
        let node = agent.node()?;
        let path = format!("/api/v1/machines/{node}/commands");
        self.controller
            .api("POST", &path, r#"{"do":"inventory"}"#)?;
        Ok(member::facts(&node))
    }
}

/// A hundred agents and their controller are killed and started again, all at once: when the controller holds all for alive again.
pub(crate) fn restart(table: &mut Table) -> Result<()> {
    let bench = Bench::new("restart", false)?;
    crowd::prepare(&bench)?;
    let mut ours = Ours::new(&bench)?;
    let mut running = Vec::new();
    for number in 1..=MEMBERS {
        let command = ours.command(&bench, number)?;
        let log = ours.agent(number)?.log();
        running.push(Service::start("agent", command, &log)?);
    }
    let all = usize::from(MEMBERS);
    wait_until("100 members", PATIENCE, || {
        Ok((ours.alive()? >= all).then_some(()))
    })?;
    thread::sleep(Duration::from_secs(5));

    ours.controller.kill9();
    running.iter_mut().for_each(Service::kill9);
    drop(running);
    let (started, clock) = (Instant::now(), Timestamp::now());
    ours.controller.restart()?;
    let running: Result<Vec<Service>> = ours.agents.iter().map(AgentPlan::start).collect();
    let _running = running?;
    let took = wait_until("100 members again", PATIENCE, || {
        Ok((ours.greeted(clock)? >= all).then(|| started.elapsed()))
    })?;
    table.judge(
        "controller and 100 agents killed and started at once: all linked",
        "free",
        &format!("{:.1} s", took.as_secs_f64()),
        "",
        ("≤ 10 s", took <= BACK),
    );
    Ok(())
}
