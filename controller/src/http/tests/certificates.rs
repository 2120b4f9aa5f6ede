//! Claims about how certificates are shown.

use axum::{body::Body, http::StatusCode};
use serde_json::Value;

use super::{Site, read};
use crate::http::{
    auth::Role,
    network::{Certificate, Source},
};

async fn listed(site: &Site) -> Vec<Value> {
    let path = "/api/v1/certificates";
    let answer = site
        .ask(Some(Role::Viewer), "GET", path, Body::empty())
        .await;
    let (status, body) = read(answer).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_certificate_of_files_is_shown_as_it_is_now_and_says_who_has_to_renew_it() {
    let mut site = Site::new();
    assert_eq!(listed(&site).await, Vec::<Value>::new(), "no mesh, no port");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pair = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(at("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    };
    let first = pair("one.example");
    let mut certificate = Certificate::open(Source::Files {
        cert: at("cert.pem"),
        key: at("key.pem"),
    })
    .unwrap();
    site.api = site.api.with_certificate(Some(certificate.presented()));
    let shown = listed(&site).await;
    assert_eq!(shown.len(), 1);
    let words = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(words(shown[0]["pem"].as_str().unwrap()), words(&first));
    assert_eq!(shown[0]["kind"], "api");
    assert_eq!(shown[0]["names"], serde_json::json!(["one.example"]));
    assert_eq!(
        shown[0]["renews"],
        Value::Null,
        "files do not renew themselves"
    );
    let next = shown[0]["next"].as_str().unwrap();
    assert!(next.contains("api.cert_file"), "{next}");

    let second = pair("two.example");
    let file = std::fs::File::options().write(true).open(at("cert.pem"));
    file.unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    certificate.refresh();
    let shown = listed(&site).await;
    assert_eq!(words(shown[0]["pem"].as_str().unwrap()), words(&second));
}
