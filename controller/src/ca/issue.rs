//! What stands in certificates. From a request only the public key is taken: names and uses are ours to give.

use std::time::Duration;

use mesh_net::cert::{controller_name, node_uri};
use mesh_proto::identity::{NodeId, Role};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SubjectPublicKeyInfo,
    date_time_ymd,
};

use super::{Ca, CaError};

/// Certificates are good from a little earlier, for hosts whose clocks are a little behind.
const BACKDATED_S: i64 = 10 * 60;
/// The last second that X.509 can name.
const LAST_S: i64 = 253_402_300_799;

/// Whose certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// This controller.
    Controller,
    /// A machine's agent.
    Agent(NodeId),
    /// The API's port ([`Ca::issue_server`], which also says its names).
    Server,
}

/// A certificate to issue, as it was written down before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// For whom.
    pub subject: Subject,
    /// The key: DER of the SubjectPublicKeyInfo.
    pub spki: &'a [u8],
    /// From [`fresh_serial`].
    pub serial: &'a str,
    /// When it is issued, Unix seconds.
    pub issued: i64,
    /// Until when it is good, Unix seconds.
    pub expires: i64,
}

/// 16 random bytes as RFC 5280 §4.1.2.2 wants them, a positive number, in hex digits. The first byte is neither zero nor
/// above 0x7f, so that everybody spells the serial alike.
#[must_use]
pub fn fresh_serial() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    crate::hex::of(&bytes)
}

impl Ca {
    /// The certificate, PEM.
    ///
    /// # Errors
    /// When the key is none we sign for.
    pub fn issue(&self, leaf: &Leaf<'_>) -> Result<String, CaError> {
        self.sign(&self.params(leaf)?, leaf.spki)
    }

    fn sign(&self, params: &CertificateParams, spki: &[u8]) -> Result<String, CaError> {
        let key = SubjectPublicKeyInfo::from_der(spki)?;
        Ok(params.signed_by(&key, &self.issuer)?.pem())
    }

    fn params(&self, leaf: &Leaf<'_>) -> Result<CertificateParams, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Enforcer node");
        params.serial_number = Some(serial(leaf.serial)?);
        // A clock before 1970 is no clock, and X.509 ends with the year 9999.
        let moment = |s: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs(s.clamp(0, LAST_S).unsigned_abs())
        };
        params.not_before = moment(leaf.issued - BACKDATED_S);
        params.not_after = moment(leaf.expires);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = leaf.subject.uses();
        params.subject_alt_names = self.names(leaf.subject)?;
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// The certificate of the API's port, PEM: for hosts' `names` and addresses, and for nothing but being that server. It has no
    /// URI, so that no agent and no peer takes who shows it for a controller.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue_server(
        &self,
        names: &[&str],
        spki: &[u8],
        serial: &str,
        issued: i64,
        expires: i64,
    ) -> Result<String, CaError> {
        let leaf = Leaf {
            subject: Subject::Server,
            spki,
            serial,
            issued,
            expires,
        };
        let mut params = self.params(&leaf)?;
        params.distinguished_name = name("Enforcer API");
        params.subject_alt_names = names
            .iter()
            .map(|name| host(name))
            .collect::<Result<_, _>>()?;
        self.sign(&params, spki)
    }

    fn names(&self, subject: Subject) -> Result<Vec<SanType>, CaError> {
        let site = self.site.as_str();
        let uri = |role, node| -> Result<SanType, CaError> {
            Ok(SanType::URI(node_uri(site, role, node).try_into()?))
        };
        match subject {
            Subject::Controller => {
                let dns = SanType::DnsName(controller_name(site).try_into()?);
                Ok(vec![dns, uri(Role::Controller, self.node)?])
            }
            Subject::Agent(node) => Ok(vec![uri(Role::Agent, node)?]),
            Subject::Server => Ok(Vec::new()),
        }
    }
}

impl Subject {
    fn uses(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::Controller => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            Self::Agent(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Self::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }
}

/// A host as people write it: by address or by name.
fn host(text: &str) -> Result<SanType, CaError> {
    Ok(match text.parse() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) => SanType::DnsName(text.try_into()?),
    })
}

fn serial(hex: &str) -> Result<SerialNumber, CaError> {
    let number = u128::from_str_radix(hex, 16).map_err(|_| CaError::Serial)?;
    Ok(SerialNumber::from_slice(&number.to_be_bytes()))
}

/// The authority's own certificate, PEM. It has no end of its own (RFC 5280 §4.1.2.5): every agent pins it.
pub(super) fn self_signed(site: &str, key: &KeyPair) -> Result<String, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&format!("Enforcer {site}"));
    params.serial_number = Some(serial(&fresh_serial())?);
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.self_signed(key)?.pem())
}

/// Whether a certificate was made for this key.
pub(super) fn belongs(certificate: &str, key: &KeyPair) -> bool {
    let der = mesh_net::keys::certificate_der(certificate);
    // The key stands in the certificate as it is; nothing else in one has these 91 bytes.
    let spki = key.subject_public_key_info();
    der.is_ok_and(|der| der.windows(spki.len()).any(|w| w == spki))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
