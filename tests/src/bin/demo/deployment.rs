//! A deployment as it goes on: a line for each look at which something had moved.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{Controller, wait_until};
use serde_json::Value;

use crate::room::Room;

/// From the order to the new system's word: under emulation a minute.
const LIMIT: Duration = Duration::from_secs(240);
/// Signs of a bar.
const BAR: usize = 30;

/// Who is looked at.
pub(crate) struct Progress {
    pub(crate) machine: &'static str,
    pub(crate) power_on: SystemTime,
}

impl Progress {
    /// Shows how far it is until it is over, which has to be because its system is online; when that was.
    pub(crate) fn follow(&self, room: &Room<'_>) -> Result<String> {
        let (controller, screen) = room.controller();
        let mut last = String::new();
        let (end, at) = wait_until("the deployment to be over", LIMIT, || {
            let job = newest(controller)?;
            let at = SystemTime::now();
            let line = line(&job).filter(|line| *line != last);
            if let Some(line) = line {
                screen.show(
                    at,
                    at.duration_since(self.power_on).ok(),
                    self.machine,
                    &line,
                );
                last = line;
            }
            Ok((job["open"] == false).then_some((job, at)))
        })?;
        ensure!(end["state"] == "online", "{end:#}");
        let since = at.duration_since(self.power_on)?;
        Ok(format!("{:.1}", since.as_secs_f64()))
    }
}

fn newest(controller: &Controller) -> Result<Value> {
    let list = controller.list("deployments")?;
    list.into_iter().next().context("a deployment")
}

/// `writing    [#########.....................]  7 of 23 MiB`; nothing while no bytes move.
fn line(job: &Value) -> Option<String> {
    const MIB: u64 = 1 << 20;
    let progress = job["progress"].as_object()?;
    let number = |key: &str| progress.get(key)?.as_u64();
    let (done, total) = (number("done_bytes")?, number("total_bytes")?);
    let step = job["progress"]["step"].as_str()?;
    let signs = usize::try_from(done * BAR as u64 / total.max(1)).ok()?;
    let bar = format!("{:.<BAR$}", "#".repeat(signs.min(BAR)));
    let (done, total) = (done / MIB, total / MIB);
    Some(format!("{step:<10} [{bar}]  {done} of {total} MiB"))
}
