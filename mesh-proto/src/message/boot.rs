//! Boot through a helper: an agent that serves DHCP-proxy, TFTP and boot HTTP on its own segment.
//!
//! A helper decides nothing: it carries each question of a machine over its link, and the controller answers as it would
//! have answered on a socket of its own. Files are named by SHA-256 and fetched once. Texts that machines said (uuid,
//! serial, session, paths) are passed on as they came; the controller reads them as a stranger's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::delegation::Signed;

/// Notes in one message; more wait for the next.
pub const MAX_NOTES: usize = 256;

/// What a helper is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duty {
    /// Interfaces to serve, by name; empty: all that are up and have an IPv4 address.
    #[serde(default)]
    pub interfaces: Vec<String>,
}

/// How a helper is doing, as it tells when that changes and at the start of each link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperReport {
    /// In a word.
    pub state: HelperState,
    /// In a sentence: why not, or where.
    pub text: String,
}

/// The states of a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelperState {
    /// It gets its files, or waits for a port.
    Starting,
    /// Its sockets answer.
    Serving,
    /// A port is taken or an interface is missing; it tries again.
    Failed,
    /// The role was taken from it.
    Off,
}

/// What a helper asks, in the name of a machine on its segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum BootAsk {
    /// What is this DHCP client offered? Answered [`BootAnswer::Offer`]. Of several helpers that hear one client, one is
    /// told more than `silent`.
    Offer(Client),
    /// What happened on the helper's sockets, oldest first; answered [`BootAnswer::Noted`]. What it tells counts for every
    /// question that is asked after the answer.
    Notes {
        /// At most [`MAX_NOTES`].
        notes: Vec<Note>,
    },
    /// The script of a machine; a claim in it is durable when it is answered. Answered [`BootAnswer::Script`].
    Script(ScriptQuestion),
    /// A file that everybody may read, by its path such as `firmware/ipxe.efi`. Answered [`BootAnswer::File`].
    File {
        /// Without a slash before it.
        path: String,
    },
    /// All boot programs, for TFTP; answered [`BootAnswer::Programs`].
    Programs,
    /// What may the helper answer by itself while the controller is away? Asked when all that happened is told. Answered
    /// [`BootAnswer::Delegation`].
    Delegation,
    /// A boot of an activation that was delegated to this helper was served by it; answered [`BootAnswer::Served`] when that is
    /// durable, and as often as it is told.
    Served(Served),
    /// A file of an activation; the claim is durable when it is answered. Answered [`BootAnswer::NonceFile`].
    NonceFile(NonceQuestion),
    /// A machine has acknowledged these bytes of an activation's file; answered [`BootAnswer::Noted`] when that is durable,
    /// and as often as it is told.
    Received(Received),
    /// The booted system calls back; answered [`BootAnswer::Callback`] when that is durable, and as often as it is told.
    Callback {
        /// Which activation.
        nonce: String,
        /// Its words about a failure; `None`: success.
        #[serde(default)]
        failure: Option<String>,
    },
}

/// A network boot client, as one DHCP request describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The station that asks.
    pub mac: String,
    /// Option 97 without its type octet, 32 hex digits.
    #[serde(default)]
    pub uuid: Option<String>,
    /// What its ROM is: `bios`, `uefi-pxe x64`, `uefi-http arm64`, `raspberry-pi`.
    pub firmware: String,
    /// Whether iPXE itself asks.
    pub ipxe: bool,
}

/// What a DHCP client is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "offer")]
pub enum Offer {
    /// Nothing is said.
    Silent,
    /// This boot program.
    Firmware {
        /// By TFTP under its name, by HTTP under `/firmware/NAME`.
        name: String,
    },
    /// iPXE runs already: the general script.
    Script,
}

/// A question for `/boot/MAC`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptQuestion {
    /// The boot NIC's address.
    pub mac: String,
    /// SMBIOS uuid as iPXE prints it.
    #[serde(default)]
    pub uuid: Option<String>,
    /// SMBIOS serial.
    #[serde(default)]
    pub serial: Option<String>,
    /// iPXE's `${buildarch}`.
    #[serde(default)]
    pub arch: Option<String>,
    /// iPXE's `${platform}`.
    #[serde(default)]
    pub platform: Option<String>,
    /// Random per run of the general script.
    #[serde(default)]
    pub session: Option<String>,
    /// The management OS could not be loaded in this session.
    #[serde(default)]
    pub after_management: bool,
    /// The machine's address.
    pub from: SocketAddr,
    /// The helper's address that was asked; scripts name files by it.
    pub at: SocketAddr,
    /// Where the helper reaches the controller: what the management OS is told to dial.
    pub controller: SocketAddr,
}

/// A question for `/boot/n/NONCE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceQuestion {
    /// Which activation.
    pub nonce: String,
    /// Which file.
    pub name: String,
    /// Which boot.
    #[serde(default)]
    pub session: Option<String>,
    /// Only its size is wanted, nothing may change.
    #[serde(default)]
    pub peek: bool,
    /// The machine's address.
    pub from: SocketAddr,
    /// The helper's address that was asked.
    pub at: SocketAddr,
}

/// A boot that a helper served of what was delegated to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Which activation.
    pub nonce: String,
    /// Which boot.
    pub session: String,
    /// It asked for a boot file; else only for the script.
    pub fetched: bool,
}

/// Bytes of an activation's file that a machine acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Which activation.
    pub nonce: String,
    /// Which file.
    pub name: String,
    /// Which boot.
    pub session: String,
    /// From this byte on.
    pub start: u64,
    /// To before this one.
    pub end: u64,
    /// Bytes of the whole file.
    pub size: u64,
}

/// What happened on a helper's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "note")]
pub enum Note {
    /// A boot client asked by DHCP and was offered this.
    Asked {
        /// Who.
        client: Client,
        /// What it was told.
        told: Offer,
    },
    /// A client requested this address: binds the address to the MAC.
    AddressRequested {
        /// Who.
        mac: String,
        /// Which address.
        ip: Ipv4Addr,
    },
    /// Another DHCP server answered on the segment.
    ForeignServer {
        /// Its server id, else its source address.
        server: Ipv4Addr,
        /// Whether it offers booting.
        boots: bool,
    },
    /// A TFTP transfer was complete.
    Loaded {
        /// The client's address.
        from: IpAddr,
        /// What it asked for.
        name: String,
    },
    /// An HTTP request was answered.
    Http {
        /// The client's address.
        from: IpAddr,
        /// The path it asked for, cut.
        path: String,
        /// The status it got.
        status: u16,
    },
}

/// What a helper is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum BootAnswer {
    /// It is taken.
    Noted,
    /// To an offer.
    Offer(Offer),
    /// To a question for a script.
    Script {
        /// iPXE's language.
        text: String,
    },
    /// To a question for a file.
    File {
        /// `None`: there is no such file.
        file: Option<StoredFile>,
    },
    /// All boot programs.
    Programs {
        /// By name.
        programs: Vec<Program>,
    },
    /// To a question for an activation's file.
    NonceFile(NonceFile),
    /// What the helper may answer by itself.
    Delegation(Signed),
    /// To a served boot.
    Served {
        /// Whether the activation is still to be served.
        go: bool,
    },
    /// To a callback.
    Callback {
        /// Whether there is such a boot.
        known: bool,
    },
}

/// A file by its content; a helper fetches it by [`BootFile`](super::link::FromAgent::BootFile).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// SHA-256, 64 hex digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// A boot program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The name it is asked for by.
    pub name: String,
    /// Its content.
    pub file: StoredFile,
}

/// What a file of an activation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum NonceFile {
    /// A boot file; its arrival is evidence for this session.
    Stored {
        /// The file.
        file: StoredFile,
        /// The boot it is counted for.
        session: String,
    },
    /// An answer file, filled in; not to be kept.
    Text {
        /// Its text.
        text: String,
    },
    /// A file made for this activation; to be fetched at once, and not to be kept.
    Made {
        /// The file.
        file: StoredFile,
    },
    /// The activation is closed.
    Gone {
        /// Why.
        why: String,
    },
    /// It is not for this asker.
    Refused {
        /// Why.
        why: String,
    },
    /// No such activation or file.
    Unknown,
}
