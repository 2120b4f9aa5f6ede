//! A server is who shows one certificate that a person named by its SHA-256; or, where that is the certificate of a CA that the
//! server sends along, for whom that CA speaks.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest as _, Sha256};

/// See the module.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl PinnedVerifier {
    pub(super) fn new(sha256: [u8; 32], provider: Arc<CryptoProvider>) -> Self {
        Self { sha256, provider }
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown: [u8; 32] = Sha256::digest(leaf).into();
        if shown == self.sha256 {
            return Ok(ServerCertVerified::assertion());
        }
        if let Some(ca) = sent.iter().find(|ca| Sha256::digest(ca)[..] == self.sha256) {
            let mut roots = RootCertStore::empty();
            roots.add(ca.clone().into_owned())?;
            let provider = Arc::clone(&self.provider);
            let by_ca = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let by_ca = by_ca.build().map_err(|e| Error::General(e.to_string()))?;
            return by_ca.verify_server_cert(leaf, &[], name, ocsp, now);
        }
        Err(Error::General(format!(
            "it shows another certificate, with SHA-256 {}",
            crate::hex::of(&shown)
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
