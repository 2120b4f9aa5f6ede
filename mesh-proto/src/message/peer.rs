//! What the controllers of two sites say to each other (ALPN `enforcer-peer/1`), and how they came to know each other
//! (ALPN `enforcer-peer-join/1`).
//!
//! ```text
//! a machine boots at A, and A has nothing for it; B has named its MAC (macs)
//! A                              B
//!   peek {mac, visited, hops}  ->
//!                              <- offer {config} | nothing {why}
//!   claim {…, session}         ->                 written down at B before it answers
//!                              <- grant {nonce, config, files}
//!   file {nonce, index}        ->                 by A, for its machine
//!                              <- follows {len}, then the bytes
//!   evidence {nonce, outcome}  ->                 again and again until
//!                              <- noted
//! ```
//!
//! Beside that its people may look on, as far as the other side's policy goes: machines (rows), events (a subscription), and
//! versions of public images (image, manifest, chunks).
//!
//! Answers are data: what a machine runs is put together by its own controller, from parts that it has checked. A peer asks
//! and tells; there is no message by which it could command.

mod shown;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::shown::{
    MAX_EVENTS, MAX_ROW_MACS, MAX_ROWS, MAX_SHOWN_TEXT, MachineRow, ShownEvent, ShownImage,
};
use super::{Refusal, Secret};

/// The host that the owner of a config writes where a text names the controller that the machine boots from; the asking
/// controller puts its own address there. A name that nobody can have (RFC 2606 §2).
pub const BASE: &str = "http://enforcer.invalid";
/// How often a question may be handed on, the first asker's own question not counted.
pub const MAX_HOPS: u8 = 3;
/// MACs that a site names to one peer: a room or two, and as bare hex digits a message of 61 KiB, which an early frame holds.
pub const MAX_MACS: usize = 4_096;
/// Kernel and initrds of one grant.
pub const MAX_FILES: usize = 16;
/// Answer files of one grant.
pub const MAX_ANSWERS: usize = 32;
/// All answer files of one grant together, bytes: the grant fits into a frame.
pub const MAX_ANSWER_BYTES: usize = 512 << 10;

/// What one controller asks the other. Either side asks, whoever dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PeerAsk {
    /// What would this machine boot? Changes nothing.
    Peek(Question),
    /// The same, to be served now: what is granted is written down before the answer.
    Claim(Question),
    /// How a granted boot ended.
    Evidence(Evidence),
    /// The MACs that the sender has something for, all of them: what was named before counts no more.
    Macs {
        /// 12 hex digits each, at most [`MAX_MACS`].
        macs: Vec<String>,
    },
    /// The bytes of a granted file.
    File {
        /// Of which grant.
        nonce: String,
        /// 0 is the kernel, then the initrds.
        index: u32,
        /// The first byte wanted: a transfer that broke goes on.
        #[serde(default)]
        from: u64,
    },
    /// The machines that the asker's people may see, by name.
    Machines {
        /// Only names behind this one.
        #[serde(default)]
        after: Option<String>,
        /// How many at most, up to [`MAX_ROWS`].
        limit: u32,
    },
    /// The events of those machines, as they happen: answers follow one another on this stream until a side ends it.
    Events {
        /// Only events with a larger number; absent: only what happens from now on.
        #[serde(default)]
        after: Option<u64>,
    },
    /// A version of a public image.
    Image {
        /// The image's name.
        name: String,
        /// Which version; absent: the newest.
        #[serde(default)]
        version: Option<u32>,
    },
    /// The manifest of such a version.
    Manifest {
        /// The image's name.
        name: String,
        /// Which version.
        version: u32,
    },
    /// Chunks of such a version: parcels, in the order asked.
    Chunks {
        /// The image's name.
        name: String,
        /// Which version.
        version: u32,
        /// BLAKE3 of each, 64 hex digits; at most 256.
        ids: Vec<String>,
    },
}

/// A machine that asks, as far as it matters elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The NIC that boots.
    pub mac: String,
    /// Its processor, when it is known: `x86`, `x64`, `arm32`, `arm64`.
    #[serde(default)]
    pub arch: Option<String>,
    /// The boot's random session; `None` in a peek for a person.
    #[serde(default)]
    pub session: Option<String>,
    /// The sites that were asked so far, the first asker first.
    pub visited: Vec<String>,
    /// How often this question may still be handed on.
    pub hops: u8,
}

/// How a granted boot ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which grant; told twice is told once.
    pub nonce: String,
    /// How.
    pub outcome: Outcome,
    /// Why, for people.
    pub reason: String,
}

/// The ends of a granted boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It came up, or its files were fetched: as the config says.
    Confirmed,
    /// It reported a failure, or was served too often.
    Failed,
    /// It was given back; the owner may serve it elsewhere.
    Released,
}

/// What closes a granted boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedBy {
    /// All files were fetched.
    Fetched,
    /// A callback of the booted system.
    Callback,
    /// Its agent's report.
    Agent,
}

/// The answer to a [`PeerAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PeerReply {
    /// There is something for the machine.
    Offer {
        /// The config's name.
        config: String,
        /// It writes to the machine's disk.
        #[serde(default)]
        writes_disk: bool,
    },
    /// There is nothing for it.
    Nothing {
        /// Why, for people.
        why: String,
    },
    /// It is the asker's to serve.
    Grant(Box<Grant>),
    /// Taken, and written down.
    Noted,
    /// So many bytes follow on this stream.
    Follows {
        /// How many; 0 before parcels, which say it themselves.
        len: u64,
    },
    /// Machines, by name.
    Machines {
        /// At most as many as were asked for.
        rows: Vec<MachineRow>,
        /// There are others behind the last one.
        #[serde(default)]
        more: bool,
    },
    /// Events, the oldest first; none of them, as a sign of life.
    Events {
        /// At most [`MAX_EVENTS`].
        events: Vec<ShownEvent>,
        /// Everything up to this number was looked at: ask behind it to go on.
        seen: u64,
        /// Events before these are gone, or the numbers began anew.
        #[serde(default)]
        lost: bool,
    },
    /// A version of an image.
    Image(ShownImage),
    /// No.
    Refused(Refusal),
}

/// A boot config, granted for one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The activation at its owner: 32 hex digits, the same at each claim until it is closed.
    pub nonce: String,
    /// The config's name.
    pub config: String,
    /// Served on each boot for as long as it lives; nothing closes it.
    #[serde(default)]
    pub standing: bool,
    /// It writes to the machine's disk.
    #[serde(default)]
    pub writes_disk: bool,
    /// What closes it.
    pub closed_by: ClosedBy,
    /// Kernel, then initrds in order.
    pub files: Vec<GrantedFile>,
    /// The kernel's command line, filled in; [`BASE`] stands for the controller that serves it.
    pub cmdline: String,
    /// Answer files, filled in, in the same way.
    #[serde(default)]
    pub answers: Vec<GrantedAnswer>,
    /// For how long it may be served, seconds from now.
    pub lives_s: u32,
}

/// A file of a [`Grant`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedFile {
    /// Its name in scripts.
    pub name: String,
    /// SHA-256 of its bytes, 64 lower-case hex digits.
    pub sha256: String,
    /// How many.
    pub size: u64,
}

/// An answer file of a [`Grant`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedAnswer {
    /// Its name under the nonce.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a site sends that was invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ToInviter {
    /// Let us know each other.
    Join {
        /// The invitation's name, 8 hex digits.
        invitation: String,
        /// Its secret. The inviter's CA was checked against the invitation before this was sent.
        secret: Secret,
        /// The site that joins.
        site: String,
        /// Its CA, PEM.
        ca: String,
        /// Where its controller listens for links.
        addresses: Vec<SocketAddr>,
    },
}

/// What the inviter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum FromInviter {
    /// The sites know each other now.
    Joined {
        /// The inviter's site.
        site: String,
        /// Its CA, PEM: the one that the invitation names.
        ca: String,
        /// Where its controller listens for links.
        addresses: Vec<SocketAddr>,
    },
    /// No.
    Refused(Refusal),
}
