//! Enrolment, the agent's side: see [`mesh_proto::message::enrol`].

use std::{fmt, net::SocketAddr, time::Duration};

use mesh_proto::{
    facts::HardwareFacts,
    identity::Role,
    message::{
        Refusal, Secret,
        enrol::{Enrol, FromEnroller, Issued, KeyKind, Proof, ToEnroller},
    },
    pairing::{self, Nonce, PairingCode, Transcript},
};
use quinn::{Connection, SendStream, rustls::pki_types::CertificateDer};
use tokio::time::Instant;

use super::{AgentEndpoint, BadToken, CaTrust, LinkError, dial::DIAL};
use crate::{
    cert::{ca_sha256, hex, unhex},
    close::{CallError, CloseCode, LinkEnd},
    keys::{Csr, KeyError, NodeKey},
    stream::{Reader, write},
    tls::{EXPORTER, LinkIdentity, TlsError, enrol_config},
};

/// Time for each step of the controller but the last: it may wait for its store.
const STEP: Duration = Duration::from_secs(15);
/// A person decides in his own time; the connection itself says when nobody is there any more.
const PERSON: Duration = Duration::from_secs(365 * 24 * 3600);
/// The server name while the site's own is not known. What the controller is called is checked in its certificate.
const ANY_SITE: &str = "controller.enforcer";

/// Why a controller should take the key.
#[derive(Debug, Clone)]
pub enum EnrolProof {
    /// The secret on the kernel's command line. It is shown without being sent.
    Boot {
        /// The NIC that booted, as the command line names it.
        mac: String,
        /// `enforcer.secret=`.
        secret: Secret,
    },
    /// A join token. It is sent only to a controller whose CA is the one in the token.
    Token(Secret),
    /// A person will compare the codes.
    None,
}

/// Who enrols.
#[derive(Debug, Clone)]
pub struct EnrolAs {
    /// Which kind of key.
    pub key: KeyKind,
    /// Why the controller should take it.
    pub proof: EnrolProof,
    /// What was told about the site's CA. With a token, what the token says is checked besides.
    pub trust: CaTrust,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The agent's version.
    pub agent: String,
    /// The identity part of the facts.
    pub facts: HardwareFacts,
}

/// What happens meanwhile, for the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolEvent {
    /// Show this code, and that it belongs to `enforcer machines accept NAME --code`.
    Code(PairingCode),
    /// A person has to decide; the controller says this.
    Pending(String),
}

/// A key that is certified.
pub struct Enrolled {
    /// What the controller sent, to be kept by installed agents.
    pub issued: Issued,
    /// The same, ready for links.
    pub identity: LinkIdentity,
}

impl fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Enrolled({} of {})",
            self.issued.machine, self.issued.site
        )
    }
}

/// Why a key got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The join token is none.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// The controller's CA is not the one of the token, which was not sent.
    #[error(
        "the join token is of another site, or somebody stands between: the controller shows another CA"
    )]
    OtherCa,
    /// The controller said no.
    #[error("the controller refused: {0}")]
    Refused(Refusal),
    /// No connection, or it broke.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A key or request of our own.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What was issued is not usable: for another key, of another CA, not for an agent.
    #[error("what the controller issued is not right: {0}")]
    Issued(String),
}

impl From<CallError> for EnrolError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => Self::Refused(refusal),
            other => Self::Link(other.into()),
        }
    }
}

impl From<TlsError> for EnrolError {
    fn from(error: TlsError) -> Self {
        Self::Link(error.into())
    }
}

/// Has a key certified by the controller at an address. With a proof that holds this takes a moment; without one, it
/// takes until a person has decided or the connection is lost; then try again with the same key. `event` is told the
/// pairing code in any case.
///
/// # Errors
/// Why there is no certificate, in words for the machine's screen.
pub async fn enrol(
    endpoint: &AgentEndpoint,
    controller: SocketAddr,
    key: &NodeKey,
    who: &EnrolAs,
    event: impl FnMut(EnrolEvent),
) -> Result<Enrolled, EnrolError> {
    let tls = enrol_config(&who.trust, &endpoint.clock)?;
    let connection = endpoint
        .dial(controller, ANY_SITE, tls, Instant::now() + DIAL)
        .await?;
    let enrolled = run(&connection, key, who, event).await;
    connection.close(CloseCode::Done.to_wire(), b"");
    // A close with a reason says more than the stream that broke by it.
    match (enrolled, connection.close_reason().map(LinkEnd::from)) {
        (Err(EnrolError::Link(_)), Some(end @ LinkEnd::ByPeer { .. })) => {
            Err(LinkError::from(end).into())
        }
        (enrolled, _) => enrolled,
    }
}

async fn run(
    connection: &Connection,
    key: &NodeKey,
    who: &EnrolAs,
    mut event: impl FnMut(EnrolEvent),
) -> Result<Enrolled, EnrolError> {
    let ca = shown_ca(connection)?;
    let ca_sha256 = ca_sha256(&ca);
    let csr_pem = key.csr_pem()?;
    let csr = Csr::from_pem(&csr_pem)?;
    let ours: Nonce = rand::random();
    let proof = proof(connection, who, &csr, &ca_sha256)?;
    let request = request(who, csr_pem, proof, &pairing::commitment(&ours, &csr.spki));

    let (mut send, recv) = connection
        .open_bi()
        .await
        .map_err(|e| LinkError::from(LinkEnd::from(e)))?;
    let mut reader = Reader::early(recv);
    say(&mut send, &ToEnroller::Enrol(Box::new(request))).await?;
    let theirs = challenge(&mut reader).await?;
    let transcript = Transcript {
        agent_spki: &csr.spki,
        ca_sha256: &ca_sha256,
        agent: &ours,
        controller: &theirs,
    };
    event(EnrolEvent::Code(pairing::code(&transcript)));
    say(&mut send, &ToEnroller::Reveal { nonce: hex(&ours) }).await?;
    let issued = outcome(&mut reader, &mut event).await?;
    accept(issued, &ca_sha256, key)
}

fn shown_ca(connection: &Connection) -> Result<CertificateDer<'static>, EnrolError> {
    let chain = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let ca = chain.and_then(|chain| chain.last().cloned());
    ca.ok_or_else(|| LinkError::Impostor("it shows no CA".into()).into())
}

fn proof(
    connection: &Connection,
    who: &EnrolAs,
    csr: &Csr,
    ca_sha256: &[u8; 32],
) -> Result<Proof, EnrolError> {
    match &who.proof {
        EnrolProof::Boot { mac, secret } => {
            let mut exporter = [0; 32];
            let exported = connection.export_keying_material(&mut exporter, EXPORTER, b"");
            exported.map_err(|_| LinkError::Broken("this TLS session exports no keys".into()))?;
            let hmac = pairing::boot_proof(secret.expose(), &exporter, &csr.sha256);
            Ok(Proof::Boot {
                mac: mac.clone(),
                hmac: hex(&hmac),
            })
        }
        EnrolProof::Token(token) if CaTrust::from_token(token)?.fits(ca_sha256) => {
            Ok(Proof::Token {
                token: Secret::new(token.expose().trim()),
            })
        }
        EnrolProof::Token(_) => Err(EnrolError::OtherCa),
        EnrolProof::None => Ok(Proof::None),
    }
}

fn request(who: &EnrolAs, csr: String, proof: Proof, commit: &[u8; 32]) -> Enrol {
    Enrol {
        key: who.key,
        csr,
        commit: hex(commit),
        proof,
        boot_id: who.boot_id.clone(),
        agent: who.agent.clone(),
        facts: who.facts.clone(),
    }
}

async fn say(send: &mut SendStream, what: &ToEnroller) -> Result<(), EnrolError> {
    Ok(write(send, what, STEP).await.map_err(CallError::from)?)
}

async fn challenge(reader: &mut Reader) -> Result<Nonce, EnrolError> {
    let nonsense = || LinkError::Broken("the controller's challenge makes no sense".into());
    match reader.expect(STEP).await.map_err(CallError::from)? {
        FromEnroller::Challenge { nonce } => Ok(unhex(&nonce).ok_or_else(nonsense)?),
        FromEnroller::Refused(refusal) => Err(EnrolError::Refused(refusal)),
        FromEnroller::Issued(_) | FromEnroller::Pending { .. } => Err(nonsense().into()),
    }
}

/// The controller's word, waiting for a person where it says so.
async fn outcome(
    reader: &mut Reader,
    event: &mut impl FnMut(EnrolEvent),
) -> Result<Issued, EnrolError> {
    let mut patience = STEP;
    loop {
        match reader.expect(patience).await.map_err(CallError::from)? {
            FromEnroller::Issued(issued) => return Ok(*issued),
            FromEnroller::Refused(refusal) => return Err(EnrolError::Refused(refusal)),
            FromEnroller::Pending { text } => {
                event(EnrolEvent::Pending(text));
                patience = PERSON;
            }
            FromEnroller::Challenge { .. } => {
                return Err(LinkError::Broken("the controller challenges twice".into()).into());
            }
        }
    }
}

/// Only a certificate for our key, of the CA whose fingerprint went into the pairing code, is kept.
fn accept(issued: Issued, ca_sha256: &[u8; 32], key: &NodeKey) -> Result<Enrolled, EnrolError> {
    let wrong = |text: &str| EnrolError::Issued(text.to_owned());
    let identity = LinkIdentity::from_pem(&issued.ca, &issued.certificate, key)
        .map_err(|e| wrong(&e.to_string()))?;
    if crate::cert::ca_sha256(&identity.ca) != *ca_sha256 {
        return Err(wrong("it is of another CA than the one that was shown"));
    }
    let own = &identity.own;
    if own.role != Role::Agent || own.node != issued.machine || own.site != issued.site {
        return Err(wrong("the certificate says something else than the answer"));
    }
    Ok(Enrolled { issued, identity })
}
