//! A hostile site for tests: it was invited, holds a peer's certificate, and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::town::{MAC, SIZES, Town, linked, named};
use enforcer::ca::Ca;
use mesh_net::{
    Answer, Body, Csr, EnrolAnswer, EnrolAsk, LinkEnd, LinkHandle, MeshAuthority, MeshNote,
    MeshServer, PeerCert, PeerLink, ServerConfig, ServerHandle,
};
use mesh_proto::message::{
    Refusal, RefusalCode,
    link::{FromAgent, Hello, Welcome},
    peer::{ClosedBy, FromInviter, Grant, GrantedFile, PeerAsk, PeerReply, ToInviter},
};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(10);

/// How it answers a peek or a claim; `None`: not at all.
type Tongue = Arc<dyn Fn(&PeerAsk) -> Option<PeerReply> + Send + Sync>;

/// The site, as its authority.
struct Villain {
    links: UnboundedSender<PeerLink>,
    tongue: Mutex<Tongue>,
    asked: AtomicUsize,
    /// How often it was told how a boot ended, and whether it has no time for that.
    ends: AtomicUsize,
    busy: AtomicBool,
    /// What it sends for a file, and a permit for each of its pieces.
    file: Mutex<Vec<bytes::Bytes>>,
    gate: Arc<Semaphore>,
}

/// Sends pieces from byte `from` on, each when the gate lets it; a link that ends loses the rest.
async fn drip(
    file: Vec<bytes::Bytes>,
    from: u64,
    gate: Arc<Semaphore>,
    to: mesh_net::PeerResponder,
) {
    let whole = file.iter().map(|p| p.len() as u64).sum::<u64>();
    let (send, bytes) = tokio::sync::mpsc::channel(1);
    let pieces = async move {
        let mut skip = usize::try_from(from).unwrap();
        for mut piece in file {
            let gone = skip.min(piece.len());
            skip -= gone;
            let piece = piece.split_off(gone);
            if piece.is_empty() {
                continue;
            }
            gate.acquire().await.unwrap().forget();
            if send.send(piece).await.is_err() {
                return;
            }
        }
    };
    let len = Some(whole - from);
    let flow = mesh_net::Flow { len, bytes };
    tokio::join!(pieces, to.follow(whole - from, flow));
}

fn never() -> Refusal {
    Refusal::new(RefusalCode::NotAllowed, "no")
}

impl MeshAuthority for Villain {
    fn admit(&self, _: &PeerCert) -> Result<(), Refusal> {
        Err(never())
    }
    async fn enrol(&self, _: EnrolAsk) -> EnrolAnswer {
        EnrolAnswer::Refused(never())
    }
    async fn hello(&self, _: &LinkHandle, _: Hello) -> Result<Welcome, Refusal> {
        Err(never())
    }
    async fn request(&self, _: &LinkHandle, _: FromAgent, _: Body) -> Answer {
        mesh_proto::message::link::ControllerReply::Refused(never()).into()
    }
    async fn renew(&self, _: &PeerCert, _: Csr, _: SocketAddr) -> Result<String, Refusal> {
        Err(never())
    }
    fn closed(&self, _: &LinkHandle, _: LinkEnd) {}
    fn note(&self, _: MeshNote) {}

    async fn peer(&self, link: PeerLink) {
        self.links.send(link.clone()).unwrap();
        let mut unanswered = Vec::new();
        while let Ok(incoming) = link.accept().await {
            let Ok((ask, to)) = incoming.read().await else {
                continue;
            };
            let is_question = matches!(ask, PeerAsk::Peek(_) | PeerAsk::Claim(_));
            self.asked
                .fetch_add(usize::from(is_question), Ordering::SeqCst);
            let tongue = Arc::clone(&self.tongue.lock().unwrap());
            if let PeerAsk::File { from, .. } = ask {
                let file = self.file.lock().unwrap().clone();
                tokio::spawn(drip(file, from, Arc::clone(&self.gate), to));
                continue;
            }
            if let PeerAsk::Evidence(_) = ask {
                self.ends.fetch_add(1, Ordering::SeqCst);
                let busy = self.busy.load(Ordering::SeqCst);
                let later = || PeerReply::Refused(Refusal::new(RefusalCode::Busy, "later"));
                to.reply(&busy.then(later).unwrap_or(PeerReply::Noted))
                    .await;
                continue;
            }
            match (is_question, tongue(&ask)) {
                (false, _) => to.reply(&PeerReply::Noted).await,
                (true, Some(reply)) => to.reply(&reply).await,
                (true, None) => unanswered.push(to),
            }
        }
    }
}

/// The site, running.
pub(crate) struct Den {
    villain: Arc<Villain>,
    handle: ServerHandle,
    links: UnboundedReceiver<PeerLink>,
    _folder: tempfile::TempDir,
}

impl Den {
    /// It accepts an invitation of the town's; the town lets it boot unknown machines, and it names the machine.
    pub(crate) async fn joined(town: &Town) -> (Self, PeerLink) {
        Self::joined_as("site-x", town).await
    }

    /// The same under another name.
    pub(crate) async fn joined_as(name: &str, town: &Town) -> (Self, PeerLink) {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::open(folder.path(), name).unwrap();
        let now = town.site.store.now().as_second();
        let identity = ca.identity(now).unwrap();
        let town_ca = mesh_net::keys::certificate_der(town.mesh.ca().pem()).unwrap();
        let believed = town_ca.clone();
        let mut config = ServerConfig::new(
            "127.0.0.1:0".parse().unwrap(),
            identity,
            Arc::new(move || now),
        );
        config.peers = Arc::new(move |_| Some(believed.clone()));
        let server = MeshServer::bind(config).unwrap();
        let (at, handle) = (server.local_addr().unwrap(), server.handle());
        let (tell, links) = unbounded_channel();
        let villain = Arc::new(Villain {
            links: tell,
            tongue: Mutex::new(Arc::new(|_| None)),
            asked: AtomicUsize::new(0),
            ends: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
            // As many bytes as are granted, and others.
            file: Mutex::new(vec![bytes::Bytes::from_static(b"evil")]),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        });
        tokio::spawn(server.run(Arc::clone(&villain), CancellationToken::new()));
        let text = town.invites().await;
        let join = ToInviter::Join {
            invitation: text.id.to_string(),
            secret: text.secret.clone(),
            site: name.to_owned(),
            ca: ca.pem().to_owned(),
            addresses: vec![at],
        };
        let inviter = (text.site.as_str(), text.ca_sha256.0);
        let joined = handle.join_peer(inviter, town.links, &join).await.unwrap();
        assert!(matches!(joined, FromInviter::Joined { .. }), "{joined:?}");
        let mut den = Self {
            villain,
            handle,
            links,
            _folder: folder,
        };
        let site = name.parse().unwrap();
        linked(town, &site).await;
        let allow = enforcer::state::ops::AllowPeer {
            site,
            may_ask: None,
            may_boot: None,
            may_boot_unknown: Some(true),
            may_see: None,
            gives_images: None,
            by: "ann".to_owned(),
        };
        town.site.apply(allow).await.unwrap();
        let link = den.links.recv().await.unwrap();
        let macs = vec![MAC.to_string()];
        let told = link.ask(&PeerAsk::Macs { macs }, SOON).await.unwrap();
        assert_eq!(told, PeerReply::Noted);
        named(town).await;
        (den, link)
    }

    /// It dials the town, whether a link stands or not.
    pub(crate) async fn dials(&self, town: &Town) -> PeerLink {
        self.tries_to_dial(town).await.unwrap()
    }

    /// The same, should the town not want that.
    pub(crate) async fn tries_to_dial(
        &self,
        town: &Town,
    ) -> Result<PeerLink, impl std::fmt::Debug> {
        let ca = mesh_net::keys::certificate_der(town.mesh.ca().pem()).unwrap();
        let dialled = self.handle.dial_peer(town.name.as_str(), ca, town.links);
        dialled.await
    }

    /// What it sends for files from now on, a piece for each permit of the semaphore that is given back.
    pub(crate) fn sends(&self, pieces: Vec<bytes::Bytes>) -> Arc<Semaphore> {
        let gate = Arc::clone(&self.villain.gate);
        gate.forget_permits(Semaphore::MAX_PERMITS);
        *self.villain.file.lock().unwrap() = pieces;
        gate
    }

    /// How often it was asked what it has, or for it.
    pub(crate) fn asked(&self) -> usize {
        self.villain.asked.load(Ordering::SeqCst)
    }

    /// How often it was told how a boot ended.
    pub(crate) fn heard_ends(&self) -> usize {
        self.villain.ends.load(Ordering::SeqCst)
    }

    /// Whether it is too busy to take note of that, from now on.
    pub(crate) fn is_busy(&self, busy: bool) {
        self.villain.busy.store(busy, Ordering::SeqCst);
    }

    /// How it answers from now on.
    pub(crate) fn says(
        &self,
        tongue: impl Fn(&PeerAsk) -> Option<PeerReply> + Send + Sync + 'static,
    ) {
        *self.villain.tongue.lock().unwrap() = Arc::new(tongue);
    }
}

pub(crate) fn grant() -> Grant {
    Grant {
        nonce: "0123456789abcdef0123456789abcdef".to_owned(),
        config: "live".to_owned(),
        standing: false,
        writes_disk: false,
        closed_by: ClosedBy::Fetched,
        files: vec![GrantedFile {
            name: SIZES[0].0.to_owned(),
            sha256: "ab".repeat(32),
            size: 4,
        }],
        cmdline: "quiet".to_owned(),
        answers: Default::default(),
        lives_s: 60,
    }
}

pub(crate) fn offers(grant: Grant) -> impl Fn(&PeerAsk) -> Option<PeerReply> {
    move |ask| match ask {
        PeerAsk::Peek(_) => Some(PeerReply::Offer {
            config: "live".to_owned(),
            writes_disk: false,
        }),
        _ => Some(PeerReply::Grant(Box::new(grant.clone()))),
    }
}
