//! A site with a mesh that keeps images, and what agents ask of it.

use std::ops::Deref;

use crate::{
    agent::{PATIENCE, Served},
    meshed::{self, Meshed, by},
};
use bytes::Bytes;
use enforcer::{
    images::{Images, Limits},
    mesh::Bound,
    state::{
        deployment::{DeploymentId, State},
        image::ImageName,
        ops::{CreateDeployment, MachineRef, OrderSpec, SaveVersion},
    },
};
use image::{
    Builder, ChunkId, ChunkSize, Manifest,
    parcel::{Form, HEAD_BYTES, Head},
};
use ipxe::MacAddr;
use mesh_net::{Body, CallError};
use mesh_proto::message::{
    RefusalCode,
    job::{Counts, DiskSeen, Job, JobEnd, JobProgress, Outcome, Step},
    link::{ControllerReply, Fetch, FromAgent, ToAgent, Want},
};

pub(crate) const MIB: usize = 1 << 20;

/// A site with a mesh that keeps images.
pub(crate) struct Room {
    meshed: Meshed,
    pub(crate) images: Images,
}

impl Deref for Room {
    type Target = Meshed;

    fn deref(&self) -> &Meshed {
        &self.meshed
    }
}

pub(crate) fn mac(n: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 0, n])
}

/// Three chunks: data, a hole, data.
pub(crate) fn disk() -> Vec<u8> {
    let mut disk = vec![0; 2 * MIB + 512];
    disk[..MIB].fill(7);
    disk[2 * MIB..].fill(9);
    disk
}

/// A disk as agents cut it.
pub(crate) fn cut(disk: &[u8]) -> (Manifest, Vec<(ChunkId, Vec<u8>)>) {
    let size = ChunkSize::default();
    let mut builder = Builder::new(512, size).unwrap();
    let mut chunks = Vec::new();
    for piece in disk.chunks(size.get() as usize) {
        let id = piece.iter().any(|b| *b != 0).then(|| ChunkId::of(piece));
        builder.push(id);
        chunks.extend(id.map(|id| (id, piece.to_vec())));
    }
    (builder.finish(disk.len() as u64).unwrap(), chunks)
}

impl Room {
    pub(crate) async fn start() -> Self {
        let site = meshed::site();
        let images = Images::open(site.state.path(), Limits::default(), site.store.clone());
        let images = images.unwrap();
        let kept = images.clone();
        let with_images = |bound: Bound| bound.with_images(kept, "http://192.0.2.1:4880");
        Self {
            meshed: Meshed::of(site, with_images).await,
            images,
        }
    }

    /// A machine that is accepted and runs the management OS.
    pub(crate) async fn machine(&self, n: u8) -> Served {
        self.site.register(mac(n), &format!("web{n}")).await;
        let secret = self.boot(mac(n), &format!("session{n}")).await;
        let (serial, boot_id) = (format!("S{n}"), format!("{n:032x}"));
        let mut agent = self.agent(mac(n), "127.0.0.1:0", &serial, &boot_id);
        let disk = serde_json::json!({"name": "vda", "bytes": 1 << 30, "logical_sector_bytes": 512,
            "physical_sector_bytes": 512, "rotational": false, "removable": false, "serial": format!("D{n}")});
        agent.facts.disks = vec![serde_json::from_value(disk).unwrap()];
        agent.enrol(by(mac(n), &secret), |_| {}).await.unwrap();
        agent.connect().await.unwrap()
    }

    /// `debian@1`, uploaded.
    pub(crate) async fn upload(&self) -> Manifest {
        let bytes = disk();
        let pieces = futures_util::stream::iter(
            bytes
                .chunks(100_000)
                .map(|p| Ok::<_, std::io::Error>(Bytes::copy_from_slice(p))),
        );
        let taken = self
            .images
            .upload(pieces, image_store::IngestOptions::default())
            .await;
        let taken = taken.unwrap();
        let save = SaveVersion {
            name: name("debian"),
            content: taken.content.clone(),
            by: "test".to_owned(),
            upload: None,
            owner: None,
            visibility: None,
            note: None,
        };
        self.site.apply(save).await.unwrap();
        let (manifest, _) = cut(&bytes);
        assert_eq!(manifest.digest(), taken.content.manifest);
        manifest
    }

    pub(crate) async fn deploy(&self, machine: &str, order: OrderSpec) -> DeploymentId {
        let create = CreateDeployment {
            machine: MachineRef(machine.to_owned()),
            order,
            by: "test".to_owned(),
            nonce: enforcer::state::activation::Nonce::from_random(rand::random()),
        };
        let created = self.site.apply(create).await.unwrap();
        self.mesh.nudge(&created.deployment.machine);
        created.deployment.id
    }

    pub(crate) fn state(&self, id: DeploymentId) -> State {
        self.site.view().deployment(id).unwrap().state
    }
}

pub(crate) fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

pub(crate) fn write_debian() -> OrderSpec {
    OrderSpec {
        image: Some("debian".parse().unwrap()),
        ..OrderSpec::default()
    }
}

/// What an agent hears that asks when it is told to.
pub(crate) async fn asks(served: &mut Served) -> ControllerReply {
    served
        .asked(|ask| matches!(ask, ToAgent::Jobs).then_some(()))
        .await;
    served.link.call(&FromAgent::Job, PATIENCE).await.unwrap()
}

/// The job that it is told of.
pub(crate) async fn job(served: &mut Served) -> Job {
    match asks(served).await {
        ControllerReply::Job { job: Some(job), .. } => *job,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn fetch(
    served: &Served,
    ticket: &str,
    want: Want,
) -> Result<(Option<u64>, Body), CallError> {
    let ticket = ticket.to_owned();
    let ask = FromAgent::Fetch(Fetch { ticket, want });
    served.link.fetch(&ask, PATIENCE).await
}

pub(crate) async fn all(body: &mut Body) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = body.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

/// The chunks in these bytes.
pub(crate) fn parcels(mut bytes: &[u8]) -> Vec<(ChunkId, Form, Vec<u8>)> {
    let mut parcels = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let head = Head::parse(head).unwrap();
        let (content, rest) = rest.split_at(head.len as usize);
        let plain = match head.form {
            Form::Zstd => zstd::bulk::decompress(content, MIB).unwrap(),
            Form::Raw | Form::Missing => content.to_vec(),
        };
        parcels.push((head.id, head.form, plain));
        bytes = rest;
    }
    parcels
}

pub(crate) async fn step(
    served: &Served,
    job: u64,
    step: Step,
    done_bytes: u64,
) -> Result<ControllerReply, CallError> {
    let progress = JobProgress {
        job,
        step,
        done_bytes,
        total_bytes: 1000,
        wire_bytes: 0,
    };
    served
        .link
        .call(&FromAgent::JobProgress(progress), PATIENCE)
        .await
}

pub(crate) async fn written(served: &Served, job: u64) -> ControllerReply {
    let outcome = Outcome::Written {
        disk: DiskSeen::default(),
        edits: Vec::new(),
        counts: Counts::default(),
        kexec: None,
    };
    let end = FromAgent::JobEnd(Box::new(JobEnd { job, outcome }));
    served.link.call(&end, PATIENCE).await.unwrap()
}

/// Sends a request with bytes; its answer.
pub(crate) async fn upload(
    served: &Served,
    ask: &FromAgent,
    parts: &[&[u8]],
) -> Result<ControllerReply, CallError> {
    let mut upload = served.link.upload(ask, PATIENCE).await.unwrap();
    for part in parts {
        upload.write(Bytes::copy_from_slice(part)).await.unwrap();
    }
    upload.finish(PATIENCE).await
}

pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, CallError>) -> RefusalCode {
    match answer {
        Err(CallError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}
