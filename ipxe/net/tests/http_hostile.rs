//! Boot HTTP among strangers: garbage, endless heads, slow and idle clients, floods. It never falls over, stays bounded,
//! counts what it drops, and an honest client is served meanwhile.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ipxe::{BootOffer, LeaseAnswer, LeaseAsk, MacAddr, PxeClient};
use ipxe_net::{
    BootAuthority, BootFile, BootHttp, BootNote, CallbackReply, HttpAuthority, NonceAsk,
    NonceReceived, NonceReply, ScriptAsk,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// A flood is answered within this on a busy host; a hang fails.
const PATIENCE: Duration = Duration::from_secs(30);
const FILE: &[u8] = b"firmware bytes";

#[derive(Default)]
struct Authority {
    scripts: AtomicUsize,
    dropped: Mutex<Vec<&'static str>>,
}

impl BootAuthority for Authority {
    fn offer(&self, _: &PxeClient) -> BootOffer {
        BootOffer::Silent
    }

    async fn lease(&self, _: LeaseAsk) -> LeaseAnswer {
        LeaseAnswer::Silent
    }

    fn tftp_file(&self, _: &str, _: IpAddr) -> Option<BootFile> {
        None
    }

    async fn script(&self, _: ScriptAsk) -> String {
        self.scripts.fetch_add(1, Ordering::SeqCst);
        "#!ipxe\n".to_owned()
    }

    fn note(&self, note: BootNote) {
        if let BootNote::Dropped(reason) = note {
            self.dropped.lock().unwrap().push(reason);
        }
    }
}

impl HttpAuthority for Authority {
    fn general_script(&self, _: SocketAddr) -> String {
        "#!ipxe\n".to_owned()
    }

    async fn http_file(&self, path: &str) -> Option<BootFile> {
        (path == "firmware/a").then(|| BootFile::Memory(Bytes::from_static(FILE)))
    }

    async fn nonce_file(&self, _: NonceAsk) -> NonceReply {
        NonceReply::Unknown
    }

    async fn nonce_received(&self, _: NonceReceived) {}

    async fn callback(&self, _: String, _: Option<String>) -> CallbackReply {
        CallbackReply::Unknown
    }

    fn pixiecore(&self, _: MacAddr, _: SocketAddr) -> Option<String> {
        None
    }

    fn metrics(&self) -> String {
        String::new()
    }
}

struct Server {
    at: SocketAddr,
    authority: Arc<Authority>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    fn start() -> Self {
        let server = BootHttp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = server.local_addr().unwrap();
        let (authority, stop) = (Arc::new(Authority::default()), CancellationToken::new());
        let task = tokio::spawn(server.run(authority.clone(), stop.clone()));
        Self {
            at,
            authority,
            stop,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// Sends raw bytes and takes what comes until the server closes.
    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        // The server may refuse before it has read all; then writing fails, and that is its right.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        answer
    }

    /// An honest client gets its file, and the server ends when it is told, without a panic.
    async fn ends_well(self) {
        let answer = self
            .raw(b"GET /firmware/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            answer.escape_ascii()
        );
        assert!(answer.ends_with(FILE));
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

fn status(answer: &[u8]) -> &[u8] {
    answer.get(9..12).unwrap_or_default()
}

#[tokio::test]
async fn garbage_is_refused_or_closed() {
    let server = Server::start();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(8000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    let all: Vec<u8> = (0..=255).collect();
    let requests: [&[u8]; 14] = [
        b"",
        b"\0",
        &all,
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  /boot.ipxe\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /boot.ipxe HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /boot/n/x/done HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /boot/n/x/done HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\n",
        long.as_bytes(),
        many_headers.as_bytes(),
    ];
    for request in requests {
        let answer = server.raw(request).await;
        assert!(
            answer.is_empty() || status(&answer).starts_with(b"4") || status(&answer) == b"505",
            "{} got {}",
            request.escape_ascii(),
            answer.escape_ascii()
        );
    }
    assert_eq!(server.authority.scripts.load(Ordering::SeqCst), 0);
    server.ends_well().await;
}

#[tokio::test]
async fn strange_paths_and_ranges_are_answers_not_files() {
    let server = Server::start();
    for (path, range, expected) in [
        ("/firmware/../firmware/a", "", "404"),
        ("/firmware/%2e%2e/a", "", "404"),
        ("//firmware/a", "", "404"),
        ("/firmware/a%00", "", "404"),
        ("/boot/52-54-00-77-00-0g", "", "404"),
        ("/firmware/a", "bytes=99-", "416"),
        ("/firmware/a", "bytes=0-1", "206"),
        (
            "/firmware/a",
            "bytes=18446744073709551615-18446744073709551615",
            "416",
        ),
        ("/firmware/a", "bytes=99999999999999999999-", "200"),
        ("/firmware/a", "bytes=1-2,3-4", "200"),
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nRange: {range}\r\nConnection: close\r\n\r\n"
        );
        let answer = server.raw(request.as_bytes()).await;
        assert_eq!(status(&answer), expected.as_bytes(), "{path} {range}");
    }
    server.ends_well().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server = Server::start();
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /boot.ipxe HTTP/1.1\r\n")
        .await
        .unwrap();
    let line = format!("X-More: {}\r\n", "y".repeat(1000));
    let mut sent = 0;
    while sent < 16 << 20 && stream.write_all(line.as_bytes()).await.is_ok() {
        sent += line.len();
    }
    assert!(sent < 16 << 20, "it took {sent} bytes of one head");
    server.ends_well().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_the_quota_counts_each() {
    let server = Server::start();
    let one = "GET /boot/52-54-00-77-00-01?session=a HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /firmware/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = server
        .raw(format!("{}{last}", one.repeat(300)).as_bytes())
        .await;
    let text = String::from_utf8_lossy(&answer);
    let (served, refused) = (
        text.matches("HTTP/1.1 200").count(),
        text.matches("HTTP/1.1 429").count(),
    );
    assert_eq!(served + refused, 301, "each request has its answer");
    assert!(
        refused > 0 && text.contains("retry-after: 1"),
        "{served} served"
    );
    assert_eq!(server.authority.scripts.load(Ordering::SeqCst), served - 1);
    assert_eq!(server.authority.dropped.lock().unwrap().len(), refused);
    assert!(text.ends_with("firmware bytes"));
    server.ends_well().await;
}

#[tokio::test]
async fn slow_and_idle_clients_do_not_starve_an_honest_one() {
    let server = Server::start();
    let mut waiting = Vec::new();
    for n in 0..600 {
        let mut stream = server.connect().await;
        if n % 2 == 0 {
            stream.write_all(b"GET /boot.ipxe HT").await.unwrap();
        }
        waiting.push(stream);
    }
    let honest = timeout(
        PATIENCE,
        server.raw(b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    );
    assert_eq!(status(&honest.await.unwrap()), b"200");
    // They are closed by the server when their time is up (15 s), without being asked.
    let mut buffer = [0; 256];
    for mut stream in waiting {
        while timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .is_ok_and(|n| n > 0)
        {}
    }
    server.ends_well().await;
}
