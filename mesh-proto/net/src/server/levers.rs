//! What can be done to a server while it runs; `peer` dials other sites from its port.

use std::sync::Arc;

use quinn::Endpoint;

use super::{SharedBulk, SharedIdentity, SharedSites, lock, quic};
use crate::tls::{Clock, PeerCas, SiteIdentity, TlsError, bulk_server_config};

/// A running server's levers.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) endpoint: Endpoint,
    pub(super) identity: Arc<SharedIdentity>,
    pub(super) bulk: Arc<SharedBulk>,
    pub(super) sites: Arc<SharedSites>,
    pub(super) clock: Clock,
    pub(super) peers: PeerCas,
}

impl ServerHandle {
    /// Shows another certificate from now on; links that stand are not touched.
    ///
    /// # Errors
    /// When it cannot be used; the old one then stays.
    pub fn set_identity(&self, identity: SiteIdentity) -> Result<(), TlsError> {
        let bulk = bulk_server_config(&identity, Arc::clone(&self.clock))?;
        let (quic, sites) = quic(&identity, &self.clock, &self.peers)?;
        self.endpoint.set_server_config(Some(quic));
        *lock(&self.sites) = sites;
        *lock(&self.bulk) = bulk;
        *lock(&self.identity) = Arc::new(identity);
        Ok(())
    }
}
