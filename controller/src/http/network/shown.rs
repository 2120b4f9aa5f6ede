//! The certificate that the API's port shows at this moment: for its connections, and for people who look.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// What each new connection is shown.
#[derive(Debug)]
pub(super) struct Shown(ArcSwap<CertifiedKey>);

impl Shown {
    pub(super) fn new(key: CertifiedKey) -> Self {
        Self(ArcSwap::from_pointee(key))
    }

    /// From the next connection on.
    pub(super) fn replace(&self, key: CertifiedKey) {
        self.0.store(Arc::new(key));
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What the port shows, to look at; it follows what [`super::Certificate::keep`] does.
#[derive(Debug, Clone)]
pub struct Presented {
    shown: Arc<Shown>,
    by_site: bool,
}

impl Presented {
    pub(super) fn new(shown: Arc<Shown>, by_site: bool) -> Self {
        Self { shown, by_site }
    }

    /// DER of the server's own certificate.
    #[must_use]
    pub fn leaf(&self) -> CertificateDer<'static> {
        // rustls takes no key without a certificate; nothing can be read of an empty one.
        let shown = self.shown.0.load();
        shown
            .cert
            .first()
            .cloned()
            .unwrap_or_else(|| Vec::new().into())
    }

    /// Whether the site's CA signed it, and it is renewed by itself.
    #[must_use]
    pub fn is_by_site(&self) -> bool {
        self.by_site
    }
}
