//! By a real signature and on a real disk: what is delegated is served, once, until its end, by its helper alone.

use std::{cell::RefCell, collections::BTreeMap, fs, path::Path};

use mesh_net::{LinkIdentity, NodeKey, cert::node_uri};
use mesh_proto::{
    identity::{NodeId, Role},
    message::{
        boot::{Program, StoredFile},
        delegation::{Delegated, Delegation, Once, PURPOSE, Signed},
        peer::ClosedBy,
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    SigningKey as _, SubjectPublicKeyInfo,
};

use super::*;
use crate::helper::tick::Tick;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const NODE: NodeId = NodeId(7);
const AT: &str = "http://10.7.0.2:4880";

thread_local! {
    /// The time of a test: tests run on threads of their own.
    static NOW: RefCell<Tick> = RefCell::new(Tick { unix_s: 1_000, boot: "a".into(), up_s: 50 });
}

fn tick() -> Tick {
    NOW.with_borrow(Clone::clone)
}

fn pass(seconds: i64) {
    NOW.with_borrow_mut(|now| {
        now.unix_s += seconds;
        now.up_s += seconds;
    });
}

/// A site's CA, and the identity of its agent 7.
struct Site {
    ca: Issuer<'static, KeyPair>,
    own: LinkIdentity,
}

impl Site {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let ca_pem = params.self_signed(&key).unwrap().pem();
        let ca = Issuer::new(params, key);
        let node = NodeKey::generate().unwrap();
        let mut leaf = CertificateParams::default();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = node_uri("home", Role::Agent, NODE).try_into().unwrap();
        leaf.subject_alt_names = vec![SanType::URI(uri)];
        let spki = SubjectPublicKeyInfo::from_der(&node.spki()).unwrap();
        let leaf = leaf.signed_by(&spki, &ca).unwrap().pem();
        let own = LinkIdentity::from_pem(&ca_pem, &leaf, &node).unwrap();
        Self { ca, own }
    }

    fn sign(&self, delegation: &Delegation) -> Signed {
        let text = serde_json::to_string(delegation).unwrap();
        let signature = self.ca.key().sign(text.as_bytes()).unwrap();
        let signature = signature.iter().map(|b| format!("{b:02x}")).collect();
        Signed { text, signature }
    }

    fn open(&self, folder: &Path) -> Away {
        Away::open(folder, &self.own, tick).unwrap()
    }
}

fn once(closed_by: ClosedBy) -> Once {
    Once {
        closed_by,
        max_boots: 2,
        max_scripts: 3,
        served: Vec::new(),
    }
}

fn delegation(once: Option<Once>) -> Delegation {
    let file = StoredFile {
        sha256: "ab".repeat(32),
        size: 9,
    };
    let name = "vmlinuz".to_owned();
    let boot = DelegatedBoot {
        nonce: "n1".into(),
        script: format!("#!ipxe\nkernel {BASE}/boot/n/n1/vmlinuz"),
        files: vec![Program { name, file }],
        texts: BTreeMap::from([("answers".to_owned(), format!("from {BASE}"))]),
        lives_s: 500,
        once,
    };
    Delegation {
        purpose: PURPOSE.into(),
        helper: NODE,
        issued_unix_s: 1_000,
        lives_s: 1_000,
        programs: BTreeMap::new(),
        machines: vec![Delegated {
            macs: vec![MAC.to_string()],
            name: "web1".into(),
            local: "exit".into(),
            rank: 0,
            boot: Some(boot),
        }],
    }
}

#[test]
fn only_what_its_own_site_signed_for_it_is_taken_and_used_again_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (site, other) = (Site::new(), Site::new());
    let away = site.open(folder.path());
    let all = delegation(None);
    let signed = site.sign(&all);
    let elsewhere = Delegation {
        helper: NodeId(8),
        ..all.clone()
    };
    let changed = Signed {
        text: signed.text.replace("web1", "web2"),
        ..signed.clone()
    };
    for wrong in [other.sign(&all), site.sign(&elsewhere), changed] {
        assert!(away.take(&wrong, &site.own).is_err(), "{wrong:?}");
        assert!(away.script(MAC, AT).contains("sanboot"), "nothing is known");
    }
    away.take(&signed, &site.own).unwrap();
    let kernel = format!("kernel {AT}/boot/n/n1/vmlinuz");
    assert!(away.script(MAC, AT).contains(&kernel));
    assert_eq!(
        away.file("n1", "answers", AT),
        Some(AwayFile::Text(format!("from {AT}")))
    );
    drop(away);
    let away = site.open(folder.path());
    assert!(away.script(MAC, AT).contains(&kernel));
    pass(500);
    let disk = away.script(MAC, AT);
    assert!(disk.contains("web1") && disk.contains("exit"), "{disk}");
    assert_eq!(away.file("n1", "answers", AT), None);
    // What somebody else wrote to the disk is not used.
    pass(-500);
    let kept = folder.path().join("delegation.json");
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, text.replace("sanboot", "x").replace("web1", "web2")).unwrap();
    assert!(!site.open(folder.path()).script(MAC, AT).contains("kernel"));
}

#[test]
fn what_is_served_once_is_never_served_after_its_evidence_over_crashes_and_renewals() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new();
    let away = site.open(folder.path());
    let all = delegation(Some(once(ClosedBy::Fetched)));
    away.take(&site.sign(&all), &site.own).unwrap();
    assert!(
        !away.script(MAC, AT).contains("kernel"),
        "not without a claim"
    );
    let due = away.claim(MAC, "s1", AT).unwrap().unwrap();
    assert!(due.script.contains(AT), "{due:?}");
    let fetched = away.fetch("n1", "vmlinuz", Some("s1"), false, AT);
    let expected = matches!(fetched, Ok(Some(Fetched::File { counts: true, .. })));
    assert!(expected, "{fetched:?}");
    // A crash between: the next process knows.
    drop(away);
    let away = site.open(folder.path());
    assert!(away.claim(MAC, "s1", AT).unwrap().is_some(), "a retry");
    away.sent("n1", "s1", Some("vmlinuz")).unwrap();
    drop(away);
    let away = site.open(folder.path());
    for session in ["s1", "s2"] {
        assert_eq!(away.claim(MAC, session, AT).unwrap(), None);
        let gone = away.fetch("n1", "vmlinuz", Some(session), false, AT);
        assert!(matches!(gone, Ok(Some(Fetched::Gone(_)))), "{gone:?}");
    }
    // A controller that has not heard of it yet says it again.
    away.take(&site.sign(&all), &site.own).unwrap();
    assert_eq!(away.claim(MAC, "s3", AT).unwrap(), None);
    // It is not in the next one: the controller knows, and its ledger goes.
    let none = Delegation {
        machines: Vec::new(),
        ..all
    };
    away.take(&site.sign(&none), &site.own).unwrap();
    let ledgers = fs::read_to_string(folder.path().join("ledgers.json")).unwrap();
    assert_eq!(ledgers, "{}");
}

#[test]
fn it_ends_by_the_computers_own_count_and_with_the_computers_restart() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new();
    let away = site.open(folder.path());
    let all = delegation(Some(once(ClosedBy::Callback)));
    away.take(&site.sign(&all), &site.own).unwrap();
    NOW.with_borrow_mut(|now| now.unix_s = 5);
    pass(499);
    assert!(away.claim(MAC, "s1", AT).unwrap().is_some());
    pass(1);
    assert_eq!(away.claim(MAC, "s1", AT).unwrap(), None);
    assert_eq!(away.fetch("n1", "vmlinuz", None, false, AT).unwrap(), None);
    pass(-100);
    NOW.with_borrow_mut(|now| now.boot = "b".into());
    assert_eq!(away.claim(MAC, "s1", AT).unwrap(), None);
    // Evidence counts all the same.
    assert!(away.once("n1").is_some());
}

#[test]
fn boots_without_evidence_come_to_an_end_and_an_end_by_the_controller_counts() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new();
    let away = site.open(folder.path());
    let all = delegation(Some(once(ClosedBy::Callback)));
    away.take(&site.sign(&all), &site.own).unwrap();
    for session in ["s1", "s2"] {
        assert!(away.claim(MAC, session, AT).unwrap().is_some());
        let peek = away.fetch("n1", "vmlinuz", Some(session), true, AT);
        assert!(matches!(
            peek,
            Ok(Some(Fetched::File { counts: false, .. }))
        ));
        assert!(
            away.fetch("n1", "vmlinuz", Some(session), false, AT)
                .is_ok()
        );
    }
    assert_eq!(away.claim(MAC, "s3", AT).unwrap(), None, "the cap");

    let folder = tempfile::tempdir().unwrap();
    let away = site.open(folder.path());
    away.take(&site.sign(&all), &site.own).unwrap();
    away.ended("n1").unwrap();
    assert_eq!(away.claim(MAC, "s1", AT).unwrap(), None);
}
