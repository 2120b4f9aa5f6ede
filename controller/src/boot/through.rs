//! The same desk, asked through a helper: what a machine on its segment asks is answered as on a socket of our own.
//!
//! The helper's word for who asked counts as our own ears would, the address rule of boot secrets included: a person gave
//! it that role. What differs: of several helpers that hear one client one answers, files go by their hash, and the
//! timeline says through whom.

use std::net::SocketAddr;

use bytes::Bytes;
use ipxe::{BootOffer, PxeClient};
use ipxe_net::{
    BootFile, BootNote, CallbackReply, HttpAuthority as _, NonceAsk, NonceReceived, NonceReply,
    ScriptAsk,
};
use mesh_proto::{
    identity::NodeId,
    message::boot::{NonceFile, Program, StoredFile},
};
use tokio::task::spawn_blocking;

use super::{Desk, lock, named, turns::Answerer};
use crate::state::{ops::FetchAnswer, trust::Digest};

/// A helper that asks.
#[derive(Debug, Clone)]
pub struct Through {
    /// Its node.
    pub node: NodeId,
    /// Its machine's name, for people.
    pub name: String,
}

impl Desk {
    /// What a DHCP client is offered; silence where another answers it.
    pub fn offer_through(&self, client: &PxeClient, helper: &Through) -> BootOffer {
        self.offer_by(client, Answerer::Helper(helper.node))
    }

    /// What happened on a helper's socket.
    pub fn note_through(&self, note: BootNote, helper: &Through) {
        self.noted(note, Some(helper));
    }

    /// A machine's script; it finds the controller where its helper does.
    pub async fn script_through(
        &self,
        ask: ScriptAsk,
        controller: SocketAddr,
        helper: &Through,
    ) -> String {
        self.script_for(ask, Some((helper, controller))).await
    }

    /// A file that everybody may read, by its path.
    pub async fn file_through(&self, path: &str) -> Option<StoredFile> {
        if let Some(name) = path.strip_prefix("firmware/") {
            return self.program(name);
        }
        let file = self.public_file(path)?;
        self.named(file).await
    }

    /// All boot programs.
    #[must_use]
    pub fn programs(&self) -> Vec<Program> {
        let firmware = self.firmware.load();
        let names = firmware.manifest().files.iter().map(|entry| &entry.name);
        let program = |name: &String| {
            let file = self.program(name)?;
            let name = name.clone();
            Some(Program { name, file })
        };
        names.filter_map(program).collect()
    }

    fn program(&self, name: &str) -> Option<StoredFile> {
        let firmware = self.firmware.load();
        let entry = firmware.manifest().files.iter().find(|e| e.name == name)?;
        let file = firmware.file(name)?;
        Some(lock(&self.named).hold(&entry.sha256, file))
    }

    /// The file under its hash, which is computed when it is not known.
    async fn named(&self, file: BootFile) -> Option<StoredFile> {
        let known = lock(&self.named).known(&file);
        if let Some(sha256) = known {
            return Some(lock(&self.named).hold(&sha256, &file));
        }
        let hashed = spawn_blocking(move || named::hash(&file).map(|sha256| (sha256, file)));
        let (sha256, file) = hashed.await.ok()?.ok()?;
        let mut named = lock(&self.named);
        named.learn(&file, &sha256);
        Some(named.hold(&sha256, &file))
    }

    /// The bytes of a file that was named lately.
    #[must_use]
    pub fn bytes_named(&self, sha256: &str) -> Option<BootFile> {
        // Only what is a hash is looked up, in a table: no name from the wire reaches the disk.
        sha256.parse::<Digest>().ok()?;
        lock(&self.named).get(sha256)
    }

    /// A file of an activation. Unless it is a peek, the claim is durable when this returns. `None`: it could not be written.
    pub async fn nonce_through(&self, ask: NonceAsk) -> Option<NonceFile> {
        let at = ask.at;
        let (answer, brought) = self.nonce_answer(ask).await.ok()?;
        let stored = match &answer {
            FetchAnswer::Asset(asset, _) => asset.sha256.clone(),
            _ => None,
        };
        Some(match self.reply(answer, brought, at) {
            NonceReply::File { file, session } => match stored {
                Some(sha256) => NonceFile::Stored {
                    file: lock(&self.named).hold(&sha256, &file),
                    session,
                },
                None => NonceFile::Unknown,
            },
            NonceReply::Text(text) => NonceFile::Text { text },
            NonceReply::Data(data) => self.made(data).await,
            NonceReply::Gone(why) => NonceFile::Gone { why },
            NonceReply::Refused(why) => NonceFile::Refused { why },
            NonceReply::Unknown => NonceFile::Unknown,
            NonceReply::Unavailable => return None,
        })
    }

    async fn made(&self, data: Bytes) -> NonceFile {
        match self.named(BootFile::Memory(data)).await {
            Some(file) => NonceFile::Made { file },
            None => NonceFile::Unknown,
        }
    }

    /// A machine has acknowledged bytes of an activation's file; durable when this says so, and as often as it is told.
    pub async fn received_through(&self, file: NonceReceived) -> bool {
        self.received(file).await
    }

    /// A booted system calls back. `None`: it could not be written.
    pub async fn callback_through(&self, nonce: String, failure: Option<String>) -> Option<bool> {
        match self.callback(nonce, failure).await {
            CallbackReply::Taken => Some(true),
            CallbackReply::Unknown => Some(false),
            CallbackReply::Unavailable => None,
        }
    }
}
