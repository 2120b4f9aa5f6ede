//! Deployments over the real wire: an agent is given a job, fetches with its ticket, saves a disk, says how it goes; and what
//! it may not have.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "mesh/agent.rs"]
#[expect(dead_code, reason = "shared with the tests of the mesh")]
mod agent;
mod site;

use std::{net::SocketAddr, sync::Arc};

use agent::{Agent, PATIENCE, Served};
use bytes::Bytes;
use enforcer::{
    ca::Ca,
    images::{Images, Limits},
    mesh::{Bound, Mesh, MeshConfig},
    metrics::Metrics,
    state::{
        deployment::{DeploymentId, Save, State},
        image::{ImageName, Origin},
        ops::{CancelDeployment, CreateDeployment, MachineRef, OrderSpec, SaveVersion},
        policy::{Discovery, MeshPolicy, Policy},
        trust::Digest,
    },
};
use image::{
    Builder, ChunkId, ChunkSize, Manifest,
    parcel::{Form, HEAD_BYTES, Head},
};
use ipxe::MacAddr;
use ipxe_net::{BootAuthority as _, BootNote};
use mesh_net::{AgentEndpoint, Body, CallError, EnrolProof};
use mesh_proto::message::{
    RefusalCode, Secret,
    job::{Counts, DiskSeen, Job, JobEnd, JobProgress, Outcome, Step},
    link::{ControllerReply, Fetch, FromAgent, Habitat, ToAgent, Want},
};
use site::{Site, management};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const MIB: usize = 1 << 20;

/// A site with a mesh that keeps images.
struct Room {
    site: Site,
    mesh: Mesh,
    images: Images,
    links: SocketAddr,
    _tasks: JoinSet<()>,
}

fn mac(n: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 0, n])
}

/// Three chunks: data, a hole, data.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 2 * MIB + 512];
    disk[..MIB].fill(7);
    disk[2 * MIB..].fill(9);
    disk
}

/// A disk as agents cut it.
fn cut(disk: &[u8]) -> (Manifest, Vec<(ChunkId, Vec<u8>)>) {
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
    async fn start() -> Self {
        let site = Site::new(Policy {
            discovery: Discovery::Registered,
            management: vec![management()],
            ..Policy::default()
        });
        let ca = Ca::open(site.state.path(), "home").unwrap();
        let ca_sha256 = Digest(ca.sha256());
        let config = MeshConfig {
            state: site.state.path().to_owned(),
            listen: [127, 0, 0, 1].into(),
            port: 0,
            gossip_port: 0,
        };
        let images = Images::open(site.state.path(), Limits::default(), site.store.clone());
        let images = images.unwrap();
        let bound = Bound::bind(&config, ca, &site.store).unwrap();
        let bound = bound.with_images(images.clone(), "http://192.0.2.1:4880");
        let links = bound.link_addr();
        let mut tasks = JoinSet::new();
        let desk = Arc::clone(&site.desk);
        let known_as = Arc::new(move |ip| desk.station_at(ip));
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let mesh = bound.start(&site.store, metrics, known_as, &mut tasks, &stop);
        let policy = MeshPolicy {
            site: "home".to_owned(),
            ca_sha256,
            port: links.port(),
        };
        site.policy(|p| p.mesh = Some(policy)).await;
        Self {
            site,
            mesh,
            images,
            links,
            _tasks: tasks,
        }
    }

    /// A machine that is accepted and runs the management OS.
    async fn machine(&self, n: u8) -> Served {
        self.site.register(mac(n), &format!("web{n}")).await;
        let ip = [127, 0, 0, 1].into();
        let asked = BootNote::AddressRequested { mac: mac(n), ip };
        self.site.desk.note(asked);
        let script = self.site.script(mac(n), &format!("session{n}")).await;
        let (_, rest) = script.split_once("enforcer.secret=").unwrap();
        let secret = rest.chars().take_while(char::is_ascii_hexdigit);
        let now = self.site.store.now().as_second();
        let here = "127.0.0.1:0".parse().unwrap();
        let endpoint = AgentEndpoint::bind(here, Arc::new(move || now)).unwrap();
        let mut agent = Agent::on(endpoint, self.links, &mac(n).to_string(), &format!("S{n}"));
        agent.habitat = Habitat::ManagementOs;
        let disk = serde_json::json!({"name": "vda", "bytes": 1 << 30, "logical_sector_bytes": 512,
            "physical_sector_bytes": 512, "rotational": false, "removable": false, "serial": format!("D{n}")});
        agent.facts.disks = vec![serde_json::from_value(disk).unwrap()];
        agent.boot_id = format!("{n:032x}");
        let proof = EnrolProof::Boot {
            mac: mac(n).to_string(),
            secret: Secret::new(secret.collect::<String>()),
        };
        agent.enrol(proof, |_| {}).await.unwrap();
        agent.connect().await.unwrap()
    }

    /// `debian@1`, uploaded.
    async fn upload(&self) -> Manifest {
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

    async fn deploy(&self, machine: &str, order: OrderSpec) -> DeploymentId {
        let create = CreateDeployment {
            machine: MachineRef(machine.to_owned()),
            order,
            by: "test".to_owned(),
            key: None,
            nonce: enforcer::state::activation::Nonce::from_random(rand::random()),
        };
        let created = self.site.apply(create).await.unwrap();
        self.mesh.nudge(&created.deployment.machine);
        created.deployment.id
    }

    fn state(&self, id: DeploymentId) -> State {
        self.site.view().deployment(id).unwrap().state
    }
}

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

fn write_debian() -> OrderSpec {
    OrderSpec {
        image: Some("debian".parse().unwrap()),
        ..OrderSpec::default()
    }
}

/// Asks for a job until there is one: the nudge says when.
async fn job(served: &mut Served) -> Job {
    served
        .asked(|ask| matches!(ask, ToAgent::Jobs).then_some(()))
        .await;
    match served.link.call(&FromAgent::Job, PATIENCE).await.unwrap() {
        ControllerReply::Job { job: Some(job), .. } => *job,
        other => panic!("{other:?}"),
    }
}

async fn fetch(
    served: &Served,
    ticket: &str,
    want: Want,
) -> Result<(Option<u64>, Body), CallError> {
    let ticket = ticket.to_owned();
    let ask = FromAgent::Fetch(Fetch { ticket, want });
    served.link.fetch(&ask, PATIENCE).await
}

async fn all(body: &mut Body) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = body.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

/// The chunks in these bytes.
fn parcels(mut bytes: &[u8]) -> Vec<(ChunkId, Form, Vec<u8>)> {
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

async fn step(
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

async fn written(served: &Served, job: u64) -> ControllerReply {
    let outcome = Outcome::Written {
        disk: DiskSeen::default(),
        edits: Vec::new(),
        counts: Counts::default(),
    };
    let end = FromAgent::JobEnd(Box::new(JobEnd { job, outcome }));
    served.link.call(&end, PATIENCE).await.unwrap()
}

/// Sends a request with bytes; its answer.
async fn upload(
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

fn refused<T: std::fmt::Debug>(answer: Result<T, CallError>) -> RefusalCode {
    match answer {
        Err(CallError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_nudged_takes_its_job_fetches_the_image_and_ends_written() {
    let room = Room::start().await;
    let manifest = room.upload().await;
    let mut served = room.machine(1).await;
    let id = room.deploy("web1", write_debian()).await;
    let job = job(&mut served).await;
    let ticket = &job.image.as_ref().unwrap().ticket;
    assert_eq!((job.id, room.state(id)), (id.0, State::Served));

    let (len, mut body) = fetch(&served, ticket, Want::Manifest).await.unwrap();
    assert_eq!(len, Some(manifest.encode().len() as u64));
    assert_eq!(all(&mut body).await, manifest.encode());
    let ids: Vec<_> = manifest.data().filter_map(|piece| piece.id).collect();
    let texts: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let (_, mut body) = fetch(&served, ticket, Want::Chunks { ids: texts })
        .await
        .unwrap();
    let got = parcels(&all(&mut body).await);
    let (_, expected) = cut(&disk());
    assert_eq!(got.len(), 2);
    for ((id, _, plain), expected) in got.iter().zip(&expected) {
        assert!((*id, plain) == (expected.0, &expected.1), "{id}");
    }

    for (step_now, state) in [
        (Step::Writing, State::Writing),
        (Step::Verifying, State::Verifying),
    ] {
        step(&served, job.id, step_now, 500).await.unwrap();
        assert_eq!(room.state(id), state);
    }
    let progress = room.mesh.steps().of(id).unwrap().said;
    assert_eq!((progress.step, progress.done_bytes), (Step::Verifying, 500));
    assert_eq!(written(&served, job.id).await, ControllerReply::Ok);
    assert_eq!(room.state(id), State::Written);
    assert_eq!(room.mesh.steps().of(id), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_its_own_image_for_its_own_machine_only() {
    let room = Room::start().await;
    room.upload().await;
    let (mut web1, web2) = (room.machine(1).await, room.machine(2).await);
    room.deploy("web1", write_debian()).await;
    let ticket = job(&mut web1).await.image.unwrap().ticket;
    assert_eq!(
        refused(fetch(&web2, &ticket, Want::Manifest).await),
        RefusalCode::NotAllowed
    );
    let forged = ticket.replace('1', "2");
    assert_eq!(
        refused(fetch(&web1, &forged, Want::Manifest).await),
        RefusalCode::NotAllowed
    );
    let foreign = Want::Chunks {
        ids: vec![ChunkId::of(b"foreign").to_string()],
    };
    assert_eq!(
        refused(fetch(&web1, &ticket, foreign).await),
        RefusalCode::NotAllowed
    );
    let nonsense = Want::Chunks {
        ids: vec!["x".to_owned()],
    };
    assert_eq!(
        refused(fetch(&web1, &ticket, nonsense).await),
        RefusalCode::Protocol
    );
    assert!(fetch(&web1, &ticket, Want::Manifest).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_saved_before_it_is_written_and_its_chunks_are_sent_once() {
    let room = Room::start().await;
    room.upload().await;
    let mut served = room.machine(1).await;
    let save = Save {
        name: name("before"),
        used_blocks_only: false,
    };
    let order = OrderSpec {
        save_current: Some(save),
        ..write_debian()
    };
    let id = room.deploy("web1", order).await;
    let job = job(&mut served).await.id;
    let mut own = disk();
    own[..MIB].fill(3);
    let (manifest, chunks) = cut(&own);
    let ids = chunks.iter().map(|(id, _)| id.to_string()).collect();
    let have = FromAgent::Have { job, ids };
    let early = served.link.call(&have, PATIENCE).await;
    assert_eq!(
        refused(early),
        RefusalCode::NoJob,
        "it does not capture yet"
    );
    assert_eq!(
        refused(step(&served, job, Step::Writing, 0).await),
        RefusalCode::Protocol
    );
    step(&served, job, Step::Capturing, 0).await.unwrap();
    // The last chunk is debian's, too.
    let missing = served.link.call(&have, PATIENCE).await.unwrap();
    assert_eq!(missing, ControllerReply::Missing { missing: vec![0] });

    let save = FromAgent::Save {
        job,
        len: manifest.encode().len() as u64,
    };
    let bytes = manifest.encode();
    let early = upload(&served, &save, &[&bytes]).await;
    assert_eq!(refused(early), RefusalCode::Failed, "a chunk lacks");
    let put = FromAgent::Put { job, parcels: 1 };
    let (chunk, plain) = &chunks[0];
    let head = Head {
        id: *chunk,
        form: Form::Raw,
        len: MIB as u32,
    };
    let taken = upload(&served, &put, &[&head.encode(), plain]).await;
    assert_eq!(taken, Ok(ControllerReply::Ok));
    for _ in 0..2 {
        let saved = upload(&served, &save, &[&bytes]).await;
        let version = "before@1".to_owned();
        assert_eq!(saved, Ok(ControllerReply::Saved { version }));
    }
    room.images.collect().await;
    let view = room.site.view();
    let image = view.image(&name("before")).unwrap();
    assert!(matches!(&image.versions[0].origin, Origin::Capture { job, .. } if *job == id));
    step(&served, job, Step::Writing, 0).await.unwrap();
    assert_eq!(room.state(id), State::Writing);
    // What it saves is over: nobody puts anything into the store any more.
    assert_eq!(
        refused(served.link.call(&have, PATIENCE).await),
        RefusalCode::NoJob
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_is_refused_at_the_agents_next_word() {
    let room = Room::start().await;
    room.upload().await;
    let mut served = room.machine(1).await;
    let id = room.deploy("web1", write_debian()).await;
    let job = job(&mut served).await.id;
    step(&served, job, Step::Writing, 10).await.unwrap();
    let by = "test".to_owned();
    room.site.apply(CancelDeployment { id, by }).await.unwrap();
    assert_eq!(
        refused(step(&served, job, Step::Writing, 20).await),
        RefusalCode::NoJob
    );
    let again = served.link.call(&FromAgent::Job, PATIENCE).await.unwrap();
    assert!(
        matches!(again, ControllerReply::Job { job: None, .. }),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_job_is_given_again_and_another_machine_never_hears_of_it() {
    let room = Room::start().await;
    room.upload().await;
    let (mut web1, web2) = (room.machine(1).await, room.machine(2).await);
    let id = room.deploy("web1", write_debian()).await;
    let first = job(&mut web1).await;
    step(&web1, first.id, Step::Writing, 10).await.unwrap();
    let ControllerReply::Job {
        job: Some(again), ..
    } = web1.link.call(&FromAgent::Job, PATIENCE).await.unwrap()
    else {
        panic!("the job is lost");
    };
    assert_eq!((again.id, room.state(id)), (first.id, State::Writing));
    let other = web2.link.call(&FromAgent::Job, PATIENCE).await.unwrap();
    assert!(
        matches!(other, ControllerReply::Job { job: None, .. }),
        "{other:?}"
    );
    assert_eq!(
        refused(step(&web2, first.id, Step::Writing, 20).await),
        RefusalCode::NoJob
    );
}
