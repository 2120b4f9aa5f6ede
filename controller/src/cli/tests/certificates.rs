//! Claims about how certificates are printed.

use super::*;
use crate::http::network::{Certificate, Source};

#[tokio::test]
async fn a_certificate_is_listed_with_its_end_and_the_days_that_are_left() {
    let mut site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = rcgen::generate_simple_self_signed(["boot.example".to_owned()]).unwrap();
    std::fs::write(at("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let files = Source::Files {
        cert: at("cert.pem"),
        key: at("key.pem"),
    };
    let certificate = Certificate::open(files).unwrap();
    site.api = site.api.with_certificate(Some(certificate.presented()));
    let c = Controller::start_on(site, tempfile::tempdir().unwrap());

    let list = c.run(&["certificates", "list"]).await.unwrap();
    let cells: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    // What rcgen makes is good until the year 4096.
    assert_eq!(
        cells[..4],
        ["api", "good", "4096-01-01", "00:00:00Z"],
        "{list}"
    );
    let left: i64 = cells[4].parse().unwrap();
    assert!((700_000..760_000).contains(&left), "{list}");
    assert!(!list.contains("boot.example"), "{list}");
    let wide = c
        .run(&["certificates", "list", "-o", "wide"])
        .await
        .unwrap();
    assert!(
        wide.contains("NAMES") && wide.contains("boot.example"),
        "{wide}"
    );
    let json = c
        .run(&["certificates", "list", "-o", "json"])
        .await
        .unwrap();
    assert!(json.contains("BEGIN CERTIFICATE"), "{json}");
}
