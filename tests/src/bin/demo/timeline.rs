//! The boot timelines: the controller's own record, followed by its command line, with the time since each machine's power-on.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::SystemTime,
};

use anyhow::{Context, Result};
use enforcer_tests::lab::Controller;
use serde::Deserialize;

use crate::screen::Screen;

/// When each machine's button was pressed last.
#[derive(Debug, Clone, Default)]
pub(crate) struct PowerOns(Arc<Mutex<HashMap<String, SystemTime>>>);

impl PowerOns {
    /// `name` was switched on at `at`.
    pub(crate) fn note(&self, name: &str, at: SystemTime) {
        self.lock().insert(name.to_owned(), at);
    }

    fn since(&self, name: &str, at: SystemTime) -> Option<std::time::Duration> {
        let power_on = *self.lock().get(name)?;
        at.duration_since(power_on).ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, SystemTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as `enforcer events -f -o json` prints it.
#[derive(Debug, Deserialize)]
struct Event {
    at: jiff::Timestamp,
    machine_name: Option<String>,
    text: String,
}

/// `enforcer events -f`, until dropped.
#[derive(Debug)]
pub(crate) struct Follower(Child);

impl Follower {
    /// Shows every event from now on. Call it on the thread that lives longest: the command dies with it.
    pub(crate) fn start(
        controller: &Controller,
        screen: Screen,
        power_ons: PowerOns,
    ) -> Result<Self> {
        let mut command = controller.cli_command(&["events", "-f", "--after", "0", "-o", "json"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot follow the controller's events")?;
        let lines = BufReader::new(child.stdout.take().context("piped above")?).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                show(&line, &screen, &power_ons);
            }
        });
        Ok(Self(child))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn show(line: &str, screen: &Screen, power_ons: &PowerOns) {
    match serde_json::from_str::<Event>(line) {
        Ok(event) => {
            let at = SystemTime::from(event.at);
            let who = event.machine_name.as_deref().unwrap_or("enforcer");
            screen.show(at, power_ons.since(who, at), who, event.text);
        }
        Err(error) => screen.say(format!("not an event ({error}): {line}")),
    }
}
