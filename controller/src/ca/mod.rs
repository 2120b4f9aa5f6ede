//! The site's certificate authority: one P-256 key in the state folder, from which every node's certificate comes.
//!
//! A certificate says which node a key belongs to and nothing else; how well the key was proved, and whether it is
//! revoked, stands in the store under its serial.

mod folder;
mod issue;
mod reading;
#[cfg(test)]
mod tests;
mod ticket;

use std::{io, path::PathBuf};

use mesh_net::{KeyError, NodeKey, SiteIdentity, TlsError, cert};
use mesh_proto::identity::NodeId;
use rcgen::{Issuer, KeyPair};
use sha2::{Digest as _, Sha256};

pub use self::{
    issue::{Leaf, Subject, fresh_serial},
    reading::Reading,
    ticket::{BadTicket, TicketCheck},
};
use crate::disk;

/// Why there is no authority; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The folder or a file in it.
    #[error("cannot use the key folder {}; {}", path.display(), disk::cure(source))]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// A file is gone or is not what we wrote.
    #[error(
        "{} is damaged or missing; bring {} back from a backup, or, to begin a new site that every agent has to join anew, move that folder away",
        path.display(), path.parent().unwrap_or(path).display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The configuration names another site.
    #[error(
        "the keys in {} belong to the site '{theirs}', and `site` says '{configured}'; set `site = \"{theirs}\"`, or, to begin a new site that every agent has to join anew, move that folder away",
        path.display()
    )]
    OtherSite {
        /// The key folder.
        path: PathBuf,
        /// The site the keys were made for.
        theirs: String,
        /// The site in the configuration.
        configured: String,
    },
    /// A serial of ours that is none: a mistake of ours.
    #[error("a certificate's serial cannot be read; please report it with the log")]
    Serial,
    /// A key could not be made or used.
    #[error("a certificate cannot be made ({0}); please report it with the log")]
    Sign(#[from] rcgen::Error),
    /// As mesh-net says.
    #[error("a key cannot be made ({0}); please report it with the log")]
    Key(#[from] KeyError),
    /// What we issued for ourselves is not taken: a mistake of ours.
    #[error("the controller's own certificate is not taken ({0}); please report it with the log")]
    Own(#[from] TlsError),
}

/// A controller makes itself a new certificate at each start, and at two thirds of this, seconds.
pub const CONTROLLER_LIVES_S: i64 = 90 * 24 * 3600;

/// The authority. Its `Debug` shows no key.
pub struct Ca {
    site: String,
    node: NodeId,
    generation: u32,
    pem: String,
    sha256: [u8; 32],
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// The certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the certificate's DER: what agents pin.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The same as 64 hex digits: what kernel command lines carry.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        crate::hex::of(&self.sha256)
    }

    /// The site's name.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// This controller's node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Counts this controller's starts: its generation in the gossip.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What this controller shows and believes on its links, good from `now_unix_s` on.
    ///
    /// The key lives in memory and each start makes a new one: agents believe the site's CA and the name, not the key.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn identity(&self, now_unix_s: i64) -> Result<SiteIdentity, CaError> {
        let key = NodeKey::generate()?;
        let leaf = self.issue(&Leaf {
            subject: Subject::Controller,
            spki: &key.spki(),
            serial: &fresh_serial(),
            issued: now_unix_s,
            expires: now_unix_s + CONTROLLER_LIVES_S,
        })?;
        Ok(SiteIdentity::from_pem(&self.pem, &leaf, &key)?)
    }

    /// A secret that is the same at each start, for the mesh's server: with it, agents are told that a link is gone.
    #[must_use]
    pub fn reset_key(&self) -> [u8; 32] {
        let mut derived = Sha256::new();
        derived.update(b"enforcer quic reset\0");
        derived.update(self.issuer.key().serialize_der());
        derived.finalize().into()
    }

    fn new(
        site: &str,
        node: NodeId,
        generation: u32,
        pem: String,
        key: KeyPair,
    ) -> Result<Self, CaError> {
        let der = mesh_net::keys::certificate_der(&pem)?;
        Ok(Self {
            site: site.to_owned(),
            node,
            generation,
            sha256: cert::ca_sha256(&der),
            issuer: Issuer::from_ca_cert_der(&der, key)?,
            pem,
        })
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ca({}, {})", self.site, self.node)
    }
}
