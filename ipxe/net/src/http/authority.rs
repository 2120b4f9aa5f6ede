//! What boot HTTP asks beyond [`BootAuthority`]: files, evidence, callbacks.

use bytes::Bytes;
use std::{future::Future, net::SocketAddr, ops::Range};

use ipxe::MacAddr;

use crate::{BootAuthority, BootFile};

/// Decides what boot HTTP serves.
pub trait HttpAuthority: BootAuthority {
    /// The general script for a machine that reaches us at `at`, with a session of its own.
    fn general_script(&self, at: SocketAddr) -> String;

    /// A file that everybody may read, by its path such as `firmware/ipxe.efi`; no segment is empty or starts with a dot.
    fn http_file(&self, path: &str) -> impl Future<Output = Option<BootFile>> + Send;

    /// A file of an activation. Unless it is a peek, the claim is durable when this returns.
    fn nonce_file(&self, ask: NonceAsk) -> impl Future<Output = NonceReply> + Send;

    /// A machine has acknowledged these bytes of an activation's file.
    fn nonce_received(&self, file: NonceReceived) -> impl Future<Output = ()> + Send;

    /// The booted system calls back: success, or its words about the failure. Durable when this returns.
    fn callback(
        &self,
        nonce: String,
        failure: Option<String>,
    ) -> impl Future<Output = CallbackReply> + Send;

    /// The answer of pixiecore's API for this machine, as JSON; `None`: do not boot it.
    fn pixiecore(&self, mac: MacAddr, at: SocketAddr) -> Option<String>;

    /// Prometheus' text format.
    fn metrics(&self) -> String;
}

/// A question for `/boot/n/{nonce}/{name}`. Texts are raw, from a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceAsk {
    /// Which activation.
    pub nonce: String,
    /// Which file.
    pub name: String,
    /// Which boot.
    pub session: Option<String>,
    /// HEAD: only the size is wanted, nothing may change.
    pub peek: bool,
    /// Who asks.
    pub from: SocketAddr,
    /// The address of ours that was asked.
    pub at: SocketAddr,
}

/// What a file of an activation is.
#[derive(Debug, Clone)]
pub enum NonceReply {
    /// A boot file; its arrival is evidence for this session.
    File {
        /// The file.
        file: BootFile,
        /// The boot it is counted for.
        session: String,
    },
    /// An answer file, filled in.
    Text(String),
    /// A file made for this activation that is no text.
    Data(Bytes),
    /// The activation is closed, and why.
    Gone(String),
    /// It is not for this asker, and why.
    Refused(String),
    /// No such activation or file.
    Unknown,
    /// The claim could not be written; nothing may be served.
    Unavailable,
}

/// Bytes of an activation's file that a machine acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceReceived {
    /// Which activation.
    pub nonce: String,
    /// Which file.
    pub name: String,
    /// Which boot.
    pub session: String,
    /// Which bytes.
    pub bytes: Range<u64>,
    /// Size of the whole file, bytes.
    pub size: u64,
}

/// What a calling-back system is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackReply {
    /// It is written down, or was before.
    Taken,
    /// No such activation.
    Unknown,
    /// It could not be written; call again.
    Unavailable,
}
