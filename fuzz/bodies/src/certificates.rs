//! What strangers show: certificate requests, certificates, join tokens, pairing codes.

use mesh_net::{CaTrust, Csr, PeerCert, cert::is_site_name, keys::certificate_der};
use mesh_proto::{message::Secret, pairing::PairingCode};

/// The input is DER, and the same bytes are text.
pub fn fuzz_certificates(data: &[u8]) {
    if let Ok(csr) = Csr::from_der(data) {
        assert_eq!(csr.spki.len(), 91, "only P-256 is taken");
    }
    check_certificate(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _none = Csr::from_pem(text);
    if let Ok(der) = certificate_der(text) {
        check_certificate(&der);
    }
    let _none = CaTrust::from_token(&Secret::new(text));
    let _none = CaTrust::from_hex(text);
    if let Ok(code) = text.parse::<PairingCode>() {
        assert_eq!(code.to_string().parse(), Ok(code));
    }
}

fn check_certificate(der: &[u8]) {
    if let Ok(peer) = PeerCert::parse(der, 0) {
        assert!(is_site_name(&peer.site), "{}", peer.site);
        assert_eq!(peer.expired, peer.not_after < 0);
    }
}
