//! What a person is told about a deployment: what comes next, and what it waits for.

use mesh_proto::message::{job::After, link::Habitat};

use super::{
    Deployment, Phase, State, Until, When, queue,
    restart::{Means, given_up, may_be_started, means},
};
use crate::state::{Timestamp, View};

/// What only a person can do.
const PRESS_RESET: &str = "waiting: press reset";

/// The next step of a deployment, or what it waits for. Empty when it is over.
#[must_use]
pub fn next_step(view: &View, job: &Deployment, now: Timestamp) -> String {
    match job.phase() {
        Phase::Waiting => waiting(view, job, now),
        Phase::AtWork => at_work(view, job),
        Phase::Starting => starting(view, job, now),
        Phase::Over => String::new(),
    }
}

fn waiting(view: &View, job: &Deployment, now: Timestamp) -> String {
    let ahead = queue::ahead(view, job);
    if ahead > 0 {
        let before = view.active_deployment(&job.machine);
        let first = before.or_else(|| view.queue_of(&job.machine).next());
        let name = first.map_or_else(String::new, |d| format!(": deployment {} is first", d.id));
        return format!("waits for {ahead} before it{name}");
    }
    let Some(machine) = view.machine(&job.machine) else {
        return "its machine was forgotten".to_owned();
    };
    let by = means(view, &job.machine);
    if let Err(hold) = queue::may_begin(view, machine, job, now)
        && !is_switched(by, may_be_started(view, machine, job, now))
    {
        return format!("waiting: {hold}");
    }
    match (by, job.order.when) {
        (Means::Agent(Habitat::ManagementOs), _) => {
            level_missing(view, job).unwrap_or_else(|| "its agent takes it now".to_owned())
        }
        (_, When::NextBoot) => "waits until the machine starts by itself".to_owned(),
        (Means::Agent(Habitat::InstalledOs), When::Now) => {
            "the machine is told to restart".to_owned()
        }
        (by @ (Means::Board | Means::Wake), When::Now) => switched(job, by, now),
        (Means::Nobody, When::Now) => PRESS_RESET.to_owned(),
    }
}

/// It is started although it may not have its job yet: its first boot is how it gets accepted.
fn is_switched(by: Means, may_be_started: bool) -> bool {
    matches!(by, Means::Board | Means::Wake) && may_be_started
}

/// A machine that is switched for its job.
fn switched(job: &Deployment, by: Means, now: Timestamp) -> String {
    let (who, does, did) = match by {
        Means::Wake => ("magic packets", "wake", "woke"),
        Means::Board | Means::Agent(_) | Means::Nobody => {
            ("its management controller", "starts", "started")
        }
    };
    let Some(last) = &job.switched else {
        return format!("{who} {does} it now");
    };
    if let Some(why) = &last.refused {
        return format!("{PRESS_RESET} ({who} did not do it: {why})");
    }
    if given_up(job, now) {
        let times = last.times;
        return format!(
            "{PRESS_RESET} ({who} {did} it {times} times, and it did not boot from us)"
        );
    }
    format!("{who} {did} it: the management OS comes next")
}

/// What the key of the machine's agent is not good enough for.
fn level_missing(view: &View, job: &Deployment) -> Option<String> {
    let member = view.member(&job.machine).filter(|m| m.is_alive())?;
    let key = view.key(&member.serial)?;
    let hold = queue::may_have(view, job, key).err()?;
    Some(format!("waiting: {hold}"))
}

fn at_work(view: &View, job: &Deployment) -> String {
    let machine = view.machine(&job.machine);
    if let Some(Err(hold)) = machine.map(|m| queue::may_be_written(view, m)) {
        return format!("waiting: {hold}");
    }
    match (job.state, means(view, &job.machine)) {
        (State::Served, Means::Agent(Habitat::ManagementOs)) => {
            level_missing(view, job).unwrap_or_else(|| "its agent takes it now".to_owned())
        }
        (State::Served, _) => "the management OS starts".to_owned(),
        (_, Means::Agent(Habitat::ManagementOs)) => "its agent works on it".to_owned(),
        (_, Means::Agent(Habitat::InstalledOs)) => {
            "the machine is told to restart: it left the management OS".to_owned()
        }
        (_, Means::Board) => "its agent is silent; its management controller starts the machine again when it stays so".to_owned(),
        (_, Means::Wake | Means::Nobody) => {
            "its agent is silent; it goes on by itself at the next boot: press reset".to_owned()
        }
    }
}

fn starting(view: &View, job: &Deployment, now: Timestamp) -> String {
    let left = job
        .deadline
        .map(|at| at.duration_since(now).as_secs().max(0));
    let within = left.map_or_else(String::new, |s| format!(", for another {s} s"));
    let spoken = match &job.order.until {
        Until::Online { probe: Some(_), .. } => "answers",
        Until::Online { probe: None, .. } | Until::HandedOver => "speaks",
    };
    match (job.state, job.order.after) {
        (State::HandedOver, _) => format!("waits until the new system {spoken}{within}"),
        (State::Written, After::Kexec) => format!("the written system starts{within}"),
        (State::Rebooting, _) if job.tries > 1 && means(view, &job.machine) == Means::Nobody => {
            format!("waiting: press reset, or let it start{within}")
        }
        _ => format!("the machine restarts into its disk{within}"),
    }
}
