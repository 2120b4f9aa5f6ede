//! The controller's side: which client certificates are believed.

use std::sync::Arc;

use mesh_proto::identity::Role;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    ALPN_BULK, ALPN_ENROL, ALPN_LINK, ALPN_PEER, ALPN_PEER_JOIN, Clock, PeerCas, SiteIdentity,
    TlsError, provider, refuse, time_within,
};
use crate::cert::{CertError, PeerCert};

/// One configuration for all protocols over QUIC.
pub(crate) fn server_config(
    identity: &SiteIdentity,
    clock: Clock,
    peers: PeerCas,
) -> Result<QuicServerConfig, TlsError> {
    let protocols = [ALPN_LINK, ALPN_ENROL, ALPN_PEER, ALPN_PEER_JOIN];
    let config = over_tls(identity, clock, peers, &protocols)?;
    QuicServerConfig::try_from(config)
        .map_err(|_| TlsError::Rustls(Error::General("no initial cipher suite".into())))
}

/// And for connections beside links, over TCP. No other site is known there.
pub(crate) fn bulk_server_config(
    identity: &SiteIdentity,
    clock: Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let config = over_tls(identity, clock, super::no_peers(), &[ALPN_BULK])?;
    Ok(Arc::new(config))
}

fn over_tls(
    identity: &SiteIdentity,
    clock: Clock,
    peers: PeerCas,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let verifier = AgentVerifier::new(identity, clock, peers)?;
    // The CA goes along: who enrols has nothing yet but the CA's fingerprint, or not even that.
    let chain = vec![identity.0.leaf.clone(), identity.0.ca.clone()];
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, identity.0.key.clone_key())?;
    config.alpn_protocols = protocols.iter().map(|alpn| alpn.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Believes clients the site's CA has signed for clientAuth, and controllers of other sites by those sites' own CAs; lets those
/// without a certificate through, to enrol. A certificate that names a site is only ever held against that site's CA.
struct AgentVerifier {
    site: String,
    clock: Clock,
    peers: PeerCas,
    inner: Arc<dyn ClientCertVerifier>,
}

impl std::fmt::Debug for AgentVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentVerifier({})", self.site)
    }
}

impl AgentVerifier {
    fn new(identity: &SiteIdentity, clock: Clock, peers: PeerCas) -> Result<Self, TlsError> {
        Ok(Self {
            site: identity.site().to_owned(),
            clock,
            peers,
            inner: signed_by(identity.0.ca.clone())?,
        })
    }

    /// Whose signature the certificate has to bear.
    fn signer(&self, leaf: &CertificateDer<'_>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let peer = PeerCert::parse(leaf, (self.clock)()).map_err(|e| refuse(&e))?;
        // webpki lets a certificate without any extended key usage pass for every use.
        if !peer.asks {
            return Err(refuse(&CertError::Usage));
        }
        if peer.site == self.site {
            return Ok(Arc::clone(&self.inner));
        }
        let known = (self.peers)(&peer.site).filter(|_| peer.role == Role::Controller);
        signed_by(known.ok_or_else(|| refuse(&CertError::Usage))?)
    }
}

fn signed_by(ca: CertificateDer<'static>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

impl ClientCertVerifier for AgentVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false // enrolment; links look for it after the handshake
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let at = time_within(leaf, (self.clock)()).map_err(|e| refuse(&e))?;
        // The CA signs leafs itself; what else a client sends cannot help it.
        self.signer(leaf)?.verify_client_cert(leaf, &[], at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
