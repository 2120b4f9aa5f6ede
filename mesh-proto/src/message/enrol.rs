//! Enrolment: how a key gets its certificate (ALPN `enforcer-enrol/1`, one stream).
//!
//! ```text
//! agent                          controller
//!   enrol {csr, commit, proof} ->
//!                              <- challenge {nonce}
//!   reveal {nonce}             ->
//!                              <- issued | pending, later issued | refused
//! ```
//!
//! The agent commits to its nonce before it sees the controller's, so that neither side, nor a relay between them, can
//! choose the [pairing code](crate::pairing).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Refusal, Secret};
use crate::{facts::HardwareFacts, identity::NodeId};

/// The two kinds of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Made in RAM, for one boot of the management OS.
    Boot,
    /// Kept on the disk of an installed OS.
    Installed,
}

/// How the key was proved (DESIGN §7). Higher is better proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// By the secret in its boot's script, which the segment could read.
    T1,
    /// By a join token, by a person who compared the pairing code, or by renewal of such a key.
    T2,
}

/// Why the controller should take this key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Proof {
    /// The secret of this boot's script, shown without being sent ([`boot_proof`](crate::pairing::boot_proof)).
    Boot {
        /// The NIC that booted, as the script was told.
        mac: String,
        /// 64 hex digits.
        hmac: String,
    },
    /// A join token; its controller was checked against the CA fingerprint inside it before it was sent.
    Token {
        /// The token as a person was given it.
        token: Secret,
    },
    /// None: a person will compare the pairing codes.
    None,
}

/// The file by which a deployment tells the new system's agent how to join: in the state folder, or on a `cidata` volume.
pub const JOIN_FILE: &str = "enforcer-join.json";

/// A join that is still to be done: what a deployment, or `join --later`, left for the agent of an installed OS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The join token, with the start of its CA's digest in it; `None` waits as pending until a person compares the
    /// pairing codes.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Where controllers listen for links.
    pub controllers: Vec<SocketAddr>,
}

/// What the agent sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ToEnroller {
    /// The request.
    Enrol(Box<Enrol>),
    /// Opens the commitment.
    Reveal {
        /// 16 bytes as hex digits.
        nonce: String,
    },
}

/// A request for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// Which kind of key.
    pub key: KeyKind,
    /// PKCS#10 request, PEM; only its public key is used.
    pub csr: String,
    /// Commitment to the nonce, 64 hex digits ([`commitment`](crate::pairing::commitment)).
    pub commit: String,
    /// Why.
    pub proof: Proof,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The agent's version.
    pub agent: String,
    /// What the machine is made of: which machine this is, is found by it.
    pub facts: HardwareFacts,
}

/// What the controller sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum FromEnroller {
    /// The controller's half of the pairing.
    Challenge {
        /// 16 bytes as hex digits.
        nonce: String,
    },
    /// Here is the certificate.
    Issued(Box<Issued>),
    /// A person has to say yes; the stream stays open.
    Pending {
        /// For the screen: why, and what the person should do.
        text: String,
    },
    /// No.
    Refused(Refusal),
}

/// A certificate and all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// The site's CA, PEM.
    pub ca: String,
    /// The site's name.
    pub site: String,
    /// The machine this is; also the node's id.
    pub machine: NodeId,
    /// The machine's name.
    pub name: String,
    /// How well the key counts as proved.
    pub level: Level,
    /// Where controllers listen for links, `address:port`.
    pub controllers: Vec<String>,
}
