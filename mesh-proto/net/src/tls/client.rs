//! The agent's side: which controllers are believed.

use std::sync::Arc;

use mesh_proto::identity::Role;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    ALPN_BULK, ALPN_ENROL, ALPN_LINK, ALPN_PEER, ALPN_PEER_JOIN, Clock, LinkIdentity, SiteIdentity,
    TlsError, provider, refuse, time_within,
};
use crate::{
    agent::CaTrust,
    cert::{CertError, PeerCert, ca_sha256, controller_name},
};

/// How long past its end a controller's certificate is still believed, seconds: clocks of machines that are off most of
/// the time run days ahead, and a machine that refused its controller for it could never be told.
const SKEW_S: i64 = 24 * 3600;

/// For links: only controllers of the identity's own site.
pub(crate) fn link_config(
    identity: &LinkIdentity,
    clock: &Clock,
) -> Result<QuicClientConfig, TlsError> {
    finish(of_site(identity, clock)?, ALPN_LINK)
}

/// For connections beside a link, over TCP.
pub(crate) fn bulk_config(
    identity: &LinkIdentity,
    clock: &Clock,
) -> Result<Arc<ClientConfig>, TlsError> {
    Ok(Arc::new(alone(of_site(identity, clock)?, ALPN_BULK)))
}

fn of_site(identity: &LinkIdentity, clock: &Clock) -> Result<ClientConfig, TlsError> {
    let floor = identity.own.not_before;
    let clock = Arc::clone(clock);
    let verifier = ControllerVerifier {
        trust: Trust::Site {
            ca: identity.ca.clone(),
            site: identity.own.site.clone(),
        },
        clock: Arc::new(move || clock().max(floor)),
        provider: provider(),
    };
    let shown = vec![identity.leaf.clone()];
    Ok(builder(verifier)?.with_client_auth_cert(shown, identity.key.clone_key())?)
}

/// For enrolment: any site whose CA the agent was told of, or any at all.
pub(crate) fn enrol_config(trust: &CaTrust, clock: &Clock) -> Result<QuicClientConfig, TlsError> {
    let verifier = ControllerVerifier {
        trust: Trust::Told(trust.clone()),
        clock: Arc::clone(clock),
        provider: provider(),
    };
    finish(builder(verifier)?.with_no_client_auth(), ALPN_ENROL)
}

/// For links to another site: only controllers of that site, by the CA that was exchanged with it.
pub(crate) fn peer_config(
    identity: &SiteIdentity,
    (site, ca): (&str, CertificateDer<'static>),
    clock: &Clock,
) -> Result<QuicClientConfig, TlsError> {
    let verifier = ControllerVerifier {
        trust: Trust::Site {
            ca,
            site: site.to_owned(),
        },
        clock: Arc::clone(clock),
        provider: provider(),
    };
    let own = &identity.0;
    let config =
        builder(verifier)?.with_client_auth_cert(vec![own.leaf.clone()], own.key.clone_key())?;
    finish(config, ALPN_PEER)
}

/// For the first contact with a site that invited us: nothing is sent before its CA is the one that the invitation names.
pub(crate) fn peer_join_config(
    ca_sha256: [u8; 32],
    clock: &Clock,
) -> Result<QuicClientConfig, TlsError> {
    let verifier = ControllerVerifier {
        trust: Trust::Told(CaTrust::Sha256(ca_sha256)),
        clock: Arc::clone(clock),
        provider: provider(),
    };
    finish(builder(verifier)?.with_no_client_auth(), ALPN_PEER_JOIN)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder(verifier: ControllerVerifier) -> Result<Builder, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// For this protocol and no other, from the first byte of the handshake on.
fn alone(mut config: ClientConfig, alpn: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}

fn finish(config: ClientConfig, alpn: &[u8]) -> Result<QuicClientConfig, TlsError> {
    QuicClientConfig::try_from(alone(config, alpn))
        .map_err(|_| TlsError::Rustls(Error::General("no initial cipher suite".into())))
}

enum Trust {
    Site {
        ca: CertificateDer<'static>,
        site: String,
    },
    Told(CaTrust),
}

struct ControllerVerifier {
    trust: Trust,
    clock: Clock,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for ControllerVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ControllerVerifier(..)")
    }
}

impl ControllerVerifier {
    /// The CA to check against: the one that is known, or the one that was sent when it is the one that was told.
    fn ca<'a>(&'a self, sent: &'a [CertificateDer<'_>]) -> Result<&'a CertificateDer<'a>, Error> {
        match &self.trust {
            Trust::Site { ca, .. } => Ok(ca),
            Trust::Told(told) => {
                let ca = sent
                    .last()
                    .ok_or_else(|| Error::General("the controller did not send its CA".into()))?;
                let fits = told.fits(&ca_sha256(ca));
                fits.then_some(ca)
                    .ok_or_else(|| Error::General(OTHER_CA.into()))
            }
        }
    }

    fn node(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
    ) -> Result<(), CertError> {
        let now = (self.clock)();
        let peer = PeerCert::parse(leaf, now)?;
        let ours = match &self.trust {
            Trust::Site { site, .. } => peer.site == *site,
            Trust::Told(_) => true,
        };
        let name =
            ServerName::try_from(controller_name(&peer.site)).map_err(|_| CertError::NoNode)?;
        let named = verify_server_name(parsed, &name).is_ok();
        let fresh = now <= peer.not_after.saturating_add(SKEW_S);
        let good = ours && named && fresh && peer.serves && peer.role == Role::Controller;
        good.then_some(()).ok_or(CertError::Usage)
    }
}

const OTHER_CA: &str = "the controller shows another CA than the one this machine was told of";

impl ServerCertVerifier for ControllerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca(sent)?.clone().into_owned())?;
        let at = time_within(leaf, (self.clock)()).map_err(|e| refuse(&e))?;
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], at, algorithms)?;
        self.node(leaf, &parsed).map_err(|e| refuse(&e))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
