//! The controller: its real parts on a folder, with an executor of its own, so that it can be killed and started again.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use enforcer::boot::Desk;
use enforcer::ca::Ca;
use enforcer::config::Rechain;
use enforcer::firmware::FirmwareSet;
use enforcer::images::{Images, Limits};
use enforcer::mesh::{Bound, Mesh, MeshConfig};
use enforcer::metrics::Metrics;
use enforcer::notify::{Courier, Notifier};
use enforcer::state::activation::Nonce;
use enforcer::state::deployment::{Deployment, DeploymentId, State};
use enforcer::state::event::Recorded;
use enforcer::state::machine::MachineId;
use enforcer::state::notify::Retry;
use enforcer::state::ops::{CreateDeployment, MachineRef, OrderSpec, RegisterMachine, SaveVersion};
use enforcer::state::policy::{Discovery, ManagementOs, MeshPolicy, Policy};
use enforcer::state::trust::Digest;
use enforcer::state::{Transition, View};
use enforcer::store::backend::Visitor;
use enforcer::store::{Backend, BackendError, RawWrite, Redb, Store, SystemClock};
use futures_util::stream;
use image::ChunkId;
use image_store::IngestOptions;
use ipxe::{Arch, MacAddr};
use ipxe_net::BootHttp;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What never comes fails a test instead of hanging it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Where the management OS is served.
const MANAGEMENT: &str = "management-os/amd64-generic";

/// The database of a controller that can be killed: from then on nothing reaches it.
#[derive(Clone)]
struct Mortal(Arc<Mutex<Option<Redb>>>);

impl Mortal {
    fn alive<T>(
        &self,
        work: impl FnOnce(&mut Redb) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        match &mut *self.0.lock().unwrap() {
            Some(redb) => work(redb),
            None => Err(BackendError::from_io(
                "a database",
                io::Error::other("killed"),
            )),
        }
    }
}

impl Backend for Mortal {
    fn load(&mut self, visit: &mut Visitor<'_>) -> Result<(), BackendError> {
        self.alive(|redb| redb.load(visit))
    }

    fn commit(&mut self, writes: &[RawWrite]) -> Result<(), BackendError> {
        self.alive(|redb| redb.commit(writes))
    }
}

/// A controller that runs.
struct Running {
    runtime: Runtime,
    database: Mortal,
    store: Store,
    desk: Arc<Desk>,
    images: Images,
    mesh: Mesh,
    _tasks: JoinSet<()>,
}

/// See the file's head.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    running: Option<Running>,
    pub(crate) http: SocketAddr,
    links: SocketAddr,
    limits: Limits,
}

impl Site {
    pub(crate) fn new() -> Self {
        // In memory where there is one: what a slow disk does to thousands of syncs is not what is tested.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        let management = folder.path().join("assets").join(MANAGEMENT);
        std::fs::create_dir_all(&management).unwrap();
        for file in ["vmlinuz", "initrd.img"] {
            std::fs::write(management.join(file), file).unwrap();
        }
        let any = "127.0.0.1:0".parse().unwrap();
        let mut site = Self {
            folder,
            running: None,
            http: any,
            links: any,
            limits: Limits::default(),
        };
        site.start();
        site
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts, on the ports of the time before.
    pub(crate) fn start(&mut self) {
        let running = Running::start(self.folder.path(), self.http, self.links, self.limits);
        let (running, http, links) = running;
        (self.running, self.http, self.links) = (Some(running), http, links);
    }

    /// As `kill -9` does: nothing is said, nothing is finished.
    pub(crate) fn kill(&mut self) {
        let dead = self.running.take().unwrap();
        drop(dead.database.0.lock().unwrap().take());
        drop((dead._tasks, dead.store, dead.desk, dead.images, dead.mesh));
        // What a thread of the old process was in the middle of must not meet the new one.
        dead.runtime.shutdown_timeout(PATIENCE);
    }

    /// Starts again with other limits for images.
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.kill();
        self.limits = limits;
        self.start();
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.running().store
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.running().desk
    }

    pub(crate) fn images(&self) -> &Images {
        &self.running().images
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.running().mesh
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.store().view()
    }

    /// In the controller's executor.
    pub(crate) fn does<T>(&self, work: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(PATIENCE, work).await };
        self.running().runtime.block_on(bounded).unwrap()
    }

    pub(crate) fn apply<T: Transition>(&self, transition: T) -> T::Outcome {
        self.does(self.store().apply(transition)).unwrap()
    }

    /// Waits until the view shows this.
    pub(crate) fn until<T>(&self, wanted: impl Fn(&View) -> Option<T>) -> T {
        let mut newest = self.store().subscribe();
        self.does(async {
            loop {
                if let Some(found) = wanted(&self.store().view()) {
                    return found;
                }
                newest.changed().await.unwrap();
            }
        })
    }

    pub(crate) fn register(&self, mac: MacAddr, name: &str) -> MachineId {
        let register = RegisterMachine {
            mac,
            name: Some(name.parse().unwrap()),
            fresh_id: MachineId::from_random(rand::random()),
        };
        self.apply(register).unwrap().id
    }

    /// Takes bytes in as the next version of an image.
    pub(crate) fn upload(&self, name: &str, bytes: &[u8], options: IngestOptions) -> ChunkId {
        let pieces = bytes
            .chunks(100_000)
            .map(|p| Ok::<_, io::Error>(Bytes::copy_from_slice(p)));
        let taken = self.images().upload(stream::iter(pieces), options);
        let taken = self.does(taken).unwrap();
        let save = SaveVersion {
            name: name.parse().unwrap(),
            content: taken.content.clone(),
            by: "ann".to_owned(),
            upload: None,
            owner: None,
            visibility: None,
            note: None,
        };
        self.apply(save).unwrap();
        taken.content.manifest
    }

    pub(crate) fn create(&self, machine: &str, order: OrderSpec) -> CreateDeployment {
        CreateDeployment {
            machine: MachineRef(machine.to_owned()),
            order,
            by: "ann".to_owned(),
            nonce: Nonce::from_random(rand::random()),
        }
    }

    pub(crate) fn deploy(&self, machine: &str, order: OrderSpec) -> Deployment {
        let created = self.apply(self.create(machine, order)).unwrap();
        let _in_its_executor = self.running().runtime.enter();
        self.mesh().nudge(&created.deployment.machine);
        created.deployment
    }

    pub(crate) fn job(&self, id: DeploymentId) -> Arc<Deployment> {
        Arc::clone(self.view().deployment(id).unwrap())
    }

    pub(crate) fn state(&self, id: DeploymentId) -> State {
        self.job(id).state
    }

    /// Everything that was ever told, also what only was noted.
    pub(crate) fn events(&self) -> Vec<Recorded> {
        self.does(self.store().flush()).unwrap();
        self.view().events_after(0).cloned().collect()
    }

    /// The bytes of a version, as a download gives them.
    pub(crate) fn content(&self, manifest: ChunkId) -> Vec<u8> {
        use futures_util::StreamExt as _;
        self.does(async {
            let plain = self.images().plain(manifest, None).await.unwrap();
            let mut parts = std::pin::pin!(plain.parts);
            let mut all = Vec::new();
            while let Some(part) = parts.next().await {
                all.extend_from_slice(&part.unwrap());
            }
            all
        })
    }

    /// Chunks in the store, when what nobody needs is gone.
    pub(crate) fn chunks(&self) -> u64 {
        self.does(self.images().collect());
        self.does(self.images().usage()).unwrap().chunks
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

impl Running {
    fn start(
        folder: &Path,
        http: SocketAddr,
        links: SocketAddr,
        limits: Limits,
    ) -> (Self, SocketAddr, SocketAddr) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let redb = Redb::open(folder.join("enforcer.redb")).unwrap();
        let database = Mortal(Arc::new(Mutex::new(Some(redb))));
        let store = Store::open(database.clone(), policy(), SystemClock).unwrap();
        let metrics = Arc::new(Metrics::default());
        let desk = Arc::new(Desk::new(
            store.clone(),
            FirmwareSet::default(),
            Arc::clone(&metrics),
            folder.join("assets"),
            Rechain::Never,
        ));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let listener = BootHttp::bind(http).unwrap();
        let http = listener.local_addr().unwrap();
        tasks.spawn(listener.run(Arc::clone(&desk), stop.clone()));
        let ca = Ca::open(folder, "home").unwrap();
        let ca_sha256 = Digest(ca.sha256());
        let config = MeshConfig {
            state: folder.to_owned(),
            listen: [127, 0, 0, 1].into(),
            port: links.port(),
            gossip_port: 0,
        };
        let images = Images::open(folder, limits, store.clone()).unwrap();
        let bound = Bound::bind(&config, ca, &store).unwrap();
        let bound = bound.with_images(images.clone(), &format!("http://{http}"));
        let links = bound.link_addr();
        let known = Arc::clone(&desk);
        let known_as = Arc::new(move |ip| known.station_at(ip));
        let mesh = MeshPolicy {
            site: "home".to_owned(),
            ca_sha256,
            port: links.port(),
        };
        let policy = Policy {
            mesh: Some(mesh),
            ..policy()
        };
        runtime.block_on(store.set_policy(policy)).unwrap();
        let mesh = bound.start(&store, Arc::clone(&metrics), known_as, &mut tasks, &stop);
        let notifier = Notifier::new(store.clone(), Courier::new(None), metrics, Retry::default());
        tasks.spawn(notifier.run(stop));
        drop(entered);
        let running = Self {
            runtime,
            database,
            store,
            desk,
            images,
            mesh,
            _tasks: tasks,
        };
        (running, http, links)
    }
}

fn policy() -> Policy {
    Policy {
        discovery: Discovery::Registered,
        management: vec![ManagementOs {
            arch: Arch::X64,
            flavour: "generic".to_owned(),
            version: "6.1".to_owned(),
            path: format!("/assets/{MANAGEMENT}"),
        }],
        ..Policy::default()
    }
}
