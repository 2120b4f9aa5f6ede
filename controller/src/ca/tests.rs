//! What the authority makes, as others see it: rustls' verifiers and the readers of mesh-net.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use mesh_net::{Csr, PeerCert, keys::certificate_der};
use mesh_proto::identity::Role;
use rcgen::{CertificateParams, SanType};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{ServerName, UnixTime},
    server::WebPkiClientVerifier,
};

use super::*;

const NOW: i64 = 1_780_000_000;
const MACHINE: NodeId = NodeId(0xabc);
const DAY: i64 = 24 * 3600;

fn open(folder: &Path) -> Ca {
    Ca::open(folder, "home").unwrap()
}

/// A certificate of a day for the key in `spki`.
fn issue(ca: &Ca, subject: Subject, spki: &[u8]) -> Result<String, CaError> {
    ca.issue(&Leaf {
        subject,
        spki,
        serial: &fresh_serial(),
        issued: NOW,
        expires: NOW + DAY,
    })
}

fn agent(ca: &Ca, spki: &[u8]) -> String {
    issue(ca, Subject::Agent(MACHINE), spki).unwrap()
}

fn roots(ca: &Ca) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate_der(ca.pem()).unwrap()).unwrap();
    Arc::new(roots)
}

fn at(unix_s: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(unix_s.unsigned_abs()))
}

fn as_client(ca: &Ca, pem: &str, unix_s: i64) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca), provider).build();
    let leaf = certificate_der(pem).unwrap();
    verifier
        .unwrap()
        .verify_client_cert(&leaf, &[], at(unix_s))
        .is_ok()
}

fn as_server(ca: &Ca, pem: &str, name: &str) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca), provider).build();
    let leaf = certificate_der(pem).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier
        .unwrap()
        .verify_server_cert(&leaf, &[], &name, &[], at(NOW))
        .is_ok()
}

fn read(pem: &str) -> PeerCert {
    PeerCert::parse(&certificate_der(pem).unwrap(), NOW).unwrap()
}

#[test]
fn an_agents_certificate_makes_a_client_of_this_site_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ca = open(folder.path());
    let issued = agent(&ca, &NodeKey::generate().unwrap().spki());
    assert!(as_client(&ca, &issued, NOW));
    assert!(!as_server(&ca, &issued, "controller.home.enforcer"));
    let peer = read(&issued);
    assert_eq!(
        (peer.site.as_str(), peer.role, peer.node),
        ("home", Role::Agent, MACHINE)
    );
    let other = tempfile::tempdir().unwrap();
    assert!(
        !as_client(&open(other.path()), &issued, NOW),
        "another site's authority"
    );
}

#[test]
fn a_certificate_is_good_until_its_end_and_for_clocks_a_little_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ca = open(folder.path());
    let issued = agent(&ca, &NodeKey::generate().unwrap().spki());
    let at = |seconds| as_client(&ca, &issued, NOW + seconds);
    assert_eq!([at(-300), at(0), at(DAY - 1)], [true; 3]);
    assert_eq!([at(-3600), at(DAY + 1)], [false; 2]);
}

#[test]
fn a_serial_is_read_as_it_was_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let ca = open(folder.path());
    let (key, serial) = (NodeKey::generate().unwrap(), fresh_serial());
    let leaf = Leaf {
        subject: Subject::Agent(MACHINE),
        spki: &key.spki(),
        serial: &serial,
        issued: NOW,
        expires: NOW + DAY,
    };
    assert_eq!(read(&ca.issue(&leaf).unwrap()).serial, serial);
    assert_ne!(fresh_serial(), serial);
}

#[test]
fn a_request_cannot_choose_its_names_or_uses() {
    let folder = tempfile::tempdir().unwrap();
    let ca = open(folder.path());
    let key = NodeKey::generate().unwrap();
    let mut wishes = CertificateParams::new(["controller.home.enforcer".to_owned()]).unwrap();
    let uri = mesh_net::cert::node_uri("home", Role::Controller, NodeId(1));
    wishes
        .subject_alt_names
        .push(SanType::URI(uri.try_into().unwrap()));
    wishes.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wishes.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pem = wishes
        .serialize_request(key.as_rcgen())
        .unwrap()
        .pem()
        .unwrap();
    let csr = Csr::from_pem(&pem).unwrap();
    let issued = agent(&ca, &csr.spki);
    let peer = read(&issued);
    assert_eq!(
        (peer.role, peer.node, peer.spki_sha256),
        (Role::Agent, MACHINE, csr.spki_sha256)
    );
    assert!(!as_server(&ca, &issued, "controller.home.enforcer"));
}

#[test]
fn what_is_no_key_gets_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let ca = open(folder.path());
    let good = NodeKey::generate().unwrap().spki();
    for bad in [&b""[..], b"\x30\x59", &good[..good.len() - 1], &[0xff; 91]] {
        assert!(
            issue(&ca, Subject::Agent(MACHINE), bad).is_err(),
            "{bad:02x?}"
        );
    }
}

#[test]
fn a_clock_without_a_battery_still_makes_a_controller() {
    let folder = tempfile::tempdir().unwrap();
    let identity = open(folder.path()).identity(0).unwrap();
    assert_eq!((identity.site(), identity.own().not_before), ("home", 0));
}

#[test]
fn the_controllers_certificate_serves_its_sites_name() {
    let folder = tempfile::tempdir().unwrap();
    let ca = open(folder.path());
    let key = NodeKey::generate().unwrap();
    let leaf = issue(&ca, Subject::Controller, &key.spki()).unwrap();
    assert!(as_server(&ca, &leaf, "controller.home.enforcer"));
    assert!(!as_server(&ca, &leaf, "controller.away.enforcer"));
}

#[test]
fn the_authority_is_the_same_after_a_restart_and_only_its_owner_reads_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (first, again) = (open(folder.path()), open(folder.path()));
    assert_eq!((first.pem(), first.node()), (again.pem(), again.node()));
    assert!(again.generation() > first.generation());
    let mode = |name: &str| {
        fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("ca"), mode("ca/ca.key")), (0o700, 0o600));
}

#[test]
fn a_first_start_that_was_cut_off_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    fs::create_dir(&ca).unwrap();
    fs::write(ca.join("ca.key"), "half a k").unwrap();
    fs::write(ca.join("ca.crt.new"), "").unwrap();
    open(folder.path());
    open(folder.path());
}

#[test]
fn damage_and_another_sites_keys_are_refused_with_their_cure() {
    let told = |break_it: &dyn Fn(&Path), site: &str| {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path());
        break_it(&folder.path().join("ca"));
        Ca::open(folder.path(), site).unwrap_err().to_string()
    };
    let remove = |name: &'static str| move |ca: &Path| fs::remove_file(ca.join(name)).unwrap();
    let swap = |ca: &Path| {
        fs::write(
            ca.join("ca.key"),
            KeyPair::generate().unwrap().serialize_pem(),
        )
        .unwrap();
    };
    for text in [
        told(&remove("ca.key"), "home"),
        told(&remove("ca.crt"), "home"),
        told(&swap, "home"),
        told(&|ca| fs::write(ca.join("site.json"), "{").unwrap(), "home"),
    ] {
        assert!(
            text.contains("damaged or missing") && text.contains("backup"),
            "{text}"
        );
    }
    let text = told(&|_| (), "away");
    assert!(text.contains("set `site = \"home\"`"), "{text}");
}

#[test]
fn people_read_in_a_certificate_what_browsers_judge_it_by() {
    let folder = tempfile::tempdir().unwrap();
    let ca = open(folder.path());
    let key = mesh_net::NodeKey::generate().unwrap();
    let names = ["boot.example", "192.0.2.7", "2001:db8::7"];
    let (spki, serial) = (key.spki(), fresh_serial());
    let pem = ca.issue_server(&names, &spki, &serial, NOW, NOW + DAY);
    let leaf = Reading::of(&certificate_der(&pem.unwrap()).unwrap()).unwrap();
    assert_eq!(
        (leaf.subject.as_str(), leaf.issuer.as_str()),
        ("CN=Enforcer API", "CN=Enforcer home")
    );
    assert_eq!(leaf.names, names);
    assert!((NOW - 3600..NOW).contains(&leaf.not_before), "{leaf:?}");
    assert_eq!(leaf.not_after, NOW + DAY);
    let own = Reading::of(&certificate_der(ca.pem()).unwrap()).unwrap();
    assert_eq!(own.sha256, ca.fingerprint());
    assert_eq!((own.names.len(), own.not_before), (0, 0));
    assert_eq!(Reading::of(b"not a certificate"), None);
}
