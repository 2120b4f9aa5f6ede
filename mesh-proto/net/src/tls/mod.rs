//! Site trust: who believes which certificate, as rustls configurations.
//!
//! TLS 1.3 with ring, the site's CA as the only root. No resumption, since a resumed session does not run the verifier
//! of client certificates, and no 0-RTT, since that can be replayed.
//!
//! One port serves two protocols. rustls settles client authentication before the protocol (ALPN) is known, so the
//! server asks everybody for a certificate, verifies what is shown, and looks right after the handshake, before it reads
//! a byte: who negotiated `enforcer/1` without a certificate is sent away.

mod client;
mod server;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use mesh_proto::identity::{NodeId, Role};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::{
    CipherSuite, SupportedCipherSuite,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::{
    cert::{self, CertError, PeerCert},
    keys::{KeyError, NodeKey, certificate_der},
};
pub(crate) use client::{bulk_config, enrol_config, link_config, peer_config, peer_join_config};
pub(crate) use server::{bulk_server_config, server_config};

/// The protocol of links: client certificate demanded.
pub const ALPN_LINK: &[u8] = b"enforcer/1";
/// The protocol of connections beside a link, over TCP: one request with bytes, or for bytes.
pub const ALPN_BULK: &[u8] = b"enforcer-bulk/1";
/// The protocol of enrolment: nothing but that is dispatched.
pub const ALPN_ENROL: &[u8] = b"enforcer-enrol/1";

/// The protocol of links between sites: the certificate of a controller of a site that is known is demanded.
pub const ALPN_PEER: &[u8] = b"enforcer-peer/1";
/// The protocol by which two sites get to know each other: nothing but that is dispatched.
pub const ALPN_PEER_JOIN: &[u8] = b"enforcer-peer-join/1";

/// The CA of a site that is known and not revoked, by the site's name. Asked in each handshake.
pub type PeerCas = Arc<dyn Fn(&str) -> Option<CertificateDer<'static>> + Send + Sync>;

/// Nobody is known.
#[must_use]
pub fn no_peers() -> PeerCas {
    Arc::new(|_| None)
}

/// What a boot proof is bound to a TLS session by (RFC 8446 §7.5): this label, an empty context, 32 bytes.
pub(crate) const EXPORTER: &[u8] = b"EXPORTER-enforcer-enrol";

/// The time as Unix seconds. A value that is asked for, since boards wake up in 1970 and tests choose their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// The system's clock, but never before `floor_unix_s`: the newest time the host has proof of.
#[must_use]
pub fn clock_not_before(floor_unix_s: i64) -> Clock {
    let system = system_clock();
    Arc::new(move || system().max(floor_unix_s))
}

/// Why keys and certificates do not make an identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// PEM or key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate that cannot be ours.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// The key is not the certificate's.
    #[error("the key does not belong to the certificate")]
    OtherKey,
    /// rustls refuses the configuration.
    #[error("TLS cannot use these certificates")]
    Rustls(#[from] rustls::Error),
}

/// What an agent shows and believes on links.
#[derive(Debug)]
pub struct LinkIdentity {
    /// What its own certificate says.
    pub own: PeerCert,
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl LinkIdentity {
    /// From the PEM texts of [`Issued`](mesh_proto::message::enrol::Issued) and the key they belong to.
    ///
    /// # Errors
    /// When one is not what it should be, or they do not belong together.
    pub fn from_pem(ca: &str, certificate: &str, key: &NodeKey) -> Result<Self, TlsError> {
        let leaf = certificate_der(certificate)?;
        let own = own(&leaf, key)?;
        Ok(Self {
            own,
            ca: certificate_der(ca)?,
            leaf,
            key: key.to_der(),
        })
    }

    /// Whether the site's CA key signed these bytes (ECDSA P-256, SHA-256, ASN.1; hex digits).
    #[must_use]
    pub fn site_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let pairs = (0..signature.len()).step_by(2);
        let digits = pairs.map(|at| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok());
        let Some(signature) = digits.collect::<Option<Vec<u8>>>() else {
            return false;
        };
        let Ok((_, ca)) = X509Certificate::from_der(&self.ca) else {
            return false;
        };
        let key = &ca.public_key().subject_public_key.data;
        let check = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
        check.verify(bytes, &signature).is_ok()
    }
}

impl Clone for LinkIdentity {
    fn clone(&self) -> Self {
        Self {
            own: self.own.clone(),
            ca: self.ca.clone(),
            leaf: self.leaf.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// What a controller shows and believes.
#[derive(Debug, Clone)]
pub struct SiteIdentity(pub(crate) LinkIdentity);

impl SiteIdentity {
    /// From the site's CA certificate and the controller's own leaf (PEM), and the leaf's key.
    ///
    /// # Errors
    /// When one is not what it should be, or they do not belong together.
    pub fn from_pem(ca: &str, certificate: &str, key: &NodeKey) -> Result<Self, TlsError> {
        let shown = LinkIdentity::from_pem(ca, certificate, key)?;
        let own = &shown.own;
        let right = own.role == Role::Controller && own.serves;
        let named = own.dns.contains(&cert::controller_name(&own.site));
        if !right || !named {
            return Err(CertError::Usage.into());
        }
        Ok(Self(shown))
    }

    /// What its own certificate says.
    #[must_use]
    pub fn own(&self) -> &PeerCert {
        &self.0.own
    }

    /// The site's name.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.0.own.site
    }

    /// The controller.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.own.node
    }

    /// SHA-256 of the CA certificate.
    #[must_use]
    pub fn ca_sha256(&self) -> [u8; 32] {
        cert::ca_sha256(&self.0.ca)
    }
}

fn own(leaf: &CertificateDer<'_>, key: &NodeKey) -> Result<PeerCert, TlsError> {
    use sha2::{Digest as _, Sha256};
    let own = PeerCert::parse(leaf, 0)?;
    let same = own.spki_sha256 == <[u8; 32]>::from(Sha256::digest(key.spki()));
    same.then_some(own).ok_or(TlsError::OtherKey)
}

/// ring's, with AES-128 first: as strong as the curve of all our keys, and a packet takes a quarter less work.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let others =
        |suite: &SupportedCipherSuite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(others);
    Arc::new(provider)
}

/// The time at which a leaf's chain is verified.
///
/// That a leaf is "not yet" valid says that this host's clock is late: the CA's signature is proof that its first second
/// has passed. And whether an old one counts is decided apart, with the whole certificate at hand. So the signature is
/// checked at a time when the leaf was good.
fn time_within(leaf: &CertificateDer<'_>, now: i64) -> Result<UnixTime, CertError> {
    let (from, until) = cert::validity_of(leaf)?;
    let at = now.max(from).min(until);
    let seconds = u64::try_from(at).map_err(|_| CertError::Malformed)?;
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        seconds,
    )))
}

fn refuse(error: &CertError) -> rustls::Error {
    rustls::Error::General(error.to_string())
}
