//! What stands in a certificate of the site, and what those who hold it may be.
//!
//! Subject alternative names: the URI `spiffe://<site>/<role>/<node id>` in every leaf; in a controller's also the DNS
//! name that TLS asks for. Issuing them is the controller's work; both sides read them here.

use mesh_proto::identity::{NodeId, Role};
use sha2::{Digest as _, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ExtendedKeyUsage, GeneralName},
    prelude::FromDer as _,
};

/// Why a certificate is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// Not X.509.
    #[error("the certificate cannot be read")]
    Malformed,
    /// No URI, or another form.
    #[error("the certificate names no node of an Enforcer site (spiffe://<site>/<role>/<node id>)")]
    NoNode,
    /// Nothing in it allows what it is shown for.
    #[error("the certificate does not allow this use")]
    Usage,
}

/// The URI by which a certificate names its node.
#[must_use]
pub fn node_uri(site: &str, role: Role, node: NodeId) -> String {
    format!("spiffe://{site}/{}/{node}", role.as_str())
}

/// The DNS name in a controller's certificate, and the server name agents ask for.
#[must_use]
pub fn controller_name(site: &str) -> String {
    format!("controller.{site}.enforcer")
}

/// SHA-256 of a CA certificate's DER: what kernel command lines, join tokens and pairing codes know a site by.
#[must_use]
pub fn ca_sha256(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// Whoever showed a certificate that the site's CA signed.
///
/// That the signature holds was checked by TLS; whether the key is revoked, and what it may do, is for the
/// [authority](crate::MeshAuthority) to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCert {
    /// The site that issued it.
    pub site: String,
    /// What its holder is.
    pub role: Role,
    /// Which node. For an agent this is the machine's id.
    pub node: NodeId,
    /// The serial, lower-case hex digits without leading zero bytes.
    pub serial: String,
    /// SHA-256 of the DER of the public key (SubjectPublicKeyInfo): what a key is pinned by.
    pub spki_sha256: [u8; 32],
    /// Good from, Unix seconds.
    pub not_before: i64,
    /// Good until, Unix seconds.
    pub not_after: i64,
    /// It was good once and is no more, by the clock of the side that looked: such a key may only be renewed.
    pub expired: bool,
    pub(crate) serves: bool,
    pub(crate) asks: bool,
    pub(crate) dns: Vec<String>,
}

impl PeerCert {
    /// Reads a leaf, judging its age at `now_unix_s`.
    ///
    /// # Errors
    /// When it is no certificate, or names no node of a site.
    pub fn parse(der: &[u8], now_unix_s: i64) -> Result<Self, CertError> {
        let (rest, cert) = X509Certificate::from_der(der).map_err(|_| CertError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertError::Malformed);
        }
        let (uris, dns) = names(&cert)?;
        // Two URIs would let two readers see two nodes.
        let [uri] = uris.as_slice() else {
            return Err(CertError::NoNode);
        };
        let (site, role, node) = parse_uri(uri).ok_or(CertError::NoNode)?;
        let usage = usage(&cert)?;
        let (not_before, not_after) = validity(&cert);
        Ok(Self {
            site,
            role,
            node,
            serial: hex(cert.raw_serial()).trim_start_matches("00").to_owned(),
            spki_sha256: Sha256::digest(cert.public_key().raw).into(),
            not_before,
            not_after,
            expired: now_unix_s > not_after,
            serves: usage.is_some_and(|u| u.server_auth),
            asks: usage.is_some_and(|u| u.client_auth),
            dns,
        })
    }
}

/// The times between which a certificate is good, Unix seconds.
///
/// # Errors
/// When it is no certificate.
pub(crate) fn validity_of(der: &[u8]) -> Result<(i64, i64), CertError> {
    let (_, cert) = X509Certificate::from_der(der).map_err(|_| CertError::Malformed)?;
    Ok(validity(&cert))
}

fn validity(cert: &X509Certificate<'_>) -> (i64, i64) {
    let validity = cert.validity();
    (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    )
}

fn names(cert: &X509Certificate<'_>) -> Result<(Vec<String>, Vec<String>), CertError> {
    let san = cert
        .subject_alternative_name()
        .map_err(|_| CertError::Malformed)?;
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    for name in san.iter().flat_map(|san| &san.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => dns.push((*name).to_owned()),
            _ => {}
        }
    }
    Ok((uris, dns))
}

fn usage<'a>(cert: &'a X509Certificate<'_>) -> Result<Option<&'a ExtendedKeyUsage<'a>>, CertError> {
    let usage = cert
        .extended_key_usage()
        .map_err(|_| CertError::Malformed)?;
    Ok(usage.map(|usage| usage.value))
}

fn parse_uri(uri: &str) -> Option<(String, Role, NodeId)> {
    let mut parts = uri.strip_prefix("spiffe://")?.split('/');
    let (site, role, node) = (parts.next()?, parts.next()?, parts.next()?);
    let roles = [Role::Controller, Role::Agent, Role::Peer];
    let role = roles.into_iter().find(|known| known.as_str() == role)?;
    let good = is_site_name(site) && parts.next().is_none();
    good.then(|| Some((site.to_owned(), role, node.parse().ok()?)))?
}

/// Whether a site may be called so: one label of a host name (RFC 1123 §2.1), lower case, since it is part of one.
#[must_use]
pub fn is_site_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `N` bytes from their hex digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; N];
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_node_of_a_site_and_nothing_more() {
        let uri = node_uri("home", Role::Agent, NodeId(0xa1));
        assert_eq!(uri, "spiffe://home/agent/00000000000000a1");
        let read = parse_uri(&uri);
        assert_eq!(read, Some(("home".to_owned(), Role::Agent, NodeId(0xa1))));
        for bad in [
            "spiffe://home/agent",
            "spiffe://home/agent/00000000000000a1/",
            "spiffe://home/agent/00000000000000a1/x",
            "spiffe://home/root/00000000000000a1",
            "spiffe://home/agent/a1",
            "spiffe:///agent/00000000000000a1",
            "spiffe://Home/agent/00000000000000a1",
            "https://home/agent/00000000000000a1",
        ] {
            assert_eq!(parse_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_site_is_one_label_of_a_host_name() {
        for good in ["home", "lab-2", "x", &"a".repeat(63)] {
            assert!(is_site_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "A", "a_b", "ä", &"a".repeat(64)] {
            assert!(!is_site_name(bad), "{bad}");
        }
    }

    #[test]
    fn hex_reads_back() {
        assert_eq!(unhex(&hex(&[0, 1, 0xfe])), Some([0, 1, 0xfe]));
        for bad in ["0", "000", "+1+1", "0g00", "ää"] {
            assert_eq!(unhex::<2>(bad), None, "{bad}");
        }
    }
}
