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

/// When each machine's button was pressed last, and what it is called here.
#[derive(Debug, Clone, Default)]
pub(crate) struct PowerOns(Arc<Mutex<HashMap<String, (&'static str, SystemTime)>>>);

impl PowerOns {
    /// `name`, whose card is `mac`, was switched on at `at`.
    pub(crate) fn note(&self, name: &'static str, mac: &str, at: SystemTime) {
        let mut known = self.lock();
        known.insert(name.to_owned(), (name, at));
        // A machine that nobody has named yet is named by its card.
        known.insert(digits(mac), (name, at));
    }

    /// Its name here, and the time since its power-on.
    fn of(&self, who: &str, at: SystemTime) -> Option<(&'static str, std::time::Duration)> {
        let known = self.lock();
        let (name, power_on) = known.get(who).or_else(|| known.get(&digits(who)))?;
        Some((name, at.duration_since(*power_on).ok()?))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (&'static str, SystemTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last twelve hexadecimal digits of a name: a card's address in any spelling.
fn digits(text: &str) -> String {
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    hex[hex.len().saturating_sub(12)..].to_owned()
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
            let known = power_ons.of(who, at);
            let name = known.map_or(who, |(name, _)| name);
            screen.show(at, known.map(|(_, since)| since), name, event.text);
        }
        Err(error) => screen.say(format!("not an event ({error}): {line}")),
    }
}
