//! What a story of machines and the management OS stands on: a controller that can boot the management OS, and questions to its API.

use std::time::{Duration, SystemTime};

use crate::{
    fixture::{self, Flavour},
    lab::{Controller, ControllerPlan, Machine, Space, wait_until},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Only a failing story waits so long.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Two emulated machines at once unpack a kernel of all drivers.
pub const READY_LIMIT: Duration = Duration::from_secs(300);
/// Serial console last, so that it gets the agent's lines. An emulated machine that gets too little of a busy host misses the ticks by
/// which the kernel tests its timer, and panics.
pub const DISCOVER: &str = "discovery = \"all\"\n[management_os]\ncmdline = \"no_timer_check console=tty0 console=ttyS0,115200\"\n";

/// A controller and its API.
pub struct Site {
    /// The running program.
    pub controller: Controller,
}

/// One event of the record.
#[derive(Debug)]
pub struct Event {
    /// When, by the controller's clock.
    pub at: SystemTime,
    /// Its stable word.
    pub kind: String,
    /// What happened, for people.
    pub text: String,
}

impl Site {
    /// A controller with a management OS of this flavour, and this text in its configuration.
    pub fn open(space: &Space, config: &str, flavour: Flavour) -> Result<Self> {
        fixture::install_management_os(&space.folder().file("enforcer/state"), flavour)?;
        let controller = ControllerPlan::new().config(config).start(space)?;
        Ok(Self { controller })
    }

    /// `enforcer ARGS`, with what it printed.
    pub fn enforcer(&self, args: &[&str]) -> Result<String> {
        self.controller.cli(args)
    }

    /// `enforcer ARGS -o json`.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut args = args.to_vec();
        args.extend(["-o", "json"]);
        Ok(serde_json::from_str(&self.controller.cli(&args)?)?)
    }

    /// Every record of a machine that has this card.
    pub fn records(&self, mac: &str) -> Result<Vec<Value>> {
        let list: Vec<Value> = serde_json::from_value(self.json(&["machines", "list"])?)?;
        let has = |machine: &Value| {
            machine["macs"]
                .as_array()
                .is_some_and(|macs| macs.iter().any(|one| one == mac))
        };
        Ok(list.into_iter().filter(has).collect())
    }

    /// `machines show` of a machine.
    pub fn machine(&self, machine: &str) -> Result<Value> {
        self.json(&["machines", "show", machine])
    }

    /// What the controller says of this machine as a member: `alive`, `unreachable`, `down`, `left`, or nothing.
    pub fn member(&self, mac: &str) -> Result<Option<String>> {
        let record = self.records(mac)?.pop();
        Ok(record.and_then(|machine| Some(machine["member"]["state"].as_str()?.to_owned())))
    }

    /// `GET` of the API, as JSON.
    pub fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.controller.api("GET", path, "")?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Waits until this machine is an alive member.
    pub fn wait_alive(&self, mac: &str) -> Result<()> {
        self.wait_member(mac, "alive", PATIENCE)
    }

    /// Waits until the controller says `word` of this machine.
    pub fn wait_member(&self, mac: &str, word: &str, limit: Duration) -> Result<()> {
        wait_until(&format!("{mac} to be {word}"), limit, || {
            Ok((self.member(mac)?.as_deref() == Some(word)).then_some(()))
        })
        .with_context(|| self.enforcer(&["members", "list"]).unwrap_or_default())
    }

    /// What happened to a machine, in order.
    pub fn events(&self, machine: &str) -> Result<Vec<Event>> {
        let json = self.json(&["events", "--machine", machine])?;
        let list: Vec<Value> = serde_json::from_value(json)?;
        list.iter().map(event).collect()
    }

    /// The first event of this kind, when it has been written down.
    pub fn wait_event(&self, machine: &str, kind: &str) -> Result<Event> {
        wait_until(&format!("{kind} of {machine}"), PATIENCE, || {
            let events = self.events(machine)?;
            Ok(events.into_iter().find(|event| event.kind == kind))
        })
        .with_context(|| self.enforcer(&["events"]).unwrap_or_default())
    }

    /// `enforcer ARGS` that must fail; what it says.
    pub fn refused(&self, args: &[&str]) -> Result<String> {
        let output = self.controller.cli_command(args).output()?;
        ensure!(!output.status.success(), "{args:?} succeeded");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn event(event: &Value) -> Result<Event> {
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let at: jiff::Timestamp = text("at").parse().context("an event's moment")?;
    Ok(Event {
        at: at.into(),
        kind: text("kind"),
        text: text("text"),
    })
}

/// When the guest restarted by itself, on the clock of the controller's events.
pub fn reset_at(machine: &Machine, skip: usize) -> Result<SystemTime> {
    let reset = machine.wait_guest_reset(skip, PATIENCE)?;
    Ok(machine.power_on_clock()? + reset.at)
}
