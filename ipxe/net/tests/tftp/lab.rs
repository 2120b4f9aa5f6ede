//! A server on loopback with three files, and clients: 127.x.y.z gives as many addresses as one likes.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use ipxe::PxeClient;
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, LeaseAnswer, LeaseAsk, ScriptAsk, TftpEnd,
    TftpServer,
};
use tokio::{net::UdpSocket, sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// Far longer than loopback needs: what is not here by then will not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Three files, and a record of what was noted.
#[derive(Default)]
pub(crate) struct Shelf {
    notes: Mutex<Vec<BootNote>>,
    noted: Notify,
}

impl Shelf {
    pub(crate) fn file(name: &str) -> Option<Bytes> {
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

    pub(crate) fn ends(&self) -> Vec<(String, u64, TftpEnd)> {
        let notes = self.notes.lock().expect("no panic under the lock");
        let ends = notes.iter().filter_map(|note| match note {
            BootNote::Tftp {
                name, bytes, end, ..
            } => Some((name.clone(), *bytes, *end)),
            _ => None,
        });
        ends.collect()
    }

    pub(crate) fn drops(&self, reason: &str) -> usize {
        let notes = self.notes.lock().expect("no panic under the lock");
        let drops = notes
            .iter()
            .filter(|note| matches!(note, BootNote::Dropped(r) if *r == reason));
        drops.count()
    }

    pub(crate) async fn until(&self, happened: impl Fn(&Self) -> bool) {
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
pub(crate) struct Lab {
    pub(crate) server: SocketAddr,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<()>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn lab_at(addr: [u8; 4]) -> Lab {
    let server = TftpServer::bind((addr, 0).into()).expect("a free port");
    let at = server.local_addr().expect("bound");
    let (shelf, stop) = (Arc::<Shelf>::default(), CancellationToken::new());
    Lab {
        server: at,
        running: tokio::spawn(server.run(shelf.clone(), stop.clone())),
        shelf,
        stop,
    }
}

pub(crate) fn lab() -> Lab {
    lab_at([127, 0, 0, 1])
}

/// A client's socket.
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    pub(crate) async fn at(addr: [u8; 4], server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((addr, 0)))
            .await
            .expect("a free port");
        Self { socket, server }
    }

    pub(crate) async fn say(&self, bytes: &[u8]) {
        let sent = self.socket.send_to(bytes, self.server).await;
        assert_eq!(sent.expect("loopback"), bytes.len());
    }

    pub(crate) async fn ask(&self, name: &str, options: &str) {
        let packet = format!("\0\x01{name}\0octet\0{options}");
        self.say(packet.as_bytes()).await;
    }

    pub(crate) async fn ack(&self, block: u16) {
        let [a, b] = block.to_be_bytes();
        self.say(&[0, 4, a, b]).await;
    }

    pub(crate) async fn hear(&self) -> Vec<u8> {
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
    pub(crate) async fn blocks(&self, blksize: usize, windowsize: u16) -> Vec<u8> {
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

    pub(crate) async fn fetch(&self, name: &str, windowsize: u16) -> Vec<u8> {
        let options = format!("blksize\x001468\0windowsize\0{windowsize}\0");
        self.ask(name, &options).await;
        assert_eq!(self.hear().await[1], 6, "OACK");
        self.ack(0).await;
        self.blocks(1468, windowsize).await
    }
}
