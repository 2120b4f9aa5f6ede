//! A deployment as the API shows it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::order::{DiskRuleDoc, edit_in_words};
use crate::{
    http::{
        Api,
        api::words::{After, DeploymentState, Erase, Step},
    },
    mesh::Progress,
    state::{
        Timestamp, View,
        deployment::{Deployment, Part, Written, words::next_step},
    },
};

/// A job for a machine's disk. Files for the new system may be secrets and are not shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Deployment)]
pub struct DeploymentDoc {
    /// Its number, and the stable id of what is told about it; later ones are larger.
    pub id: u64,
    /// The machine's id.
    pub machine: String,
    /// The machine's name.
    pub machine_name: String,
    /// What it does, in few words: `debian@3`, `erase`.
    pub title: String,
    /// The version that is written.
    pub image: Option<String>,
    /// Where it stands.
    pub state: DeploymentState,
    /// Whether its end is still to come.
    pub open: bool,
    /// Since when it stands there.
    pub since: Timestamp,
    /// Why, where there is more to say.
    pub reason: Option<String>,
    /// What comes next, or what it waits for; empty when it is over.
    pub next: String,
    /// How far its step is, while its agent works.
    pub progress: Option<ProgressDoc>,
    /// The disk that is meant.
    pub disk: DiskRuleDoc,
    /// The partition of it, where not the whole disk is meant.
    #[serde(default)]
    pub partition: Option<String>,
    /// As a version of which image the disk is saved first.
    pub save_current: Option<String>,
    /// How the disk is emptied.
    pub erase: Option<Erase>,
    /// What the machine does when all is written.
    pub after: After,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub created: Timestamp,
    /// When somebody has to have spoken.
    pub deadline: Option<Timestamp>,
    /// Starts of the machine to come online.
    pub tries: u32,
    /// What the disk was saved as.
    pub captured: Option<String>,
    /// What was written.
    pub written: Option<WrittenDoc>,
    /// The rollout it belongs to.
    pub rollout: Option<u64>,
    /// The setup it belongs to.
    pub setup: Option<String>,
    /// The states it had.
    pub history: Vec<MomentDoc>,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Progress)]
pub struct ProgressDoc {
    /// Which.
    pub step: Step,
    /// Bytes of the disk that are done.
    pub done_bytes: u64,
    /// Bytes of the disk that it is about.
    pub total_bytes: u64,
    /// Bytes that went over the wire for it.
    pub wire_bytes: u64,
    /// Bytes of the disk a second, lately.
    pub bytes_per_s: u64,
    /// Seconds until it is done, if it goes on so.
    pub eta_s: Option<u64>,
}

/// What was found when all was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Written)]
pub struct WrittenDoc {
    /// The disk's name in that boot.
    pub disk: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its bytes.
    pub disk_bytes: u64,
    /// Bytes that were right on the disk already.
    pub kept_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Bytes that went over the wire.
    pub wire_bytes: u64,
    /// Bytes read back from the medium and found right.
    pub verified_bytes: u64,
    /// What was changed on top of the image, in words.
    pub edits: Vec<String>,
}

/// A state and when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Moment)]
pub struct MomentDoc {
    /// Which.
    pub state: DeploymentState,
    /// When.
    pub at: Timestamp,
}

impl DeploymentDoc {
    pub(in crate::http::api) fn of(job: &Deployment, view: &View, api: &Api) -> Self {
        let order = &job.order;
        let progress = api.steps.of(job.id);
        Self {
            id: job.id.0,
            machine: job.machine.to_string(),
            machine_name: view.machine_name(&job.machine),
            title: job.title(),
            image: order.image.as_ref().map(|i| i.id.to_string()),
            state: job.state.into(),
            open: job.is_open(),
            since: job.since,
            reason: job.reason.clone(),
            next: next_step(view, job, api.store.now()),
            progress: progress
                .as_ref()
                .map(ProgressDoc::of)
                .filter(|_| job.is_active()),
            disk: (&order.disk).into(),
            partition: order.partition.as_ref().map(ToString::to_string),
            save_current: order.save_current.as_ref().map(|s| s.name.to_string()),
            erase: order.erase.map(Into::into),
            after: order.after.into(),
            by: job.by.clone(),
            created: job.created,
            deadline: job.deadline,
            tries: job.tries,
            captured: job.captured.as_ref().map(ToString::to_string),
            written: job.written.as_ref().map(WrittenDoc::of),
            rollout: job.rollout().map(|r| r.0),
            setup: match &job.part {
                Some(Part::Setup { setup, .. }) => Some(setup.to_string()),
                Some(Part::Rollout { .. } | Part::RollBack { .. }) | None => None,
            },
            history: (job.history.iter())
                .map(|m| MomentDoc {
                    state: m.state.into(),
                    at: m.at,
                })
                .collect(),
        }
    }
}

impl ProgressDoc {
    fn of(progress: &Progress) -> Self {
        let said = &progress.said;
        Self {
            step: said.step.into(),
            done_bytes: said.done_bytes,
            total_bytes: said.total_bytes,
            wire_bytes: said.wire_bytes,
            bytes_per_s: progress.bytes_per_s,
            eta_s: progress.eta_s(),
        }
    }
}

impl WrittenDoc {
    fn of(written: &Written) -> Self {
        let (disk, counts) = (&written.disk, &written.counts);
        Self {
            disk: disk.name.clone(),
            serial: disk.serial.clone(),
            disk_bytes: disk.bytes,
            kept_bytes: counts.kept_bytes,
            written_bytes: counts.written_bytes,
            wire_bytes: counts.wire_bytes,
            verified_bytes: counts.verified_bytes,
            edits: written.edits.iter().map(edit_in_words).collect(),
        }
    }
}
