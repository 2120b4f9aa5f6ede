//! What the drivers ask, and what they are told: the border between sockets and decisions.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use ipxe::{BootOffer, LeaseAnswer, LeaseAsk, MacAddr, PxeClient};
use tokio::sync::oneshot;

use crate::BootFile;

/// Decides what network boot clients get. Implemented by the controller (from its store) and by helper agents (over
/// their link). The synchronous calls answer from memory: iPXE waits only two seconds for a proxy offer.
pub trait BootAuthority: Send + Sync + 'static {
    /// What a PXE or HTTP-boot client is offered; a peek, changes nothing.
    fn offer(&self, client: &PxeClient) -> BootOffer;

    /// Where the offer is somebody else's to make: the way its answer will come, soon, or be dropped for silence. `None`:
    /// [`offer`](Self::offer) knows it.
    fn offer_later(&self, _client: &PxeClient) -> Option<oneshot::Receiver<BootOffer>> {
        None
    }

    /// An address for a machine (server mode only). Grants are durable when this returns.
    fn lease(&self, ask: LeaseAsk) -> impl Future<Output = LeaseAnswer> + Send;

    /// A file for a TFTP client, by its cleaned name (no leading slash, forward slashes, never `..`).
    fn tftp_file(&self, name: &str, from: IpAddr) -> Option<BootFile>;

    /// The iPXE script for a machine; a claim it contains is durable when this returns.
    fn script(&self, ask: ScriptAsk) -> impl Future<Output = String> + Send;

    /// Tells what happened on a socket. Never blocks; may drop when its buffer is full, and counts that.
    fn note(&self, note: BootNote);
}

/// A question for `/boot/{mac}`: what iPXE told about its machine. Texts are raw, from a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAsk {
    /// The boot NIC's address.
    pub mac: MacAddr,
    /// SMBIOS uuid as iPXE prints it.
    pub uuid: Option<String>,
    /// SMBIOS serial.
    pub serial: Option<String>,
    /// iPXE's `${buildarch}`.
    pub arch: Option<String>,
    /// iPXE's `${platform}`: `pcbios` or `efi`.
    pub platform: Option<String>,
    /// Random per run of the general script; retries of one boot carry the same.
    pub session: Option<String>,
    /// The management OS could not be loaded in this session: look further.
    pub after_management: bool,
    /// Who asks.
    pub from: SocketAddr,
    /// The address of ours that was asked; scripts name files by it.
    pub at: SocketAddr,
}

/// What happened on a boot socket, for the event record, the timeline and the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootNote {
    /// A boot client asked by DHCP and was offered this.
    Asked {
        /// Who.
        client: PxeClient,
        /// What it was told.
        offer: BootOffer,
    },
    /// A client requested this address (from us or from another server): binds the address to the MAC.
    AddressRequested {
        /// Who.
        mac: MacAddr,
        /// Which address.
        ip: Ipv4Addr,
    },
    /// Another DHCP server answered on a segment of ours.
    ForeignServer {
        /// Its server id (option 54), else its source address.
        server: Ipv4Addr,
        /// Whether it offers booting (option 60 `PXEClient`/`HTTPClient`, or a boot file).
        boots: bool,
        /// Whom it answered, where that is known.
        client: Option<MacAddr>,
    },
    /// A TFTP transfer ended.
    Tftp {
        /// The client's address.
        from: IpAddr,
        /// What it asked for, cleaned.
        name: String,
        /// Bytes acknowledged.
        bytes: u64,
        /// How it ended.
        end: TftpEnd,
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
    /// A packet or request was dropped; the reason is a metric label.
    Dropped(&'static str),
}

/// How a TFTP transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TftpEnd {
    /// Every byte acknowledged.
    Complete,
    /// The client said ERROR (UEFI's size probe does).
    Aborted,
    /// The client asked again from the same port.
    Restarted,
    /// No answer within the retries.
    TimedOut,
    /// No such file.
    NotFound,
    /// Refused by a limit.
    Refused,
}
