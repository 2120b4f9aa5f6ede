//! A controller without sockets that need rights: the real store on a real disk, the real desk, the real boot HTTP on a
//! loopback port; and a machine that asks it as iPXE does, byte by byte when a story needs that.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use enforcer::{
    boot::Desk,
    config::Rechain,
    firmware::FirmwareSet,
    metrics::Metrics,
    state::{
        Timestamp, Transition,
        activation::{Activation, Kind, Nonce, Stage},
        config::{Asset, BootConfig, Evidence, Program},
        machine::MachineId,
        ops::{Activate, MachineRef, RegisterMachine, SetConfig},
        policy::Policy,
    },
    store::{ManualClock, Redb, Store},
};
use ipxe_net::BootHttp;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub(crate) const MAC: &str = "52:54:00:77:00:01";
pub(crate) const KERNEL: usize = 1_000_000;
pub(crate) const INITRD: usize = 300_000;
/// Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The controller; its folder and its clock outlive crashes.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) store: Store,
    pub(crate) at: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("assets/files");
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join(sum('a')), content(KERNEL)).unwrap();
        std::fs::write(files.join(sum('b')), content(INITRD)).unwrap();
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH + Duration::from_secs(1 << 30));
        let site = Self::start(folder, clock).await;
        let registered = site.apply(RegisterMachine {
            mac: MAC.parse().unwrap(),
            name: Some("web1".parse().unwrap()),
            fresh_id: MachineId::from_random(7),
        });
        registered.await.unwrap();
        site
    }

    async fn start(folder: TempDir, clock: ManualClock) -> Self {
        let backend = Redb::open(folder.path().join("enforcer.redb")).unwrap();
        let store = Store::open(backend, Policy::default(), clock.clone()).unwrap();
        let desk = Desk::new(
            store.clone(),
            FirmwareSet::default(),
            Arc::new(Metrics::default()),
            folder.path().join("assets"),
            Rechain::Never,
        );
        let http = BootHttp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (at, stop) = (http.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(http.run(Arc::new(desk), stop.clone()));
        Self {
            folder,
            clock,
            store,
            at,
            stop,
            task,
        }
    }

    /// Ends it, waits until no connection is left, and starts it on the same folder: what only memory knew is gone.
    pub(crate) async fn restart(self) -> Self {
        self.stop.cancel();
        self.task.await.unwrap();
        self.store.close().await;
        Self::start(self.folder, self.clock).await
    }

    pub(crate) async fn apply<T: Transition>(&self, transition: T) -> T::Outcome {
        self.store.apply(transition).await.unwrap()
    }

    /// Sets a config of kernel, initrd and preseed, and makes it due.
    pub(crate) async fn arm(&self, evidence: Evidence, kind: Kind) -> Activation {
        self.arm_until(evidence, kind, None).await
    }

    pub(crate) async fn arm_until(
        &self,
        evidence: Evidence,
        kind: Kind,
        until: Option<Timestamp>,
    ) -> Activation {
        self.apply(SetConfig(config(evidence))).await.unwrap();
        let activate = Activate {
            machine: MachineRef("web1".into()),
            config: "debian".parse().unwrap(),
            kind,
            until,
            nonce: Nonce::from_random(rand::random()),
        };
        self.apply(activate).await.unwrap()
    }

    /// The newest activation.
    pub(crate) fn activation(&self) -> Activation {
        let view = self.store.view();
        let newest = view.activations().next_back().unwrap();
        Activation::clone(newest)
    }

    pub(crate) fn stage(&self) -> Stage {
        self.activation().stage
    }

    /// Waits until the activation is at `stage`.
    pub(crate) async fn reaches(&self, stage: Stage) {
        let mut news = self.store.subscribe();
        let reached = async {
            while self.stage() != stage {
                news.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, reached).await;
        assert!(
            waited.is_ok(),
            "{stage:?} expected: {:?}",
            self.activation()
        );
    }

    /// How often an event of this kind was recorded.
    pub(crate) fn told(&self, kind: &str) -> usize {
        let view = self.store.view();
        view.events_after(0)
            .filter(|e| e.draft.kind == kind)
            .count()
    }

    /// The machine's script for the boot `session`.
    pub(crate) async fn script(&self, session: &str) -> String {
        let path = format!("/boot/52-54-00-77-00-01?session={session}&platform=pcbios");
        let answer = self.get(&path).await;
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// A whole file of the activation, fetched by the boot `session` as its script says.
    pub(crate) async fn file(&self, name: &str, session: &str) -> Answer {
        let nonce = self.activation().nonce;
        self.get(&format!("/boot/n/{nonce}/{name}?s={session}"))
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, head: &str) -> Answer {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        send(&mut stream, method, path, head).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Answer::parse(&bytes)
    }

    /// A connection that asked for a file and took nothing of it; it has little room for what it did not take.
    pub(crate) async fn stalled(&self, name: &str, session: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(self.at).await.unwrap();
        let path = format!("/boot/n/{}/{name}?s={session}", self.activation().nonce);
        send(&mut stream, "GET", &path, "").await;
        stream
    }
}

async fn send(stream: &mut TcpStream, method: &str, path: &str, head: &str) {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: boot\r\nConnection: close\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&bytes[..end]);
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// The nonce that a script or JSON names; `None`: it leads to the local disk.
pub(crate) fn nonce_in(text: &str) -> Option<Nonce> {
    let (_, rest) = text.split_once("/boot/n/")?;
    rest.get(..32)?.parse().ok()
}

/// Bytes that no other offset repeats soon.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(len).collect()
}

fn sum(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn config(evidence: Evidence) -> BootConfig {
    let asset = |name, letter, size: usize| Asset::kept(name, &sum(letter), size as u64);
    let program = Program::Kernel {
        kernel: asset("linux", 'a', KERNEL),
        initrds: vec![asset("initrd.gz", 'b', INITRD)],
        cmdline: "auto url={{ answer('preseed.cfg') }}".into(),
    };
    // An answer file is read after the boot files: only a callback can close such a config.
    let answers = match evidence {
        Evidence::Fetched | Evidence::Agent => BTreeMap::new(),
        Evidence::Callback => BTreeMap::from([(
            "preseed.cfg".to_owned(),
            "# {{ name }}\nok {{ done }}\nbad {{ failed }}\n".to_owned(),
        )]),
    };
    BootConfig::new("debian".parse().unwrap(), program, answers, evidence)
}
