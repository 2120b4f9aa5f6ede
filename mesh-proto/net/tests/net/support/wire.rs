//! A wire between two ends that can be cut, and that counts what it carries.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::UdpSocket;

/// The headers of a packet on a wire: IPv4's and UDP's.
const HEADERS: u64 = 20 + 8;

/// What was carried one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) packets: u64,
    /// With their headers.
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct Meter(AtomicU64, AtomicU64);

impl Meter {
    fn count(&self, len: usize) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.fetch_add(len as u64 + HEADERS, Ordering::SeqCst);
    }

    fn take(&self) -> Carried {
        Carried {
            packets: self.0.swap(0, Ordering::SeqCst),
            bytes: self.1.swap(0, Ordering::SeqCst),
        }
    }
}

/// A UDP relay for one client.
pub(crate) struct Wire {
    /// Where the client dials.
    pub(crate) addr: SocketAddr,
    cut: Arc<AtomicBool>,
    meters: Arc<[Meter; 2]>,
    /// How long a packet is on its way, milliseconds.
    late_ms: Arc<AtomicU64>,
}

impl Wire {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (addr, cut) = (near.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let is_cut = Arc::clone(&cut);
        let meters = Arc::<[Meter; 2]>::default();
        let counted = Arc::clone(&meters);
        let late_ms = Arc::new(AtomicU64::new(0));
        let late = Arc::clone(&late_ms);
        let (near, far) = (Arc::new(near), Arc::new(far));
        tokio::spawn(async move {
            let (mut client, mut up, mut down) = (None, [0; 2048], [0; 2048]);
            loop {
                let (socket, to, bytes, meter) = tokio::select! {
                    Ok((len, from)) = near.recv_from(&mut up) => {
                        client = Some(from);
                        (&far, server, &up[..len], &counted[0])
                    }
                    Ok((len, _)) = far.recv_from(&mut down) => {
                        let Some(client) = client else { continue };
                        (&near, client, &down[..len], &counted[1])
                    }
                };
                meter.count(bytes.len());
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let late = Duration::from_millis(late.load(Ordering::SeqCst));
                if late.is_zero() {
                    let _lost = socket.send_to(bytes, to).await;
                    continue;
                }
                let (socket, bytes) = (Arc::clone(socket), bytes.to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    let _lost = socket.send_to(&bytes, to).await;
                });
            }
        });
        Self {
            addr,
            cut,
            meters,
            late_ms,
        }
    }

    /// What came from the client, and from the server, since it was asked last.
    pub(crate) fn carried(&self) -> [Carried; 2] {
        [self.meters[0].take(), self.meters[1].take()]
    }

    /// A packet is so long on its way from now on, either way.
    pub(crate) fn lengthen(&self, way: Duration) {
        let ms = u64::try_from(way.as_millis()).unwrap();
        self.late_ms.store(ms, Ordering::SeqCst);
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}
