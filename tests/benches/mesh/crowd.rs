//! Many agents of one kind on one host, and what they know of each other.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use enforcer_tests::{
    bench::Bench,
    lab::{Chorus, Service},
};

/// As many as DESIGN §9 speaks of.
pub(crate) const MEMBERS: u16 = 100;
/// Only a failing bench waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What is asked of every kind of agent. Agents are numbered from 1.
pub(crate) trait Kind {
    /// The command that starts agent `number` on the host of the crowd; whatever it needs before, a key for one, is done
    /// then.
    fn command(&mut self, bench: &Bench, number: u16) -> Result<Command>;
    /// How many others a log says it has met.
    fn met(&self, log: &str) -> usize;
    /// What another's log says when it has met agent `number`.
    fn joined(&mut self, number: u16) -> Result<String>;
    /// What another's log says when it holds agent `number` for dead.
    fn failed(&mut self, number: u16) -> Result<String>;
    /// Makes something happen at agent `number`; what the others' logs say when they have heard of it.
    fn event(&mut self, bench: &Bench, number: u16) -> Result<String>;
}

/// The address of agent `number`.
pub(crate) fn address(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("10.88.{high}.{low}")
}

/// Gives the crowd's host its addresses, reachable from the controller's.
pub(crate) fn prepare(bench: &Bench) -> Result<()> {
    bench.client.sh(&format!(
        // Not every kernel has dummy devices; addresses on `lo` are reached from the wire as well.
        "i=1; while [ $i -le {MEMBERS} ]; do echo addr add 10.88.0.$i/32 dev lo; i=$((i+1)); done | ip -batch -"
    ))?;
    bench
        .space
        .home()
        .namespace()
        .sh("ip route add 10.88.0.0/16 via 10.77.0.9")
        .map(drop)
}

/// The agents that run.
pub(crate) struct Crowd<'a, K> {
    pub(crate) bench: &'a Bench,
    pub(crate) kind: K,
    pub(crate) agents: Vec<Service>,
    pub(crate) chorus: Chorus,
    dead: Vec<u16>,
}

impl<'a, K: Kind> Crowd<'a, K> {
    /// Nobody yet.
    pub(crate) fn new(bench: &'a Bench, kind: K) -> Self {
        Self {
            bench,
            kind,
            agents: Vec::new(),
            chorus: Chorus::default(),
            dead: Vec::new(),
        }
    }

    /// Starts the next ones at once, up to agent `last`; how long until each has met all others.
    pub(crate) fn grow(&mut self, last: u16) -> Result<Duration> {
        let mut coming = Vec::new();
        for number in self.agents.len() as u16 + 1..=last {
            coming.push((number, self.kind.command(self.bench, number)?));
        }
        let started = Instant::now();
        for (number, command) in coming {
            let log = self.bench.space.folder().file(format!("agent{number}.log"));
            self.chorus.add(&log);
            let name = format!("agent {number}");
            self.agents.push(Service::start(&name, command, &log)?);
        }
        let (all, kind) = (self.agents.len(), &self.kind);
        let met = |log: &str| kind.met(log) >= all - 1;
        self.chorus
            .wait("all to meet all", (started, PATIENCE), all, |_| true, met)
    }

    /// Starts one more; how long until it knows all and all know it.
    pub(crate) fn join(&mut self) -> Result<Duration> {
        let number = self.agents.len() as u16 + 1;
        let started = Instant::now();
        self.grow(number)?;
        let text = self.kind.joined(number)?;
        self.heard(started, 100, number, &text)
    }

    /// How long until all others have heard of something that happens at agent `number`.
    pub(crate) fn event(&mut self, number: u16) -> Result<Duration> {
        self.chorus.forget()?;
        let started = Instant::now();
        let text = self.kind.event(self.bench, number)?;
        self.heard(started, 100, number, &text)
    }

    /// Kills agent `number` without a word; how long until 99 of 100 others hold it for dead.
    pub(crate) fn death(&mut self, number: u16) -> Result<Duration> {
        let text = self.kind.failed(number)?;
        self.chorus.forget()?;
        let started = Instant::now();
        self.agents[usize::from(number) - 1].kill9();
        self.dead.push(number);
        self.heard(started, 99, number, &text)
    }

    /// Waits until so many percent of the living agents other than `of` have said `text`.
    fn heard(&mut self, since: Instant, percent: usize, of: u16, text: &str) -> Result<Duration> {
        let dead = &self.dead;
        let others = |index: usize| {
            let number = index as u16 + 1;
            number != of && !dead.contains(&number)
        };
        let all = (0..self.agents.len())
            .filter(|index| others(*index))
            .count();
        let enough = (all * percent).div_ceil(100);
        let heard = |log: &str| log.contains(text);
        self.chorus
            .wait(text, (since, PATIENCE), enough, others, heard)
    }
}
