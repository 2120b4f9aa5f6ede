//! Claims about the client, against servers that behave and servers that do not.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Long for any answer on one host.
const SOON: Duration = Duration::from_secs(10);

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

/// Answers the first request with these bytes, then keeps the connection open.
async fn says(answer: &'static [u8]) -> (SocketAddr, JoinHandle<String>) {
    let (listener, at) = listener().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer).await.unwrap();
        let _ = stream.read(&mut [0]).await;
        String::from_utf8(request[..length].to_vec()).unwrap()
    });
    (at, served)
}

async fn error_of(url: &str, within: Duration) -> String {
    let asked = Client::default().ask(get(url), within, 10).await;
    asked.unwrap_err().to_string()
}

#[tokio::test]
async fn a_request_names_its_host_and_ends_with_its_connection() {
    let (at, served) = says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let url = format!("http://{at}/a?b=c");
    let answer = Client::default().ask(get(&url), SOON, 10).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b"ok"[..])
    );
    let request = served.await.unwrap().to_lowercase();
    assert!(request.starts_with("get /a?b=c http/1.1\r\n"), "{request}");
    for line in [format!("host: {at}"), "connection: close".to_owned()] {
        assert!(request.contains(&line), "{line} in {request}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (at, _served) =
        says(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
            .await;
    let answer = Client::default()
        .ask(get(&format!("http://{at}/")), SOON, 10)
        .await;
    assert_eq!(answer.unwrap().status().as_u16(), 302);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (at, _served) = says(b"HTTP/1.1 200 OK\r\n\r\n0123456789x").await;
    let told = error_of(&format!("http://{at}/"), SOON).await;
    assert_eq!(told, "the answer is longer than 10 bytes");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_late() {
    let (at, _served) = says(b"").await;
    let told = error_of(&format!("http://{at}/"), Duration::from_millis(50)).await;
    assert_eq!(told, "no answer within 0.05 s");
}

#[tokio::test]
async fn what_breaks_off_is_no_answer() {
    let (listener, at) = listener().await;
    tokio::spawn(async move { drop(listener.accept().await) });
    let told = error_of(&format!("http://{at}/"), SOON).await;
    assert!(told.contains("broke off"), "{told}");
}

#[tokio::test]
async fn urls_that_reach_nothing_say_so() {
    for (url, told) in [
        ("file://localhost/etc/passwd", "is no http://"),
        ("ftp://host/x", "is no http://"),
        ("http://user:secret@host/", "is no http://"),
        ("/relative", "is no http://"),
        ("http://169.254.169.254/latest", "which is not asked"),
        ("http://nobody.invalid/", "nobody.invalid has no address"),
    ] {
        let error = error_of(url, SOON).await;
        assert!(error.contains(told), "{url}: {error}");
    }
    let (listener, at) = listener().await;
    drop(listener);
    let error = error_of(&format!("http://{at}/"), SOON).await;
    assert!(error.contains("cannot be reached"), "{error}");
}

/// A server over TLS for `localhost`, and its certificate.
async fn tls_server() -> (SocketAddr, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let cert = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let der = cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, at) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    });
    (at, der)
}

#[tokio::test]
async fn a_server_is_believed_by_its_ca_and_its_name() {
    let (at, cert) = tls_server().await;
    let client = Client::new(Trust::roots(vec![cert.clone()]));
    let by_name = format!("https://localhost:{}/", at.port());
    let answer = client.ask(get(&by_name), SOON, 10).await.unwrap();
    assert_eq!(answer.status().as_u16(), 204);
    let by_address = client.ask(get(&format!("https://{at}/")), SOON, 10).await;
    assert!(
        by_address
            .unwrap_err()
            .to_string()
            .contains("did not prove")
    );
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_under_any_name_and_no_other_is() {
    let (at, cert) = tls_server().await;
    let url = format!("https://{at}/");
    let pin: [u8; 32] = Sha256::digest(&cert).into();
    let client = Client::new(Trust::pinned(pin));
    assert_eq!(client.ask(get(&url), SOON, 10).await.unwrap().status(), 204);
    let other = Client::new(Trust::pinned([7; 32]));
    let told = other
        .ask(get(&url), SOON, 10)
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains(&crate::hex::of(&pin)), "{told}");
}

#[tokio::test]
async fn without_any_ca_nobody_is_believed() {
    let (at, _) = tls_server().await;
    let client = Client::new(Trust::roots(Vec::new()));
    let told = client.ask(get(&format!("https://{at}/")), SOON, 10).await;
    assert!(matches!(told, Err(ClientError::NoRoots)));
}
