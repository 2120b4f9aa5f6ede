//! Key pairs (P-256), the requests they are certified by, and PEM.

use std::fmt;

use mesh_proto::message::Secret;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::PemObject as _,
};
use sha2::{Digest as _, Sha256};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

/// Longest certificate request: for a P-256 key it has 200 to 400 bytes. (PEM comes in a frame, which has a limit too.)
const MAX_CSR_BYTES: usize = 4 << 10;

/// Why a key, a request or a certificate in PEM cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The library could not make or read the key.
    #[error("the key cannot be used")]
    Key(#[source] rcgen::Error),
    /// Not PEM, or PEM of something else.
    #[error("this is not PEM of {0}")]
    Pem(&'static str),
    /// The request is malformed, too long, not signed by its own key, or for a key that is not P-256.
    #[error("the certificate request {0}")]
    Csr(&'static str),
}

/// A node's key pair. Its `Debug` shows nothing of it.
pub struct NodeKey(KeyPair);

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(..)")
    }
}

impl NodeKey {
    /// A new P-256 key.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(KeyError::Key)
    }

    /// A key as [`to_pem`](Self::to_pem) wrote it (PKCS#8).
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        KeyPair::from_pem(pem).map(Self).map_err(KeyError::Key)
    }

    /// PKCS#8, PEM: for a file only root may read, or for nothing.
    #[must_use]
    pub fn to_pem(&self) -> Secret {
        Secret::new(self.0.serialize_pem())
    }

    /// A PKCS#10 request for this key, PEM. It names nobody: who the key belongs to is the controller's word.
    ///
    /// # Errors
    /// When signing fails.
    pub fn csr_pem(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&self.0).map_err(KeyError::Key)?;
        csr.pem().map_err(KeyError::Key)
    }

    /// The public key: DER of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(&self.0)
    }

    /// The key as rustls takes it.
    #[must_use]
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// The key as rcgen signs with it (the CA's).
    #[must_use]
    pub fn as_rcgen(&self) -> &KeyPair {
        &self.0
    }
}

/// A certificate request whose signature holds. Only its key counts; names and extensions in it are a stranger's wishes
/// and are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// The public key to certify: DER of the SubjectPublicKeyInfo (`rcgen::SubjectPublicKeyInfo::from_der` takes it).
    pub spki: Vec<u8>,
    /// SHA-256 of `spki`: what a key is pinned by, as in [`PeerCert`](crate::PeerCert).
    pub spki_sha256: [u8; 32],
    /// SHA-256 of the request's DER: what a boot proof covers.
    pub sha256: [u8; 32],
}

impl Csr {
    /// Reads a stranger's request.
    ///
    /// # Errors
    /// When it is malformed, larger than any honest one, not signed by the key in it, or that key is not P-256.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeyError::Pem("a certificate request"))?;
        Self::from_der(&der)
    }

    /// The same from DER.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem).
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > MAX_CSR_BYTES {
            return Err(KeyError::Csr("is too long"));
        }
        let Ok(([], csr)) = X509CertificationRequest::from_der(der) else {
            return Err(KeyError::Csr("is malformed"));
        };
        let spki = csr.certification_request_info.subject_pki.raw;
        is_p256(spki)
            .then_some(())
            .ok_or(KeyError::Csr("is for a key that is not P-256"))?;
        csr.verify_signature()
            .map_err(|_| KeyError::Csr("is not signed by its own key"))?;
        Ok(Self {
            spki: spki.to_vec(),
            spki_sha256: Sha256::digest(spki).into(),
            sha256: Sha256::digest(der).into(),
        })
    }
}

/// The DER of every P-256 public key starts alike (RFC 5480 §2): SEQUENCE, id-ecPublicKey, prime256v1, then 65 bytes of
/// an uncompressed point in a BIT STRING.
fn is_p256(spki: &[u8]) -> bool {
    const HEAD: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    spki.len() == HEAD.len() + 64 && spki.starts_with(HEAD)
}

/// The DER of a certificate in PEM; the first one when there are more.
///
/// # Errors
/// When it is something else.
pub fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, KeyError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem("a certificate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
        der.to_vec()
    }

    #[test]
    fn a_request_gives_the_key_that_signed_it() {
        let key = NodeKey::generate().unwrap();
        let csr = Csr::from_pem(&key.csr_pem().unwrap()).unwrap();
        assert_eq!(csr.spki, key.spki());
        let kept = NodeKey::from_pem(key.to_pem().expose()).unwrap();
        assert_eq!(kept.spki(), key.spki());
        assert_eq!(
            format!("{key:?} {:?}", key.to_pem()),
            "NodeKey(..) Secret(..)"
        );
    }

    #[test]
    fn a_request_that_is_forged_cut_long_or_for_another_kind_of_key_is_refused() {
        let good = der(&NodeKey::generate().unwrap().csr_pem().unwrap());
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        let long = [good.clone(), vec![0; MAX_CSR_BYTES]].concat();
        let tail = [good.clone(), vec![0]].concat();
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let other = CertificateParams::default()
            .serialize_request(&other)
            .unwrap();
        for bad in [&forged[..], &good[..50], &long, &tail, other.der()] {
            assert!(matches!(Csr::from_der(bad), Err(KeyError::Csr(_))));
        }
        assert!(matches!(Csr::from_pem("hello"), Err(KeyError::Pem(_))));
    }
}
