//! Mail, through aiosmtpd (Debian's python3-aiosmtpd): plain, STARTTLS, with a password, and refused.

use std::process::Stdio;

use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::*;
use crate::client::Trust;

/// Its own user and password.
const USER: &str = "enforcer";
const PASSWORD: &str = "correct horse";

/// A mail server that tells each mail it takes.
struct MailServer {
    port: u16,
    cert: CertificateDer<'static>,
    told: Lines<BufReader<ChildStdout>>,
    _process: Child,
    folder: tempfile::TempDir,
}

impl MailServer {
    /// `how`: `plain`, `starttls` (with a password), or `tls`.
    async fn start(how: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let cert = rcgen::CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("cert.pem", &cert.pem());
        write("key.pem", &key.serialize_pem());
        write("password", &format!("{PASSWORD}\n"));
        write("server.py", include_str!("mail_server.py"));
        // Debian's own Python, which has Debian's own packages.
        let mut process = Command::new("/usr/bin/python3")
            .args(["-W", "ignore"])
            .arg(folder.path().join("server.py"))
            .args([how, USER, PASSWORD])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = timeout(SOON, told.next_line()).await.unwrap().unwrap();
        let port = port.expect("it needs the package python3-aiosmtpd");
        Self {
            port: port.parse().unwrap(),
            cert: cert.der().clone(),
            told,
            _process: process,
            folder,
        }
    }

    fn settings(&self, tls: MailTls) -> MailSettings {
        let with_password = tls == MailTls::StartTls;
        MailSettings {
            host: "localhost".to_owned(),
            port: self.port,
            tls,
            from: "boot@example.org".parse().unwrap(),
            user: with_password.then(|| USER.to_owned()),
            password_file: with_password.then(|| self.folder.path().join("password")),
        }
    }

    fn courier(&self, tls: MailTls) -> Courier {
        let mut courier = Courier::new(Some(self.settings(tls)));
        courier.mail_trust = Trust::roots(vec![self.cert.clone()]);
        courier
    }

    /// The next mail it took.
    async fn next(&mut self) -> Value {
        let line = timeout(SOON, self.told.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line.unwrap()).unwrap()
    }
}

fn to(address: &str) -> Target {
    Target::Mail {
        address: address.parse().unwrap(),
    }
}

async fn a_mail_arrives(how: &str, tls: MailTls) {
    let mut server = MailServer::start(how).await;
    let world = World::start(QUICK, server.courier(tls));
    world
        .subscribe("me", to("ann@example.org"), "deployment.*")
        .await;
    let failed = Draft::new(
        "deployment.failed",
        "web1: the disk is full\r\nBcc: all@example.org\r\n.\r\nä",
    )
    .field("deployment", "7");
    world.store.note(failed);
    world.store.flush().await.unwrap();
    let mail = server.next().await;
    world.until(|v| is_delivered(v, "me")).await;
    assert_eq!(
        (mail["from"].as_str(), &mail["to"]),
        (
            Some("boot@example.org"),
            &serde_json::json!(["ann@example.org"])
        )
    );
    assert_eq!(mail["tls"], tls != MailTls::Off);
    assert_eq!(
        mail["user"].as_str(),
        (tls == MailTls::StartTls).then_some(USER)
    );
    let head = |name: &str| mail["head"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        head("subject"),
        "Your deployment failed: web1: the disk is full  Bcc: all@example.org  .  ä"
    );
    assert_eq!(head("bcc"), "", "an event's text cannot write headers");
    assert_eq!(head("auto-submitted"), "auto-generated");
    let id = world.delivery("me").message_id();
    assert_eq!(head("message-id"), format!("<{id}@example.org>"));
    let text = mail["text"].as_str().unwrap();
    assert!(
        text.contains("deployment: 7") && text.contains("ä"),
        "{text}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_mail_arrives_over_a_trusted_wire() {
    a_mail_arrives("plain", MailTls::Off).await;
}

#[tokio::test]
async fn a_mail_arrives_over_starttls_with_a_password() {
    a_mail_arrives("starttls", MailTls::StartTls).await;
}

#[tokio::test]
async fn a_mail_arrives_over_tls() {
    a_mail_arrives("tls", MailTls::Tls).await;
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail_and_no_password() {
    let server = MailServer::start("plain").await;
    let world = World::start(QUICK, server.courier(MailTls::StartTls));
    world
        .subscribe("me", to("ann@example.org"), "machine.seen")
        .await;
    world.happens("machine.seen").await;
    world.until(|v| was_tried(v, "me")).await;
    let last = world.delivery("me").last.clone().unwrap();
    assert!(last.contains("offers no STARTTLS"), "{last}");
    world.stop().await;
}

#[tokio::test]
async fn a_mailbox_that_is_not_there_is_a_dead_letter_at_once() {
    let server = MailServer::start("plain").await;
    let world = World::start(QUICK, server.courier(MailTls::Off));
    world
        .subscribe("me", to("nobody@example.org"), "machine.seen")
        .await;
    world.happens("machine.seen").await;
    world.until(|v| is_dead(v, "me")).await;
    let last = world.delivery("me").last.clone().unwrap();
    assert!(last.contains("550"), "{last}");
    world.stop().await;
}

#[tokio::test]
async fn without_a_mail_server_the_delivery_says_so() {
    let world = World::start(QUICK, Courier::new(None));
    world
        .subscribe("me", to("ann@example.org"), "machine.seen")
        .await;
    world.happens("machine.seen").await;
    world.until(|v| was_tried(v, "me")).await;
    assert!(
        world
            .delivery("me")
            .last
            .as_ref()
            .unwrap()
            .contains("[mail]")
    );
    world.stop().await;
}
