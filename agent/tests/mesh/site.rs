//! A site of one controller: a CA, an authority that records what it is asked and answers as it was told, a server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mesh_net::cert::{ca_sha256, controller_name, node_uri};
use mesh_net::keys::certificate_der;
use mesh_net::{
    Answer, Body, Clock, Csr, EnrolAnswer, EnrolAsk, EnrolOutcome, Flow, LinkEnd, LinkHandle,
    MeshAuthority, MeshNote, MeshServer, NodeKey, PeerCert, ServerConfig, ServerLimits,
    SiteIdentity, SwapDesk,
};
use mesh_proto::identity::{NodeId, Role};
use mesh_proto::message::boot::Duty;
use mesh_proto::message::enrol::{Issued, Level, Proof};
use mesh_proto::message::link::{ControllerReply, Entry, FromAgent, Hello, Welcome};
use mesh_proto::message::ring::Ring;
use mesh_proto::message::{Refusal, RefusalCode};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    SubjectPublicKeyInfo, date_time_ymd,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A summer day by every clock of these tests.
pub(crate) const NOW: i64 = 1_782_561_600; // 2026-06-27
pub(crate) const DAY: i64 = 24 * 3600;
pub(crate) const SITE: &str = "home";
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const MACHINE: NodeId = NodeId(7);

pub(crate) fn at(now: i64) -> Clock {
    Arc::new(move || now)
}

/// What came to the controller.
#[derive(Debug)]
pub(crate) enum Seen {
    Enrol(EnrolAsk),
    Pending(EnrolAsk, oneshot::Sender<EnrolOutcome>),
    Hello(LinkHandle, Hello),
    Request(FromAgent),
    Renew(PeerCert, Csr),
    Closed,
}

/// How the controller answers.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Years in which certificates are good.
    pub(crate) years: (i32, i32),
    /// The time a welcome tells.
    pub(crate) now: i64,
    /// Serials that are revoked.
    pub(crate) revoked: Vec<String>,
    /// Log chunks are passed to the test as well.
    pub(crate) shows_logs: bool,
    /// The gossip key ring of a welcome.
    pub(crate) ring: Option<Ring>,
    /// Where controllers gossip.
    pub(crate) seeds: Vec<Entry>,
    /// Whether a welcome makes the agent a boot helper.
    pub(crate) helper: Option<Duty>,
}

/// Answers requests of jobs: the request and the bytes that came with it, and what is answered, with bytes or without.
pub(crate) type Jobs =
    Arc<dyn Fn(&FromAgent, Vec<u8>) -> (ControllerReply, Option<Vec<u8>>) + Send + Sync>;

pub(crate) struct Site {
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
    seen: mpsc::UnboundedSender<Seen>,
    pub(crate) rules: Mutex<Rules>,
    /// Answers swaps, when this controller gossips.
    pub(crate) desk: Mutex<Option<Arc<SwapDesk>>>,
    pub(crate) jobs: Mutex<Option<Jobs>>,
}

impl Site {
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Seen>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca_pem = params.self_signed(&key).unwrap().pem();
        let (seen, record) = mpsc::unbounded_channel();
        let site = Self {
            ca: Issuer::new(params, key),
            ca_pem,
            seen,
            desk: Mutex::new(None),
            jobs: Mutex::new(None),
            rules: Mutex::new(Rules {
                years: (2026, 2027),
                now: NOW,
                revoked: Vec::new(),
                shows_logs: false,
                ring: None,
                seeds: Vec::new(),
                helper: None,
            }),
        };
        (Arc::new(site), record)
    }

    pub(crate) fn ca_sha256(&self) -> [u8; 32] {
        ca_sha256(&certificate_der(&self.ca_pem).unwrap())
    }

    pub(crate) fn token(&self) -> String {
        let ca: String = self.ca_sha256()[..16]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("enforcer-01234567-{}-{ca}", "5".repeat(32))
    }

    pub(crate) fn issued(&self, ask: &EnrolAsk) -> Box<Issued> {
        Box::new(Issued {
            certificate: self.certificate(&ask.csr.spki, Role::Agent, MACHINE),
            ca: self.ca_pem.clone(),
            site: SITE.into(),
            machine: MACHINE,
            name: "m7".into(),
            level: Level::T1,
            controllers: Vec::new(),
        })
    }

    pub(crate) fn certificate(&self, spki: &[u8], role: Role, node: NodeId) -> String {
        let years = self.rules().years;
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names =
            vec![SanType::URI(node_uri(SITE, role, node).try_into().unwrap())];
        if role == Role::Controller {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
            let name = controller_name(SITE).try_into().unwrap();
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let key = SubjectPublicKeyInfo::from_der(spki).unwrap();
        params.signed_by(&key, &self.ca).unwrap().pem()
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules.lock().unwrap().clone()
    }

    pub(crate) fn rule(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().unwrap());
    }

    fn tell(&self, seen: Seen) {
        let _nobody_looks = self.seen.send(seen);
    }
}

impl MeshAuthority for Site {
    fn admit(&self, peer: &PeerCert) -> Result<(), Refusal> {
        match self.rules().revoked.contains(&peer.serial) {
            true => Err(Refusal::new(RefusalCode::Revoked, "this key was revoked")),
            false => Ok(()),
        }
    }

    async fn enrol(&self, ask: EnrolAsk) -> EnrolAnswer {
        let good = match &ask.enrol.proof {
            Proof::Boot { hmac, .. } => ask.shows_secret(hmac, SECRET),
            Proof::Token { token } => token.expose() == self.token(),
            Proof::None => {
                let (decide, decided) = oneshot::channel();
                self.tell(Seen::Pending(ask, decide));
                let text = "compare the code".into();
                return EnrolAnswer::Pending { text, decided };
            }
        };
        let answer = match good {
            true => EnrolAnswer::Issued(self.issued(&ask)),
            false => EnrolAnswer::Refused(Refusal::new(RefusalCode::BadProof, "not right")),
        };
        self.tell(Seen::Enrol(ask));
        answer
    }

    async fn hello(&self, link: &LinkHandle, hello: Hello) -> Result<Welcome, Refusal> {
        let welcome = Welcome {
            site: SITE.into(),
            controller: NodeId(0xc0),
            name: "m7".into(),
            level: Level::T1,
            accepted: true,
            generation: hello.last_generation + 1,
            seen_as: link.remote(),
            ring: self.rules().ring.filter(|_| hello.gossip_port.is_some()),
            seeds: self.rules().seeds,
            controllers: Vec::new(),
            now_unix_s: self.rules().now,
            helper: self.rules().helper,
        };
        self.tell(Seen::Hello(link.clone(), hello));
        Ok(welcome)
    }

    async fn request(&self, _link: &LinkHandle, ask: FromAgent, mut body: Body) -> Answer {
        let desk = self.desk.lock().unwrap().clone();
        if let (FromAgent::Swap(swap), Some(desk)) = (&ask, desk) {
            let answer = desk.answer(swap.clone(), false).await.unwrap();
            return ControllerReply::Swap(answer).into();
        }
        let jobs = self.jobs.lock().unwrap().clone();
        if let (true, Some(jobs)) = (is_of_jobs(&ask), jobs) {
            let mut bytes = Vec::new();
            while let Ok(Some(piece)) = body.next().await {
                bytes.extend_from_slice(&piece);
            }
            return match jobs(&ask, bytes) {
                (reply, None) => reply.into(),
                (_, Some(bytes)) => flow(bytes).await,
            };
        }
        if !matches!(ask, FromAgent::Log(_)) || self.rules().shows_logs {
            self.tell(Seen::Request(ask));
        }
        ControllerReply::Ok.into()
    }

    async fn renew(&self, peer: &PeerCert, csr: Csr, _from: SocketAddr) -> Result<String, Refusal> {
        let certificate = self.certificate(&csr.spki, Role::Agent, peer.node);
        self.tell(Seen::Renew(peer.clone(), csr));
        Ok(certificate)
    }

    fn closed(&self, _link: &LinkHandle, _end: LinkEnd) {
        self.tell(Seen::Closed);
    }

    fn note(&self, _note: MeshNote) {}
}

fn is_of_jobs(ask: &FromAgent) -> bool {
    matches!(
        ask,
        FromAgent::Job
            | FromAgent::JobProgress(_)
            | FromAgent::JobEnd(_)
            | FromAgent::Fetch(_)
            | FromAgent::Boot { .. }
            | FromAgent::BootFile { .. }
            | FromAgent::Helper(_)
            | FromAgent::Have { .. }
            | FromAgent::Put { .. }
            | FromAgent::Save { .. }
    )
}

async fn flow(bytes: Vec<u8>) -> Answer {
    let len = Some(bytes.len() as u64);
    let (send, receiver) = mpsc::channel(1);
    send.send(bytes.into()).await.unwrap();
    Answer::Follows(Flow {
        len,
        bytes: receiver,
    })
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(site: &Arc<Site>) -> Self {
        Self::start_at(site, "127.0.0.1:0".parse().unwrap(), NOW)
    }

    pub(crate) fn start_at(site: &Arc<Site>, listen: SocketAddr, now: i64) -> Self {
        let key = NodeKey::generate().unwrap();
        let certificate = site.certificate(&key.spki(), Role::Controller, NodeId(0xc0));
        let identity = SiteIdentity::from_pem(&site.ca_pem, &certificate, &key).unwrap();
        let limits = ServerLimits {
            enrols_per_minute: 1000,
            ..Default::default()
        };
        let config = ServerConfig {
            limits,
            ..ServerConfig::new(listen, identity, at(now))
        };
        let server = MeshServer::bind(config).unwrap();
        let (addr, stop) = (server.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(server.run(Arc::clone(site), stop.clone()));
        Self { addr, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
