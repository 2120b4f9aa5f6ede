//! The key the agent holds, with all that was issued to it, and where it is kept: in memory in the management OS, in the
//! state folder of an installed OS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mesh_net::{Enrolled, LinkIdentity, NodeKey, TlsError};
use mesh_proto::identity::NodeId;

use crate::fingerprint::Fingerprint;
use crate::keystore::{Found, Kept, KeyStore, KeyStoreError};

/// A key with its certificate.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The key pair.
    pub key: Arc<NodeKey>,
    /// The same, ready for links.
    pub link: LinkIdentity,
    /// The site's CA, PEM.
    pub ca: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The machine this is.
    pub machine: NodeId,
    /// Its name at the site.
    pub name: String,
    /// Where controllers listen for links, best first.
    pub controllers: Vec<SocketAddr>,
    /// The newest generation a controller gave.
    pub last_generation: u32,
}

impl Identity {
    /// From an enrolment with this key, by a controller that was reached at this address.
    #[must_use]
    pub fn issued(key: Arc<NodeKey>, enrolled: Enrolled, by: SocketAddr) -> Self {
        let issued = enrolled.issued;
        let told = issued
            .controllers
            .iter()
            .filter_map(|text| text.parse().ok());
        let mut controllers = vec![by];
        controllers.extend(told.filter(|told: &SocketAddr| *told != by));
        Self {
            key,
            link: enrolled.identity,
            ca: issued.ca,
            certificate: issued.certificate,
            machine: issued.machine,
            name: issued.name,
            controllers,
            last_generation: 0,
        }
    }

    /// The same machine with another certificate, and the key it is for.
    ///
    /// # Errors
    /// When they do not belong together.
    pub fn renewed(&self, key: Arc<NodeKey>, certificate: String) -> Result<Self, TlsError> {
        Ok(Self {
            link: LinkIdentity::from_pem(&self.ca, &certificate, &key)?,
            key,
            certificate,
            ..self.clone()
        })
    }

    /// As it was kept.
    ///
    /// # Errors
    /// When what was kept does not belong together.
    pub fn kept(kept: Kept) -> Result<Self, TlsError> {
        let key = Arc::new(NodeKey::from_pem(kept.key.expose())?);
        Ok(Self {
            link: LinkIdentity::from_pem(&kept.ca, &kept.certificate, &key)?,
            key,
            ca: kept.ca,
            certificate: kept.certificate,
            machine: kept.machine,
            name: kept.name,
            controllers: kept.controllers,
            last_generation: kept.last_generation,
        })
    }

    fn to_keep(&self, board: &Fingerprint) -> Kept {
        Kept {
            board: board.clone(),
            site: self.link.own.site.clone(),
            machine: self.machine,
            name: self.name.clone(),
            key: self.key.to_pem(),
            certificate: self.certificate.clone(),
            ca: self.ca.clone(),
            controllers: self.controllers.clone(),
            last_generation: self.last_generation,
        }
    }
}

/// Where identities are kept.
#[derive(Debug)]
pub enum Memory {
    /// In this process: the next one begins anew.
    Ram,
    /// In a folder, for this board.
    Folder {
        /// The folder.
        store: KeyStore,
        /// The board.
        board: Fingerprint,
    },
}

impl Memory {
    /// A folder that lies in memory and is gone with this boot, and what was kept there. A boot's secret is good for one key: an
    /// agent that was killed and is started again goes on as who it was, or it would have to wait for a person.
    ///
    /// # Errors
    /// When the folder cannot be used, or another agent uses it.
    pub fn of_this_boot(
        folder: &Path,
        board: Fingerprint,
    ) -> Result<(Self, Option<Identity>), KeyStoreError> {
        let store = KeyStore::open(folder)?;
        let kept = match store.find(&board)? {
            Found::Own(kept) => Identity::kept(*kept).ok(),
            Found::Nothing | Found::OtherBoard { .. } => None,
        };
        Ok((Self::Folder { store, board }, kept))
    }

    /// Keeps it; returns when it is durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, identity: &Identity) -> Result<(), KeyStoreError> {
        match self {
            Self::Ram => Ok(()),
            Self::Folder { store, board } => store.keep(&identity.to_keep(board)),
        }
    }

    /// Keeps the first identity of a join, which is done by it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_first(&self, identity: &Identity) -> Result<(), KeyStoreError> {
        self.keep(identity)?;
        match self {
            Self::Ram => Ok(()),
            Self::Folder { store, .. } => store.forget_join(),
        }
    }

    /// Forgets it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self) -> Result<(), KeyStoreError> {
        match self {
            Self::Ram => Ok(()),
            Self::Folder { store, .. } => store.forget(),
        }
    }
}
