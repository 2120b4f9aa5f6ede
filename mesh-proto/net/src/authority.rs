//! What the server asks, and what it is told: the border between sockets and decisions.

use std::{fmt, future::Future, net::SocketAddr};

use mesh_proto::{
    message::{
        Refusal, RefusalCode,
        enrol::{Enrol, Issued},
        link::{FromAgent, Hello, Welcome},
        peer::{FromInviter, ToInviter},
    },
    pairing::{self, PairingCode},
};
use tokio::sync::oneshot;

use crate::{
    body::{Answer, Body},
    cert::PeerCert,
    close::{CloseCode, LinkEnd},
    keys::Csr,
    peer::PeerLink,
    server::LinkHandle,
};

/// Decides who belongs to the site and what they are told. Implemented by the controller.
///
/// The synchronous calls answer from memory and do not block: they stand between a packet and its answer.
pub trait MeshAuthority: Send + Sync + 'static {
    /// Whether this key may speak at all: not revoked, pinned, known. Asked once per connection, after TLS and before
    /// its first byte is read. Roles other than agent and TLS strangers never come here; an expired key does, and
    /// whatever is said here, it can only ask for a [`renew`](Self::renew).
    ///
    /// A key that is revoked later is closed through its [`LinkHandle`]; it then is asked here when it comes back.
    ///
    /// # Errors
    /// The refusal is shown to the agent as the reason of the close.
    fn admit(&self, peer: &PeerCert) -> Result<(), Refusal>;

    /// A key asks for its certificate. The commitment has been opened and holds, so [`EnrolAsk::code`] is the code that
    /// an honest machine shows. What is issued is durable when this returns.
    fn enrol(&self, ask: EnrolAsk) -> impl Future<Output = EnrolAnswer> + Send;

    /// An agent opens its link. With `Ok` the link stands, and `link` is good until [`closed`](Self::closed), which
    /// follows exactly once for each `Ok`. An older link of the same node is for the authority to close
    /// ([`CloseCode::Superseded`]).
    ///
    /// # Errors
    /// The refusal is sent, then the connection is closed; `closed` is not called.
    fn hello(
        &self,
        link: &LinkHandle,
        hello: Hello,
    ) -> impl Future<Output = Result<Welcome, Refusal>> + Send;

    /// A request on a link that stands. Never [`FromAgent::Hello`] nor [`FromAgent::Renew`]. Up to
    /// 16 of one link run at once. What is answered with [`Ok`](mesh_proto::message::link::ControllerReply::Ok) is durable.
    ///
    /// `body` is what follows the request on its stream: chunks of a [`FromAgent::Put`], the manifest of a
    /// [`FromAgent::Save`], nothing after others. Of requests with bytes, [`FromAgent::Fetch`] included, two of one link
    /// and sixteen of all run at once; the others wait.
    fn request(
        &self,
        link: &LinkHandle,
        ask: FromAgent,
        body: Body,
    ) -> impl Future<Output = Answer> + Send;

    /// A new certificate for the key of `peer` (or for a new key, `csr`, that is to replace it): on a link, or instead
    /// of the hello when `peer` is expired. Durable when this returns.
    ///
    /// # Errors
    /// The refusal is the answer.
    fn renew(
        &self,
        peer: &PeerCert,
        csr: Csr,
        from: SocketAddr,
    ) -> impl Future<Output = Result<String, Refusal>> + Send;

    /// A link that [`hello`](Self::hello) took has ended. `link` only serves to say which. Must not block.
    fn closed(&self, link: &LinkHandle, end: LinkEnd);

    /// A controller of another site, one that [`ServerConfig::peers`](crate::ServerConfig) knows, has a link with us. Runs for
    /// as long as the link stands; what is never accepted is never read.
    fn peer(&self, link: PeerLink) -> impl Future<Output = ()> + Send {
        async move { link.close(CloseCode::Refused, "this site has no peers") }
    }

    /// A site shows an invitation. What it is answered with `Joined` is durable.
    fn peer_join(
        &self,
        _join: ToInviter,
        _from: SocketAddr,
    ) -> impl Future<Output = FromInviter> + Send {
        let text = "this site invites nobody";
        async move { FromInviter::Refused(Refusal::new(RefusalCode::NotAllowed, text)) }
    }

    /// Something was refused or dropped before it came to the authority; to be counted. Never blocks.
    fn note(&self, note: MeshNote);
}

/// A request for a certificate, with what its stream has shown.
pub struct EnrolAsk {
    /// What the agent sent; its `commit` has been opened, its `csr` is the next field.
    pub enrol: Enrol,
    /// The key that asks; it has signed its own request.
    pub csr: Csr,
    /// The code a person compares with the machine's screen.
    pub code: PairingCode,
    /// Where it comes from.
    pub from: SocketAddr,
    pub(crate) exporter: [u8; 32],
}

impl EnrolAsk {
    /// Whether a proof by boot secret (64 hex digits, from [`Enrol::proof`]) shows `secret`, in this very TLS session
    /// and for this very request.
    #[must_use]
    pub fn shows_secret(&self, hmac: &str, secret: &str) -> bool {
        crate::cert::unhex::<32>(hmac).is_some_and(|hmac| {
            pairing::boot_proof_holds(secret, &self.exporter, &self.csr.sha256, &hmac)
        })
    }
}

impl fmt::Debug for EnrolAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolAsk({} from {})", self.code, self.from)
    }
}

/// What becomes of a request for a certificate.
#[derive(Debug)]
pub enum EnrolAnswer {
    /// Here it is.
    Issued(Box<Issued>),
    /// A person decides. The agent waits with its stream open; when it goes away, or was silent for longest in a full
    /// queue, `decided`'s sender sees it closed ([`oneshot::Sender::closed`]).
    Pending {
        /// For the machine's screen.
        text: String,
        /// The later word. A sender that is dropped counts as "come back later".
        decided: oneshot::Receiver<EnrolOutcome>,
    },
    /// No.
    Refused(Refusal),
}

/// How a pending request ends.
pub type EnrolOutcome = Result<Box<Issued>, Refusal>;

/// What the server did by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeshNote {
    /// Somebody was refused before the authority was asked.
    Refused {
        /// Who, where that is known.
        from: Option<SocketAddr>,
        /// Why; its [`label`](Refused::label) is the metric's.
        why: Refused,
    },
}

/// Why somebody was refused by the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// More handshakes at once than we do.
    Handshakes,
    /// TLS failed: a foreign CA, a certificate without a client's use, another protocol.
    Tls,
    /// The handshake, the first stream or its first message took too long.
    TooSlow,
    /// A link without a client certificate.
    NoCertificate,
    /// A certificate that is not an agent's.
    Role,
    /// The authority did not admit the key: revoked or unknown.
    NotAdmitted,
    /// An expired key that wanted more than to be renewed.
    Expired,
    /// Bytes that are no message, or one that has no place there.
    Protocol,
    /// Enrolments from one address too often.
    EnrolQuota,
    /// The nonce does not open the commitment.
    Commitment,
    /// A certificate request that cannot be used.
    Csr,
    /// The queue of pending enrolments was full, and this one was silent for longest.
    PendingFull,
}

impl Refused {
    /// Every reason, so that metrics start at zero.
    pub const ALL: [Self; 12] = [
        Self::Handshakes,
        Self::Tls,
        Self::TooSlow,
        Self::NoCertificate,
        Self::Role,
        Self::NotAdmitted,
        Self::Expired,
        Self::Protocol,
        Self::EnrolQuota,
        Self::Commitment,
        Self::Csr,
        Self::PendingFull,
    ];

    /// A metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Handshakes => "handshakes",
            Self::Tls => "tls",
            Self::TooSlow => "too-slow",
            Self::NoCertificate => "no-certificate",
            Self::Role => "role",
            Self::NotAdmitted => "not-admitted",
            Self::Expired => "expired",
            Self::Protocol => "protocol",
            Self::EnrolQuota => "enrol-quota",
            Self::Commitment => "commitment",
            Self::Csr => "csr",
            Self::PendingFull => "pending-full",
        }
    }
}
