//! An agent as a boot helper: real sockets on loopback, a real link, a controller that answers from a table.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_agent::helper::{Place, Ports, Tick};
use enforcer_agent::mesh::Stage;
use mesh_proto::message::boot::{
    BootAnswer, BootAsk, Duty, HelperReport, HelperState, NonceFile, Program, StoredFile,
};
use mesh_proto::message::delegation::Signed;
use mesh_proto::message::job::Ability;
use mesh_proto::message::link::{ControllerReply, FromAgent, ToAgent};
use mesh_proto::message::{Refusal, RefusalCode};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::pretend::{Living, Start};
use crate::site::{Jobs, Running, Seen, Site};

/// What never comes fails a test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(20);
const KERNEL: &[u8] = &[7; 300_000];
const PROGRAM: &[u8] = b"undionly";

fn stored(bytes: &[u8]) -> StoredFile {
    let digest = Sha256::digest(bytes);
    StoredFile {
        sha256: digest.iter().map(|b| format!("{b:02x}")).collect(),
        size: bytes.len() as u64,
    }
}

/// A controller's table, and what was asked of it in order.
#[derive(Default)]
struct Table {
    files: HashMap<String, Vec<u8>>,
    asked: Mutex<Vec<FromAgent>>,
    delegation: Mutex<Option<Signed>>,
}

impl Table {
    fn new() -> Arc<Self> {
        let mut table = Self::default();
        for bytes in [KERNEL, PROGRAM] {
            table.files.insert(stored(bytes).sha256, bytes.to_vec());
        }
        // What is sent under this name is something else.
        table
            .files
            .insert(stored(b"right").sha256, b"wrong".to_vec());
        Arc::new(table)
    }

    fn answer(&self, ask: &BootAsk) -> BootAnswer {
        match ask {
            BootAsk::Programs => BootAnswer::Programs {
                programs: vec![Program {
                    name: "undionly.kpxe".into(),
                    file: stored(PROGRAM),
                }],
            },
            BootAsk::Script(question) => BootAnswer::Script {
                text: format!("#!ipxe\necho {} at {}\n", question.mac, question.at),
            },
            BootAsk::File { path } => BootAnswer::File {
                file: match path.as_str() {
                    "assets/os/vmlinuz" => Some(stored(KERNEL)),
                    "assets/os/spoiled" => Some(stored(b"right")),
                    _ => None,
                },
            },
            BootAsk::NonceFile(question) => BootAnswer::NonceFile(match question.name.as_str() {
                "vmlinuz" => NonceFile::Stored {
                    file: stored(KERNEL),
                    session: "s1".into(),
                },
                "answers" => NonceFile::Text { text: "yes".into() },
                _ => NonceFile::Unknown,
            }),
            BootAsk::Callback { nonce, .. } => BootAnswer::Callback {
                known: nonce != "stranger",
            },
            BootAsk::Delegation => match &*self.delegation.lock().unwrap() {
                Some(signed) => BootAnswer::Delegation(signed.clone()),
                None => BootAnswer::Noted,
            },
            BootAsk::Served(_) => BootAnswer::Served { go: true },
            BootAsk::Offer(_) | BootAsk::Notes { .. } | BootAsk::Received(_) => BootAnswer::Noted,
        }
    }

    fn jobs(self: &Arc<Self>) -> Jobs {
        let table = Arc::clone(self);
        Arc::new(move |ask, _| {
            table.asked.lock().unwrap().push(ask.clone());
            match ask {
                FromAgent::Boot { ask } => {
                    let answer = table.answer(ask);
                    (ControllerReply::Boot { answer }, None)
                }
                FromAgent::BootFile { sha256 } => match table.files.get(sha256) {
                    Some(bytes) => (ControllerReply::Ok, Some(bytes.clone())),
                    None => {
                        let no = Refusal::new(RefusalCode::NotAllowed, "not named");
                        (ControllerReply::Refused(no), None)
                    }
                },
                _ => (ControllerReply::Ok, None),
            }
        })
    }

    fn count(&self, which: impl Fn(&FromAgent) -> bool) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|ask| which(ask)).count()
    }
}

/// A helper on ports that were free a moment ago.
struct Helping {
    agent: Living,
    http: SocketAddr,
    tftp: SocketAddr,
    folder: tempfile::TempDir,
}

fn place(folder: &Path) -> (Place, SocketAddr, SocketAddr) {
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let tftp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (http, tftp) = (http.local_addr().unwrap(), tftp.local_addr().unwrap());
    let ports = Ports {
        listen: [127, 0, 0, 1].into(),
        dhcp: None,
        tftp: tftp.port(),
        http: http.port(),
    };
    let folder = folder.to_owned();
    let tick = Tick::now;
    (
        Place {
            folder,
            ports,
            tick,
        },
        http,
        tftp,
    )
}

impl Helping {
    /// An agent that was given the role in its welcome.
    fn start(site: &Arc<Site>, controller: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (place, http, tftp) = place(folder.path());
        site.rule(|rules| rules.helper = Some(Duty { interfaces: vec![] }));
        let start = Start {
            helper: Some(place),
            ..Start::boot(site)
        };
        let agent = start.live(controller);
        Self {
            agent,
            http,
            tftp,
            folder,
        }
    }

    async fn until(&self, state: HelperState) -> HelperReport {
        let mut reports = self.agent.helping.clone();
        let is = |report: &Option<HelperReport>| report.as_ref().is_some_and(|r| r.state == state);
        let seen = tokio::time::timeout(PATIENCE, reports.wait_for(is)).await;
        seen.unwrap().unwrap().clone().unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer.split_off(end + 4))
    }

    async fn text(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get(path).await;
        (status, String::from_utf8(body).unwrap())
    }

    /// The first block of a file by TFTP (RFC 1350): RRQ, then DATA 1 or an ERROR.
    async fn tftp(&self, name: &str) -> Option<Vec<u8>> {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let ask = format!("\0\u{1}{name}\0octet\0");
        socket.send_to(ask.as_bytes(), self.tftp).await.unwrap();
        let mut buffer = [0; 600];
        let (n, _) = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        (buffer[..4] == [0, 3, 0, 1]).then(|| buffer[4..n].to_vec())
    }
}

const MACHINE: &str = "/boot/52-54-00-00-00-01?session=s1&arch=x86_64&platform=efi";

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_serves_what_the_controller_answers_and_fetches_each_file_once() {
    let (site, mut record) = Site::new();
    let table = Table::new();
    *site.jobs.lock().unwrap() = Some(table.jobs());
    let server = Running::start(&site);
    let helping = Helping::start(&site, server.addr);
    let report = helping.until(HelperState::Serving).await;
    assert!(report.text.contains("TFTP and boot HTTP"), "{report:?}");
    assert_eq!(helping.tftp("UNDIONLY.KPXE").await.unwrap(), PROGRAM);
    assert_eq!(helping.tftp("other.efi").await, None);

    let (_, general) = helping.text("/boot.ipxe").await;
    let own = format!("http://{}/boot/", helping.http);
    assert!(general.contains(&own), "{general}");
    let (_, script) = helping.text(MACHINE).await;
    let told = format!("#!ipxe\necho 52:54:00:00:00:01 at {}\n", helping.http);
    assert_eq!(script, told);

    for _ in 0..2 {
        assert_eq!(
            helping.get("/assets/os/vmlinuz").await,
            (200, KERNEL.to_vec())
        );
        assert_eq!(
            helping.get("/boot/n/ab/vmlinuz").await,
            (200, KERNEL.to_vec())
        );
    }
    let kernel = stored(KERNEL).sha256;
    let fetched = |ask: &FromAgent| {
        *ask == FromAgent::BootFile {
            sha256: kernel.clone(),
        }
    };
    assert_eq!(table.count(fetched), 1);
    assert_eq!(helping.get("/assets/os/spoiled").await.0, 404);
    assert_eq!(helping.get("/assets/os/none").await.0, 404);
    assert_eq!(
        helping.text("/boot/n/ab/answers").await,
        (200, "yes".into())
    );
    assert_eq!(helping.get("/boot/n/ab/other").await.0, 404);
    assert_eq!(helping.get("/boot/n/ab/done").await.0, 200);
    assert_eq!(helping.get("/boot/n/stranger/done").await.0, 404);

    // The role ends on the link that stands.
    let (link, hello) = next!(record, Seen::Hello(link, hello) => (link, hello));
    assert!(hello.abilities.contains(&Ability::Helper), "it says so");
    let end = ToAgent::Helper { duty: None };
    link.ask(&end, PATIENCE).await.unwrap();
    helping.until(HelperState::Off).await;
    assert!(TcpStream::connect(helping.http).await.is_err());
    helping.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_controller_a_helper_sends_machines_to_their_disks_and_keeps_what_they_prove() {
    let (site, mut record) = Site::new();
    let table = Table::new();
    *site.jobs.lock().unwrap() = Some(table.jobs());
    let server = Running::start(&site);
    let addr = server.addr;
    let mut helping = Helping::start(&site, addr);
    helping.until(HelperState::Serving).await;
    // A link that is held holds the port.
    next!(record, Seen::Hello(..));
    server.stop().await;
    helping
        .agent
        .until(|view| view.stage == Stage::Dialling)
        .await;

    let (status, script) = helping.text(MACHINE).await;
    assert_eq!(status, 200);
    assert!(
        script.contains("exit") && !script.contains("echo 52:54"),
        "{script}"
    );
    assert_eq!(helping.tftp("undionly.kpxe").await.unwrap(), PROGRAM);
    assert_eq!(helping.get("/boot/n/ab/vmlinuz").await.0, 503);
    assert_eq!(helping.get("/boot/n/ab/done").await.0, 200, "it is kept");
    let kept = std::fs::read_dir(helping.folder.path().join("outbox")).unwrap();
    assert_eq!(kept.count(), 1);
    let called = |ask: &FromAgent| matches!(ask, FromAgent::Boot { ask: BootAsk::Callback { nonce, .. } } if nonce == "ab");
    assert_eq!(table.count(called), 0);

    let _server = Running::start_at(&site, addr, crate::site::NOW);
    helping.agent.until(|view| view.generation == Some(2)).await;
    let end = tokio::time::Instant::now() + PATIENCE;
    while table.count(called) == 0 {
        assert!(tokio::time::Instant::now() < end, "it was never told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    helping.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told_in_a_sentence() {
    let (site, _record) = Site::new();
    let table = Table::new();
    *site.jobs.lock().unwrap() = Some(table.jobs());
    let server = Running::start(&site);
    let folder = tempfile::tempdir().unwrap();
    let (place, http, _) = place(folder.path());
    let _other = TcpListener::bind(http).unwrap();
    site.rule(|rules| rules.helper = Some(Duty { interfaces: vec![] }));
    let start = Start {
        helper: Some(place),
        ..Start::boot(&site)
    };
    let agent = start.live(server.addr);
    let mut reports = agent.helping.clone();
    let failed = reports.wait_for(|r| r.as_ref().is_some_and(|r| r.state == HelperState::Failed));
    let text = tokio::time::timeout(PATIENCE, failed)
        .await
        .unwrap()
        .unwrap()
        .clone()
        .unwrap()
        .text;
    let says = format!("boot HTTP: another program has port {}/tcp", http.port());
    assert!(text.contains(&says), "{text}");
    let told = |ask: &FromAgent| matches!(ask, FromAgent::Helper(r) if r.text == text);
    let end = tokio::time::Instant::now() + PATIENCE;
    while table.count(told) == 0 {
        assert!(
            tokio::time::Instant::now() < end,
            "the controller was never told"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.stop().await;
}
