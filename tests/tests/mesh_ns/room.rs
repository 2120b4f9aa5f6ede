//! Twenty hosts on one wire, each its own network namespace with a real agent; beside them the real controller.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{
    AgentPlan, Chorus, Controller, ControllerPlan, Service, Space, join_token, member, wait_until,
};
use rustix::process::Signal;
use serde_json::Value;

/// How many agents.
pub(crate) const HOSTS: u16 = 20;
/// Only a failing story waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A controller that has just started calls nobody dead for so long (DESIGN §6), and a bit.
const GRACE: Duration = Duration::from_secs(31);

/// The wire and who is on it.
pub(crate) struct Room<'a> {
    pub(crate) space: &'a Space,
    pub(crate) controller: Controller,
    agents: Vec<Agent>,
    chorus: Chorus,
    opened: Instant,
}

struct Agent {
    plan: AgentPlan,
    service: Option<Service>,
    /// Its id in everybody's log.
    node: String,
}

impl<'a> Room<'a> {
    /// The hosts, the controller, and nobody running yet; every agent has its key.
    pub(crate) fn open(space: &'a Space) -> Result<Self> {
        let opened = Instant::now();
        let controller = ControllerPlan::new().start(space)?;
        let mut room = Self {
            space,
            controller,
            agents: Vec::new(),
            chorus: Chorus::default(),
            opened,
        };
        for number in 1..=HOSTS {
            room.add(number)?;
        }
        let hosts: Vec<_> = room
            .agents
            .iter()
            .map(|agent| (agent.plan.host.clone(), agent.plan.address))
            .collect();
        space.home().acquaint(&hosts)?;
        Ok(room)
    }

    fn add(&mut self, number: u16) -> Result<()> {
        let address = address(number);
        let host = self.space.home().host(&format!("a{number}"), address)?;
        let plan = AgentPlan::new(host, address, self.space.folder().path(), number)?;
        plan.join(Space::CONTROLLER, &join_token(&self.controller)?)?;
        self.chorus.add(&plan.log());
        self.agents.push(Agent {
            node: plan.node()?,
            plan,
            service: None,
        });
        Ok(())
    }

    /// Until the controller judges: promises about deaths begin there.
    pub(crate) fn wait_grace(&self) {
        thread::sleep(GRACE.saturating_sub(self.opened.elapsed()));
    }

    /// Starts agent `index`.
    pub(crate) fn start(&mut self, index: usize) -> Result<()> {
        let agent = &mut self.agents[index];
        agent.service = Some(agent.plan.start()?);
        Ok(())
    }

    /// SIGKILL for agent `index`.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut service) = self.agents[index].service.take() {
            service.kill9();
        }
    }

    /// A signal for agent `index`.
    pub(crate) fn signal(&self, index: usize, signal: Signal) -> Result<()> {
        let service = self.agents[index].service.as_ref();
        service.context("this agent does not run")?.signal(signal)
    }

    /// From now on only news counts.
    pub(crate) fn forget(&mut self) -> Result<()> {
        self.chorus.forget()
    }

    /// Waits until all running agents but `of` know that it is there; how long after `since`.
    pub(crate) fn all_know_up(&mut self, of: usize, since: Instant) -> Result<Duration> {
        let text = member::up(&self.agents[of].node);
        self.all_say(&text, of, |_| true, since)
    }

    /// The same, asked of agents `..first` only: the others never lost sight of it.
    pub(crate) fn far_side_knows_up(
        &mut self,
        of: usize,
        first: usize,
        since: Instant,
    ) -> Result<Duration> {
        let text = member::up(&self.agents[of].node);
        self.all_say(&text, of, |index| index < first, since)
    }

    /// Waits until all running agents but `of` hold it for dead; how long after `since`.
    pub(crate) fn all_know_down(&mut self, of: usize, since: Instant) -> Result<Duration> {
        let text = member::down(&self.agents[of].node);
        self.all_say(&text, of, |_| true, since)
    }

    fn all_say(
        &mut self,
        text: &str,
        of: usize,
        asked: impl Fn(usize) -> bool,
        since: Instant,
    ) -> Result<Duration> {
        let agents = &self.agents;
        let counts = |index: usize| index != of && asked(index) && agents[index].service.is_some();
        let all = (0..agents.len()).filter(|index| counts(*index)).count();
        let heard = |log: &str| log.contains(text);
        self.chorus
            .wait(text, (since, PATIENCE), all, counts, heard)
    }

    /// Who said, since [`Self::forget`], that agent `of` is dead.
    pub(crate) fn who_says_down(&mut self, of: usize) -> Result<Vec<usize>> {
        let text = member::down(&self.agents[of].node);
        self.chorus.those(|_| true, |log| log.contains(&text))
    }

    /// Waits until each running agent knows all other running ones by its own log; how long after `since`.
    pub(crate) fn all_met(&mut self, since: Instant) -> Result<Duration> {
        let mut slowest = Duration::ZERO;
        for of in 0..self.agents.len() {
            if self.agents[of].service.is_some() {
                slowest = slowest.max(self.all_know_up(of, since)?);
            }
        }
        Ok(slowest)
    }

    /// What the controller tells people of agent `index`: `alive`, `unreachable`, `down`, `left`.
    pub(crate) fn word(&self, index: usize) -> Result<String> {
        let node = &self.agents[index].node;
        let list = self.controller.list("members")?;
        let found = list.iter().find(|member| member["machine"] == **node);
        Ok(found
            .and_then(|member| member["state"].as_str())
            .unwrap_or("unknown")
            .to_owned())
    }

    /// Waits until the controller says `word` of agent `index`; how long after `since`.
    pub(crate) fn says(&self, index: usize, word: &str, since: Instant) -> Result<Duration> {
        wait_until(&format!("agent {index} to be {word}"), PATIENCE, || {
            Ok((self.word(index)? == word).then(|| since.elapsed()))
        })
    }

    /// Waits until the controller holds all for alive; how long after `since`.
    pub(crate) fn all_alive(&self, since: Instant) -> Result<Duration> {
        for index in 0..self.agents.len() {
            self.says(index, "alive", since)?;
        }
        Ok(since.elapsed())
    }

    /// Waits until all have greeted the controller since `restarted` by the clock: the word alone would be what it was before.
    pub(crate) fn all_greeted(&self, restarted: SystemTime) -> Result<Duration> {
        let restarted = jiff::Timestamp::try_from(restarted)?;
        let fresh = |member: &Value| {
            let joined = member["joined"].as_str().and_then(|at| at.parse().ok());
            joined.is_some_and(|at: jiff::Timestamp| at > restarted) && member["state"] == "alive"
        };
        wait_until("all to greet", PATIENCE, || {
            let members = self.controller.list("members")?;
            let back = members.iter().filter(|member| fresh(member)).count();
            Ok((back == self.agents.len()).then_some(()))
        })?;
        Ok(SystemTime::now().duration_since(restarted.into())?)
    }

    /// The addresses of agents `first..`, and the controller's with those before: the two sides of a cut.
    pub(crate) fn sides(&self, first: usize) -> (Vec<Ipv4Addr>, Vec<Ipv4Addr>) {
        let addresses = |agents: &[Agent]| -> Vec<Ipv4Addr> {
            agents.iter().map(|agent| agent.plan.address).collect()
        };
        let (home, away) = self.agents.split_at(first);
        let mut home = addresses(home);
        home.push(Space::CONTROLLER);
        (home, addresses(away))
    }
}

/// Agent `number`'s place on the wire.
fn address(number: u16) -> Ipv4Addr {
    let last = u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, 77, 0, 20 + last)
}

/// An error unless `took` is at most so many seconds.
pub(crate) fn within(what: &str, took: Duration, seconds: u64) -> Result<()> {
    eprintln!("{what}: {:.1} s (≤ {seconds} s)", took.as_secs_f64());
    ensure!(
        took <= Duration::from_secs(seconds),
        "{what}: {took:?} is more than {seconds} s"
    );
    Ok(())
}
