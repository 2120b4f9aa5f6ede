//! An authority that records what it is asked and answers as it was told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use mesh_net::{
    Answer, Body, Csr, EnrolAnswer, EnrolAsk, EnrolOutcome, LinkEnd, LinkHandle, MeshAuthority,
    MeshNote, PeerCert, PeerLink, Refused, SwapDesk,
};
use mesh_proto::{
    identity::NodeId,
    message::{
        Refusal, RefusalCode,
        enrol::{Issued, Level, Proof},
        link::{ControllerReply, FromAgent, Hello, Welcome},
        peer::{FromInviter, ToInviter},
    },
};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use super::{Ca, Leaf, SITE};

/// The boot secret that is right.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What came to the authority.
#[derive(Debug)]
pub(crate) enum Seen {
    Enrol(EnrolAsk),
    Pending(EnrolAsk, oneshot::Sender<EnrolOutcome>),
    Hello(LinkHandle, Hello),
    Request(FromAgent),
    Transfer(FromAgent, Body, oneshot::Sender<Answer>),
    Renew(PeerCert),
    Closed(u64, LinkEnd),
    Note(Refused),
    Peer(PeerLink),
    PeerJoin(ToInviter),
}

pub(crate) struct Court {
    pub(crate) ca: Arc<Ca>,
    seen: UnboundedSender<Seen>,
    revoked: Mutex<Vec<String>>,
    swaps: OnceLock<SwapDesk>,
}

impl Court {
    pub(crate) fn new(ca: &Arc<Ca>) -> (Arc<Self>, UnboundedReceiver<Seen>) {
        let (seen, record) = unbounded_channel();
        let court = Self {
            ca: Arc::clone(ca),
            seen,
            revoked: Mutex::default(),
            swaps: OnceLock::new(),
        };
        (Arc::new(court), record)
    }

    pub(crate) fn revoke(&self, serial: &str) {
        self.revoked.lock().unwrap().push(serial.to_owned());
    }

    /// Answers state swaps from here on.
    pub(crate) fn swap_with(&self, desk: SwapDesk) {
        assert!(self.swaps.set(desk).is_ok());
    }

    fn tell(&self, seen: Seen) {
        let _nobody_looks = self.seen.send(seen);
    }

    /// The certificate for a request, of machine 7.
    pub(crate) fn issue(&self, ask: &EnrolAsk) -> Box<Issued> {
        Box::new(Issued {
            certificate: self.ca.issue(&ask.csr.spki, &Leaf::agent(7)),
            ca: self.ca.pem.clone(),
            site: SITE.into(),
            machine: NodeId(7),
            name: "pi".into(),
            level: Level::T1,
            controllers: Vec::new(),
        })
    }

    fn judge(&self, ask: &EnrolAsk) -> Option<bool> {
        match &ask.enrol.proof {
            Proof::Boot { hmac, .. } => Some(ask.shows_secret(hmac, SECRET)),
            Proof::Token { token } => Some(token.expose() == self.ca.token()),
            Proof::None => None,
        }
    }
}

impl MeshAuthority for Court {
    fn admit(&self, peer: &PeerCert) -> Result<(), Refusal> {
        let revoked = self.revoked.lock().unwrap().contains(&peer.serial);
        if revoked {
            Err(Refusal::new(RefusalCode::Revoked, "this key was revoked"))
        } else {
            Ok(())
        }
    }

    async fn enrol(&self, ask: EnrolAsk) -> EnrolAnswer {
        let answer = match self.judge(&ask) {
            Some(true) => EnrolAnswer::Issued(self.issue(&ask)),
            Some(false) => EnrolAnswer::Refused(Refusal::new(
                RefusalCode::BadProof,
                "the proof is not right",
            )),
            None => {
                let (decide, decided) = oneshot::channel();
                self.tell(Seen::Pending(ask, decide));
                return EnrolAnswer::Pending {
                    text: "compare the code".into(),
                    decided,
                };
            }
        };
        self.tell(Seen::Enrol(ask));
        answer
    }

    async fn hello(&self, link: &LinkHandle, hello: Hello) -> Result<Welcome, Refusal> {
        let welcome = Welcome {
            site: SITE.into(),
            controller: NodeId(0xc0),
            name: "pi".into(),
            level: Level::T1,
            accepted: true,
            generation: hello.last_generation + 1,
            seen_as: link.remote(),
            ring: None,
            seeds: Vec::new(),
            controllers: Vec::new(),
            now_unix_s: super::NOW,
            helper: None,
        };
        self.tell(Seen::Hello(link.clone(), hello));
        Ok(welcome)
    }

    async fn request(&self, _link: &LinkHandle, ask: FromAgent, body: Body) -> Answer {
        if let (FromAgent::Swap(swap), Some(desk)) = (&ask, self.swaps.get()) {
            let answer = desk.answer(swap.clone(), false).await.unwrap();
            return ControllerReply::Swap(answer).into();
        }
        let (decide, decided) = oneshot::channel();
        if mesh_bytes(&ask) {
            self.tell(Seen::Transfer(ask, body, decide));
            return decided.await.unwrap();
        }
        self.tell(Seen::Request(ask));
        ControllerReply::Ok.into()
    }

    async fn renew(&self, peer: &PeerCert, csr: Csr, _from: SocketAddr) -> Result<String, Refusal> {
        self.tell(Seen::Renew(peer.clone()));
        Ok(self.ca.issue(&csr.spki, &Leaf::agent(peer.node.0)))
    }

    fn closed(&self, link: &LinkHandle, end: LinkEnd) {
        self.tell(Seen::Closed(link.id(), end));
    }

    async fn peer(&self, link: PeerLink) {
        self.tell(Seen::Peer(link));
    }

    async fn peer_join(&self, join: ToInviter, _from: SocketAddr) -> FromInviter {
        self.tell(Seen::PeerJoin(join));
        let text = "nobody is admitted";
        FromInviter::Refused(Refusal::new(RefusalCode::NotAllowed, text))
    }

    fn note(&self, note: MeshNote) {
        let MeshNote::Refused { why, .. } = note;
        self.tell(Seen::Note(why));
    }
}

fn mesh_bytes(ask: &FromAgent) -> bool {
    matches!(
        ask,
        FromAgent::Fetch(_) | FromAgent::Put { .. } | FromAgent::Save { .. }
    )
}

/// The next thing that came, of the kind that is expected now.
macro_rules! seen {
    ($record:expr, $pattern:pat => $value:expr) => {
        match $record.recv().await {
            Some($pattern) => $value,
            other => panic!("expected {}, came {other:?}", stringify!($pattern)),
        }
    };
}
