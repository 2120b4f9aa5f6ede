//! The TFTP server as clients meet it, on loopback: 127.x.y.z gives as many client addresses as one likes.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use ipxe::PxeClient;
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, LeaseAnswer, LeaseAsk, ScriptAsk, TftpEnd,
    TftpServer,
};
use tokio::{net::UdpSocket, sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

/// Far longer than loopback needs: what is not here by then will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three files, and a record of what was noted.
#[derive(Default)]
struct Shelf {
    notes: Mutex<Vec<BootNote>>,
    noted: Notify,
}

impl Shelf {
    fn file(name: &str) -> Option<Bytes> {
        static IPXE: OnceLock<Bytes> = OnceLock::new();
        match name {
            "ipxe.efi" => {
                let make = || (0..300_000_u32).map(|i| (i / 7) as u8).collect();
                Some(IPXE.get_or_init(make).clone())
            }
            "small" => Some(Bytes::from_static(b"a few bytes")),
            "empty" => Some(Bytes::new()),
            _ => None,
        }
    }

    fn ends(&self) -> Vec<(String, u64, TftpEnd)> {
        let notes = self.notes.lock().expect("no panic under the lock");
        let ends = notes.iter().filter_map(|note| match note {
            BootNote::Tftp {
                name, bytes, end, ..
            } => Some((name.clone(), *bytes, *end)),
            _ => None,
        });
        ends.collect()
    }

    fn drops(&self, reason: &str) -> usize {
        let notes = self.notes.lock().expect("no panic under the lock");
        let drops = notes
            .iter()
            .filter(|note| matches!(note, BootNote::Dropped(r) if *r == reason));
        drops.count()
    }

    async fn until(&self, happened: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let noted = self.noted.notified();
                if happened(self) {
                    return;
                }
                noted.await;
            }
        };
        let done = timeout(PATIENCE, wait).await;
        assert!(done.is_ok(), "only this was noted: {:?}", self.ends());
    }
}

impl BootAuthority for Shelf {
    fn tftp_file(&self, name: &str, _: IpAddr) -> Option<BootFile> {
        Self::file(name).map(BootFile::Memory)
    }

    fn note(&self, note: BootNote) {
        self.notes
            .lock()
            .expect("no panic under the lock")
            .push(note);
        self.noted.notify_waiters();
    }

    fn offer(&self, _: &PxeClient) -> BootOffer {
        unreachable!("no DHCP here")
    }

    async fn lease(&self, _: LeaseAsk) -> LeaseAnswer {
        unreachable!("no DHCP here")
    }

    async fn script(&self, _: ScriptAsk) -> String {
        unreachable!("no HTTP here")
    }
}

/// A running server; it stops when dropped.
struct Lab {
    server: SocketAddr,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lab_at(addr: [u8; 4]) -> Lab {
    let server = TftpServer::bind((addr, 0).into()).expect("a free port");
    let lab = Lab {
        server: server.local_addr().expect("bound"),
        shelf: Arc::default(),
        stop: CancellationToken::new(),
    };
    tokio::spawn(server.run(lab.shelf.clone(), lab.stop.clone()));
    lab
}

fn lab() -> Lab {
    lab_at([127, 0, 0, 1])
}

/// A client's socket.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    async fn at(addr: [u8; 4], server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((addr, 0)))
            .await
            .expect("a free port");
        Self { socket, server }
    }

    async fn say(&self, bytes: &[u8]) {
        let sent = self.socket.send_to(bytes, self.server).await;
        assert_eq!(sent.expect("loopback"), bytes.len());
    }

    async fn ask(&self, name: &str, options: &str) {
        let packet = format!("\0\x01{name}\0octet\0{options}");
        self.say(packet.as_bytes()).await;
    }

    async fn ack(&self, block: u16) {
        let [a, b] = block.to_be_bytes();
        self.say(&[0, 4, a, b]).await;
    }

    async fn hear(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let heard = timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await;
        let (len, from) = heard.expect("an answer").expect("loopback");
        assert_eq!(
            from, self.server,
            "from the port and address that was asked"
        );
        buffer[..len].to_vec()
    }

    /// Everything from here on, in windows of `windowsize`; the OACK is acknowledged already.
    async fn blocks(&self, blksize: usize, windowsize: u16) -> Vec<u8> {
        let mut file = Vec::new();
        let mut block = 0_u16;
        loop {
            let packet = self.hear().await;
            assert_eq!(packet[1], 3, "{:?}", String::from_utf8_lossy(&packet));
            if packet[2..4] != (block + 1).to_be_bytes() {
                self.ack(block).await;
                continue;
            }
            block += 1;
            file.extend_from_slice(&packet[4..]);
            let last = packet.len() < 4 + blksize;
            if last || block.is_multiple_of(windowsize) {
                self.ack(block).await;
            }
            if last {
                return file;
            }
        }
    }

    async fn fetch(&self, name: &str, windowsize: u16) -> Vec<u8> {
        let options = format!("blksize\x001468\0windowsize\0{windowsize}\0");
        self.ask(name, &options).await;
        assert_eq!(self.hear().await[1], 6, "OACK");
        self.ack(0).await;
        self.blocks(1468, windowsize).await
    }
}

#[tokio::test]
async fn files_arrive_whole_with_any_window() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    for name in ["ipxe.efi", "small", "empty"] {
        let whole = Shelf::file(name).expect("on the shelf");
        for windowsize in [1, 4, 64] {
            assert!(
                client.fetch(name, windowsize).await == whole,
                "{name} {windowsize}"
            );
        }
        client.ask(name, "").await;
        assert!(client.blocks(512, 1).await == whole, "{name}");
    }
    lab.shelf.until(|shelf| shelf.ends().len() == 12).await;
    let ends = lab.shelf.ends();
    assert!(
        ends.iter().all(|(.., end)| *end == TftpEnd::Complete),
        "{ends:?}"
    );
    assert_eq!(ends[0].1, 300_000);
}

#[tokio::test]
async fn after_the_size_probe_the_file_comes_at_once_to_the_same_port() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    for round in 0..3 {
        client
            .ask("ipxe.efi", "tsize\x000\0blksize\x001468\0")
            .await;
        assert_eq!(
            client.hear().await,
            b"\0\x06blksize\x001468\0tsize\x00300000\0"
        );
        // Some firmware says ERROR, some just asks for the file.
        if round != 1 {
            client.say(b"\0\x05\0\x08User aborted the transfer\0").await;
        }
        let file = client.fetch("ipxe.efi", 4).await;
        assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    }
    lab.shelf.until(|shelf| shelf.ends().len() == 6).await;
    let probes: Vec<_> = lab.shelf.ends().into_iter().step_by(2).collect();
    let expected = [TftpEnd::Aborted, TftpEnd::Restarted, TftpEnd::Aborted];
    assert_eq!(probes, expected.map(|end| ("ipxe.efi".to_owned(), 0, end)));
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_not_a_second_transfer() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ask("small", "tsize\x000\0").await;
    let oack = client.hear().await;
    client.ask("small", "tsize\x000\0").await;
    assert_eq!(client.hear().await, oack);
    client.ack(0).await;
    assert_eq!(client.hear().await, b"\0\x03\0\x01a few bytes");
    client.ack(1).await;
    lab.shelf.until(|shelf| !shelf.ends().is_empty()).await;
    assert_eq!(
        lab.shelf.ends(),
        [("small".to_owned(), 11, TftpEnd::Complete)]
    );
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_answered_at_once() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ask("12345678/start4.elf", "tsize\x000\0").await;
    assert_eq!(client.hear().await, b"\0\x05\0\x01no such file\0");
    client.ask("../../etc/shadow", "").await;
    assert_eq!(client.hear().await[..4], *b"\0\x05\0\x02");
    client.say(b"\0\x02small\0octet\0").await;
    assert_eq!(client.hear().await[..4], *b"\0\x05\0\x02");
    client.say(b"\0\x01small\0mail\0").await;
    assert_eq!(client.hear().await[..4], *b"\0\x05\0\x04");
    lab.shelf
        .until(|shelf| shelf.drops("tftp_malformed") == 2 && shelf.drops("tftp_write") == 1)
        .await;
    assert_eq!(
        lab.shelf.ends(),
        [("12345678/start4.elf".to_owned(), 0, TftpEnd::NotFound)]
    );
}

#[tokio::test]
async fn strays_are_counted_and_not_answered() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ack(7).await;
    client.say(b"\0\x05\0\0\0").await;
    client.say(b"\0\x03\0\x01data").await;
    client.say(b"").await;
    client.say(&[0xff; 4000]).await;
    lab.shelf
        .until(|shelf| shelf.drops("tftp_stray") == 2 && shelf.drops("tftp_malformed") >= 2)
        .await;
    assert!(client.fetch("small", 1).await == b"a few bytes"); // the first thing it hears
}

#[tokio::test]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let lab = lab_at([0, 0, 0, 0]);
    for last in [1, 7, 9] {
        let asked = SocketAddr::from(([127, 0, 0, last], lab.server.port()));
        let client = Client::at([127, 0, 0, 1], asked).await;
        assert!(client.fetch("small", 1).await == b"a few bytes");
    }
}

#[tokio::test]
async fn a_request_to_a_broadcast_address_is_not_answered_and_harms_nobody() {
    let lab = lab_at([0, 0, 0, 0]);
    let port = lab.server.port();
    let loud = Client::at(
        [127, 0, 0, 1],
        (Ipv4Addr::new(127, 255, 255, 255), port).into(),
    )
    .await;
    loud.socket.set_broadcast(true).expect("allowed");
    loud.ask("ipxe.efi", "windowsize\x0016\0").await;
    lab.shelf
        .until(|shelf| shelf.drops("tftp_unsendable") == 1)
        .await;
    let client = Client::at([127, 0, 0, 2], (Ipv4Addr::LOCALHOST, port).into()).await;
    let file = client.fetch("ipxe.efi", 16).await;
    assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    assert!(loud.socket.try_recv(&mut [0; 16]).is_err());
}

#[tokio::test]
async fn three_thousand_silent_requests_do_not_starve_an_honest_client() {
    let lab = lab();
    let honest = Client::at([127, 1, 1, 1], lab.server).await;
    honest
        .ask("ipxe.efi", "blksize\x001468\0windowsize\x004\0")
        .await;
    assert_eq!(honest.hear().await[1], 6);
    honest.ack(0).await;
    let flood = async {
        for address in 0..200 {
            for _ in 0..15 {
                // The socket is closed at once: nobody will ever answer.
                let silent = Client::at([127, 9, 0, address], lab.server).await;
                silent.ask("ipxe.efi", "tsize\x000\0").await;
            }
            tokio::task::yield_now().await;
        }
    };
    let ((), file) = tokio::join!(flood, honest.blocks(1468, 4));
    assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    let late = Client::at([127, 1, 1, 2], lab.server).await;
    let file = late.fetch("ipxe.efi", 4).await; // while every place is taken by a silent one
    assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    lab.shelf
        .until(|shelf| {
            let refused = |(.., end): &(String, u64, TftpEnd)| *end == TftpEnd::Refused;
            shelf.ends().into_iter().filter(refused).count() > 1000
        })
        .await;
}

#[tokio::test]
async fn an_address_has_sixteen_living_transfers_and_no_more() {
    let lab = lab();
    let mut living = Vec::new();
    for _ in 0..16 {
        let client = Client::at([127, 0, 0, 1], lab.server).await;
        client.ask("ipxe.efi", "").await;
        client.hear().await;
        client.ack(1).await;
        client.hear().await;
        living.push(client);
    }
    let extra = Client::at([127, 0, 0, 1], lab.server).await;
    extra.ask("small", "").await;
    lab.shelf
        .until(|shelf| shelf.drops("tftp_per_address") == 1)
        .await;
    let other = Client::at([127, 0, 0, 2], lab.server).await;
    assert!(other.fetch("small", 1).await == b"a few bytes");
    living[0].say(b"\0\x05\0\0enough\0").await;
    extra.ask("small", "").await; // it asks again, and there is room
    assert_eq!(extra.hear().await, b"\0\x03\0\x01a few bytes");
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_asked_again_and_then_forgotten() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ask("small", "").await;
    for _ in 0..6 {
        assert_eq!(client.hear().await, b"\0\x03\0\x01a few bytes");
    }
    lab.shelf.until(|shelf| !shelf.ends().is_empty()).await;
    assert_eq!(
        lab.shelf.ends(),
        [("small".to_owned(), 0, TftpEnd::TimedOut)]
    );
}

#[tokio::test]
async fn a_taken_port_is_an_error_at_the_start() {
    let lab = lab();
    let error = TftpServer::bind(lab.server).expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
