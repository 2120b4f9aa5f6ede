//! The queue as stories: from the asking to the new system's word, and everything that must not happen on the way.

use ipxe::BootPlan;
use mesh_proto::message::job::{
    After, DiskProblem, DiskRule, DiskSeen, Job, JobEnd, JobProgress, Kexec, Outcome,
    ProvisionFile, Step,
};

use super::*;
use crate::state::{
    activation::Nonce,
    boot::next_boot_wanted,
    deployment::{
        Deployment, DeploymentId, Part, Phase, Probe, Save, State, Until, When, words::next_step,
    },
    image::{Content, ImageName, VersionId, Visibility},
    machine::Dispute,
    matching::Identity,
    record::Write,
};

mod asking;
mod holds;
mod images;
mod interleavings;
mod joins;
mod queue;
mod rollouts;
mod setups;
mod starts;
mod switching;

/// Bytes of the images in these tests: they fit on the example machines' disks.
const SIZE: u64 = 8 << 30;

pub(super) fn content(n: u8) -> Content {
    Content {
        manifest: ::image::ChunkId::of(&[n]),
        size: SIZE,
        sector_size: 512,
        chunk_size: 1 << 20,
        data_bytes: 1 << 30,
        new_bytes: 1 << 29,
    }
}

fn write_image(name: &str) -> OrderSpec {
    OrderSpec {
        image: Some(name.parse().unwrap()),
        ..OrderSpec::default()
    }
}

fn online(spec: OrderSpec) -> OrderSpec {
    OrderSpec {
        until: Some(Until::Online {
            within_s: 600,
            probe: None,
        }),
        ..spec
    }
}

fn saving(spec: OrderSpec, name: &str) -> OrderSpec {
    OrderSpec {
        save_current: Some(Save {
            name: name.parse().unwrap(),
            used_blocks_only: true,
        }),
        ..spec
    }
}

impl World {
    fn upload(&mut self, name: &str) -> VersionId {
        let n = u8::try_from(self.fresh() % 200).unwrap();
        let save = SaveVersion {
            name: name.parse().unwrap(),
            content: content(n),
            by: "ann".to_owned(),
            upload: None,
            owner: None,
            visibility: None,
            note: None,
        };
        self.does(&save).unwrap()
    }

    fn order(&mut self, n: u8, order: OrderSpec) -> CreateDeployment {
        CreateDeployment {
            machine: MachineRef(format!("web{n}")),
            order,
            by: "ann".to_owned(),
            nonce: Nonce::from_random(u128::from(self.fresh()) << 64),
        }
    }

    #[track_caller]
    fn deploys(&mut self, n: u8, order: OrderSpec) -> Deployment {
        let create = self.order(n, order);
        self.does(&create).unwrap().deployment
    }

    fn job(&self, id: DeploymentId) -> Deployment {
        Deployment::clone(self.view.deployment(id).unwrap())
    }

    fn claims(&mut self, key: &EnrolledKey) -> Result<JobAnswer, Refusal> {
        let (id, bits) = (self.fresh(), self.fresh());
        let id = TokenId::from_random(u32::try_from(id).unwrap());
        let claim = ClaimJob {
            serial: key.serial.clone(),
            base: "http://10.0.0.1:4880".to_owned(),
            join: FreshJoin {
                token: TokenText::fresh(id, bits.into(), &Digest::of(b"ca")),
                controllers: vec!["10.0.0.1:4848".parse().unwrap()],
            },
        };
        self.does(&claim)
    }

    #[track_caller]
    fn takes(&mut self, key: &EnrolledKey) -> Job {
        match self.claims(key).unwrap() {
            JobAnswer::Do { job, .. } => *job,
            JobAnswer::Nothing { text } => panic!("{text}"),
        }
    }

    #[track_caller]
    fn waits(&mut self, key: &EnrolledKey) -> String {
        match self.claims(key).unwrap() {
            JobAnswer::Do { job, .. } => panic!("{job:?}"),
            JobAnswer::Nothing { text } => text,
        }
    }

    fn steps(&mut self, key: &EnrolledKey, job: DeploymentId, step: Step) -> Result<(), Refusal> {
        self.does(&ReportStep {
            serial: key.serial.clone(),
            progress: JobProgress {
                job: job.0,
                step,
                done_bytes: 0,
                total_bytes: SIZE,
                wire_bytes: 0,
            },
        })
    }

    fn saves(&mut self, key: &EnrolledKey, job: DeploymentId) -> Result<VersionId, Refusal> {
        self.does(&SaveCapture {
            serial: key.serial.clone(),
            job: job.0,
            content: content(77),
        })
    }

    fn ends(
        &mut self,
        key: &EnrolledKey,
        job: DeploymentId,
        outcome: Outcome,
    ) -> Result<Deployment, Refusal> {
        self.does(&EndJob {
            serial: key.serial.clone(),
            end: JobEnd {
                job: job.0,
                outcome,
            },
        })
    }

    /// The agent writes the image, from the first step to the last.
    #[track_caller]
    fn writes(&mut self, key: &EnrolledKey, job: DeploymentId) -> Deployment {
        self.writes_and_says(key, job, written())
    }

    #[track_caller]
    fn writes_and_says(
        &mut self,
        key: &EnrolledKey,
        job: DeploymentId,
        end: Outcome,
    ) -> Deployment {
        for step in [
            Step::Fetching,
            Step::Writing,
            Step::Verifying,
            Step::Editing,
        ] {
            self.steps(key, job, step).unwrap();
        }
        self.ends(key, job, end).unwrap()
    }

    /// Machine `n` is accepted, and its agent waits in the management OS.
    fn idles(&mut self, n: u8) -> EnrolledKey {
        self.registered(n);
        self.joins(n)
    }

    /// A person compares the pairing code.
    fn proves(&mut self, n: u8) -> EnrolledKey {
        let machine = self.machine(n);
        let key = self.view.live_keys_of(&machine.id).next_back().unwrap();
        let code = key.code.clone().unwrap();
        self.accepts(&format!("web{n}"), Some(&code)).unwrap();
        let key = self.view.live_keys_of(&machine.id).next_back().unwrap();
        EnrolledKey::clone(key)
    }

    /// Machine `n` asks for its script: what it boots.
    fn plan(&mut self, n: u8) -> BootPlan {
        let session = format!("s{}", self.fresh());
        self.asks(card(n), &session, Some(ip(n))).plan
    }

    fn next(&self, id: DeploymentId) -> String {
        next_step(&self.view, &self.job(id), self.now)
    }

    fn puts(&mut self, record: Record) {
        self.view.absorb(&Write::Put(record));
    }
}

fn written() -> Outcome {
    written_and(None)
}

/// The agent says this of the wish to start the written kernel at once.
fn written_and(kexec: Option<Kexec>) -> Outcome {
    Outcome::Written {
        disk: DiskSeen {
            name: "sda".to_owned(),
            model: None,
            serial: Some("DISK-1".to_owned()),
            bytes: 1_000_000_000_000,
        },
        edits: Vec::new(),
        counts: Default::default(),
        kexec,
    }
}

fn failed(disk_touched: bool) -> Outcome {
    Outcome::Failed {
        reason: "the medium is \u{1b}[31mbad".to_owned(),
        disk_touched,
    }
}

fn is_management(plan: &BootPlan) -> bool {
    matches!(plan, BootPlan::Management(_))
}

fn is_disk(plan: &BootPlan) -> bool {
    matches!(plan, BootPlan::LocalDisk(_))
}
