//! Jobs, as the agent of a management OS asks for them: what it is told to do, or why it gets nothing. Every word of an
//! agent is about its own machine: the link's certificate says which.

use std::net::SocketAddr;

use ::image::{ChunkSize, Ticket};
use mesh_proto::message::{
    Refusal, RefusalCode, Secret,
    enrol::{Join, KeyKind},
    job::{Capture, ImageRef, Job, ProvisionFile},
    link::Habitat,
};

use super::{
    deployments::{about, name_of},
    job_ends::fail,
    tokens::token_for,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    deployment::{Deployment, Phase, State, provision, queue},
    machine::Machine,
    trust::{
        key::{EnrolledKey, Serial},
        token::TokenText,
    },
};

/// How long a ticket is good: no boot of the management OS lasts longer, and each asks anew.
const TICKET_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The agent of a management OS asks what is to be done to its disk.
#[derive(Debug, Clone)]
pub struct ClaimJob {
    /// The certificate of its link.
    pub serial: Serial,
    /// How the machine reaches our boot HTTP server, `http://host:port`; for the phone-home of its new system.
    pub base: String,
    /// A fresh join token and where we are, for a job whose new system is to join.
    pub join: FreshJoin,
}

/// What a new system joins with.
#[derive(Debug, Clone)]
pub struct FreshJoin {
    /// A token that nobody has.
    pub token: TokenText,
    /// Where we listen for links.
    pub controllers: Vec<SocketAddr>,
}

impl FreshJoin {
    fn file(&self) -> ProvisionFile {
        provision::join(&Join {
            token: Some(Secret::new(self.token.reveal())),
            controllers: self.controllers.clone(),
        })
    }
}

/// What it is told.
#[derive(Debug, Clone, PartialEq)]
pub enum JobAnswer {
    /// Do this.
    Do {
        /// The job; the ticket of its image is still to be signed.
        job: Box<Job>,
        /// What is to be signed, when there is an image.
        ticket: Option<Ticket>,
    },
    /// Nothing now.
    Nothing {
        /// For its screen: why, and what comes next.
        text: String,
    },
}

impl JobAnswer {
    fn nothing(text: impl Into<String>) -> Self {
        Self::Nothing { text: text.into() }
    }
}

impl Transition for ClaimJob {
    type Outcome = Result<JobAnswer, Refusal>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let (key, machine) = asker(view, &self.serial)?;
            Ok(self.answer(view, key, machine, now, changes))
        })
    }
}

impl ClaimJob {
    /// The agent takes the first of its queue: written down before it is told.
    fn taken(
        &self,
        view: &View,
        job: &Deployment,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Deployment {
        let mut next = job.to(State::Served, None, now);
        next.taken_by = Some(self.serial.clone());
        let text = format!("{} takes {}", name_of(view, &next), next.title());
        changes.event(about("deployment.served", &next, text));
        changes.write(next.clone());
        next
    }

    /// The agent takes what the management OS was served for, or goes on with what an earlier boot began. Told once.
    fn gone_on(&self, view: &View, job: &Deployment, changes: &mut Changes) -> Deployment {
        let mut next = job.clone();
        if next.taken_by.as_ref() == Some(&self.serial) {
            return next;
        }
        next.taken_by = Some(self.serial.clone());
        let does = match next.state {
            State::Served => "takes",
            _ => "goes on with",
        };
        let text = format!("{} {does} {}", name_of(view, &next), next.title());
        changes.event(about("deployment.taken", &next, text));
        changes.write(next.clone());
        next
    }

    fn answer(
        &self,
        view: &View,
        key: &EnrolledKey,
        machine: &Machine,
        now: Timestamp,
        changes: &mut Changes,
    ) -> JobAnswer {
        let in_work = view.active_deployment(&machine.id);
        let Some(job) = in_work.or_else(|| view.queue_of(&machine.id).next()) else {
            return JobAnswer::nothing("nothing is to be done");
        };
        if let Err(why) = self.prepare(view, (key, machine), job, now, changes) {
            return JobAnswer::nothing(why);
        }
        let mut job = match job.phase() {
            Phase::Waiting => self.taken(view, job, now, changes),
            Phase::AtWork | Phase::Starting | Phase::Over => self.gone_on(view, job, changes),
        };
        if job.order.join {
            job.token = Some(self.join.token.id.clone());
            changes.write(job.clone());
        }
        self.told(view, &job, machine, now)
    }

    /// Makes ready what the agent needs for `job`; else what its machine's screen is to say.
    fn prepare(
        &self,
        view: &View,
        (key, machine): (&EnrolledKey, &Machine),
        job: &Deployment,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<(), String> {
        if job.phase() == Phase::Starting {
            let title = job.title();
            return Err(format!(
                "{title} is written; the machine restarts into its disk"
            ));
        }
        let free = may_go_on(view, machine, job, now);
        if let Err(hold) = free.and_then(|()| queue::may_have(view, job, key)) {
            wait_for_a_person(job, changes);
            return Err(format!("deployment {}: {hold}", job.id));
        }
        if let Some(reason) = cannot(view, job) {
            let touched = job.state > State::Capturing;
            fail(view, job, &reason, touched, now, changes);
            return Err(format!("deployment {}: {reason}", job.id));
        }
        if job.order.join {
            token_for(view, job, &self.join.token, now, changes)
                .map_err(|error| format!("deployment {}: {error}", job.id))?;
        }
        Ok(())
    }

    /// The deployment as the agent reads it. What was done already is not asked for again.
    fn told(&self, view: &View, job: &Deployment, machine: &Machine, now: Timestamp) -> JobAnswer {
        let order = &job.order;
        let image = order.image.as_ref();
        let ticket = image.map(|image| Ticket {
            image: image.manifest,
            machine: machine.id.to_string(),
            until_unix_s: (now + TICKET_LIVES).as_second(),
        });
        let save = order
            .save_current
            .as_ref()
            .filter(|_| job.captured.is_none());
        let mut provision = provision::files(view, job, machine, &self.base);
        provision.extend(order.join.then(|| self.join.file()));
        let job = Job {
            id: job.id.0,
            disk: order.disk.clone(),
            partition: order.partition.clone(),
            capture: save.map(|save| Capture {
                name: save.name.to_string(),
                chunk_size: ChunkSize::default().get(),
                used_blocks_only: save.used_blocks_only,
            }),
            erase: order.erase,
            image: image.map(|image| ImageRef {
                name: image.id.to_string(),
                manifest: image.manifest.to_string(),
                size: image.size,
                sector_size: image.sector_size,
                ticket: String::new(),
            }),
            grow: order.grow,
            provision,
            after: order.after,
        };
        JobAnswer::Do {
            job: Box::new(job),
            ticket,
        }
    }
}

/// Whether the machine's disk may be written now: what has begun goes on under fewer conditions.
fn may_go_on(
    view: &View,
    machine: &Machine,
    job: &Deployment,
    now: Timestamp,
) -> Result<(), queue::Hold> {
    match job.phase() {
        Phase::Waiting if !queue::goes_on(view, job) => queue::may_begin(view, machine, job, now),
        Phase::Waiting | Phase::AtWork | Phase::Starting | Phase::Over => {
            queue::may_be_written(view, machine)
        }
    }
}

/// Why this job, or what is left of its setup, is not for the agent that asks: it would ignore what it does not know, and
/// write the whole disk.
fn cannot(view: &View, job: &Deployment) -> Option<String> {
    let member = view.member(&job.machine)?;
    let rest = queue::run_of(view, job)
        .into_iter()
        .map(AsRef::as_ref)
        .filter(|part| part.is_open());
    let mut needs = std::iter::once(job)
        .chain(rest)
        .flat_map(|d| d.order.needs());
    let lacking = needs.find(|need| !member.abilities.contains(need))?;
    Some(format!(
        "its management OS is too old: agent {} cannot {}; build or import a newer one (`enforcer management-os`), then order it again",
        member.agent,
        lacking.words()
    ))
}

/// Boots are counted against machines that loop; one whose agent speaks and waits for a person does not.
fn wait_for_a_person(job: &Deployment, changes: &mut Changes) {
    if job.boots > 1 {
        let mut next = job.clone();
        next.boots = 1;
        changes.write(next);
    }
}

/// The key and machine of a link, when its agent may have jobs: the management OS's, and no other.
pub(super) fn asker<'v>(
    view: &'v View,
    serial: &Serial,
) -> Result<(&'v EnrolledKey, &'v Machine), Refusal> {
    let no = |text: &str| Refusal::new(RefusalCode::NotAllowed, text);
    let key = view.key(serial).filter(|k| k.is_live());
    let key = key.ok_or_else(|| no("this key does not count any more"))?;
    let machine = view
        .machine(&key.machine)
        .ok_or_else(|| no("no such machine"))?;
    let member = view.member(&machine.id).filter(|m| m.serial == *serial);
    let in_management = member.is_some_and(|m| m.habitat == Habitat::ManagementOs);
    if key.kind != KeyKind::Boot || !in_management {
        return Err(no("jobs are for the management OS"));
    }
    Ok((key, machine))
}
