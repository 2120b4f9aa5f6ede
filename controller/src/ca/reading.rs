//! What stands in a certificate, for people to compare: ours, and those that a host's people put before the API.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

/// A certificate as people compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whose it is, such as `CN=Enforcer API`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Hosts' names and addresses that it is good for, as they stand in it.
    pub names: Vec<String>,
    /// SHA-256 of its DER, 64 hex digits: what `openssl x509 -fingerprint -sha256` prints, without its colons.
    pub sha256: String,
    /// Good from, Unix seconds.
    pub not_before: i64,
    /// Good until, Unix seconds.
    pub not_after: i64,
}

impl Reading {
    /// Reads DER; `None` when it is no X.509 certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, read) = parse_x509_certificate(der).ok()?;
        Some(Self {
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            names: names(&read),
            sha256: crate::hex::of(&Sha256::digest(der)),
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
        })
    }
}

fn names(read: &X509Certificate<'_>) -> Vec<String> {
    let extension = read.subject_alternative_name().ok().flatten();
    let names = extension
        .iter()
        .flat_map(|found| &found.value.general_names);
    names.filter_map(name).collect()
}

/// Names of hosts; what else may stand there is no host's.
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => address(octets).map(|ip| ip.to_string()),
        _ => None,
    }
}

/// Four octets or sixteen (RFC 5280 §4.2.1.6).
fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(octets).ok().map(IpAddr::from))
}
