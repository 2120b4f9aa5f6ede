//! By what a server is believed: this host's CA certificates, some of one's own, or one certificate that is known.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider, pki_types::CertificateDer};
use tokio::sync::OnceCell;

use super::{ClientError, pin::PinnedVerifier};

/// Whom to believe. Read once, when a server is asked over TLS for the first time.
#[derive(Default)]
pub struct Trust {
    by: By,
    config: OnceCell<Arc<ClientConfig>>,
}

#[derive(Debug, Clone, Default)]
enum By {
    /// Who one of this host's CAs speaks for.
    #[default]
    System,
    /// Who one of these CAs speaks for.
    Roots(Vec<CertificateDer<'static>>),
    /// Who shows the certificate with this SHA-256, whatever its name and age: management controllers make their own.
    Pinned([u8; 32]),
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust({:?})", self.by)
    }
}

impl Trust {
    /// Only servers that one of these CAs speaks for.
    #[must_use]
    pub fn roots(roots: Vec<CertificateDer<'static>>) -> Self {
        Self::by(By::Roots(roots))
    }

    /// Only the server that shows the certificate with this SHA-256.
    #[must_use]
    pub fn pinned(sha256: [u8; 32]) -> Self {
        Self::by(By::Pinned(sha256))
    }

    fn by(by: By) -> Self {
        Self {
            by,
            config: OnceCell::new(),
        }
    }

    /// How TLS is spoken.
    pub(crate) async fn config(&self) -> Result<Arc<ClientConfig>, ClientError> {
        let made = self.config.get_or_try_init(async || self.make().await);
        made.await.cloned()
    }

    async fn make(&self) -> Result<Arc<ClientConfig>, ClientError> {
        let roots = match &self.by {
            By::System => system_roots().await,
            By::Roots(roots) => roots.clone(),
            By::Pinned(sha256) => {
                let verifier = PinnedVerifier::new(*sha256, provider());
                let config = builder()
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier));
                return Ok(Arc::new(config.with_no_client_auth()));
            }
        };
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(roots);
        if added == 0 {
            return Err(ClientError::NoRoots);
        }
        let config = builder().with_root_certificates(store);
        Ok(Arc::new(config.with_no_client_auth()))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS 1.2 too: many a management controller and mail server knows nothing newer.
fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3")
}

/// The host's CAs; files are read apart, since a disk may be slow.
async fn system_roots() -> Vec<CertificateDer<'static>> {
    let read = tokio::task::spawn_blocking(|| rustls_native_certs::load_native_certs().certs);
    read.await.unwrap_or_default()
}
