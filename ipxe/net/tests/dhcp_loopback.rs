//! The DHCP loop under pressure, on loopback: slow leases, too many of them, noise, and the stop.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up is a failed test"
)]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ipxe::{MacAddr, PxeClient, dhcp::Message};
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, Lease, LeaseAnswer, LeaseAsk, LeaseVerb,
    ScriptAsk,
    dhcp::{DhcpConfig, DhcpMode, DhcpPorts, DhcpServer},
};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// Leases of stations that begin with this never come.
const SLOW: u8 = 0x06;
/// Stations that begin with these meet a mistake of ours: when they are given a lease, and before.
const CURSED: u8 = 0x0a;
const NOT_EVEN_HEARD: u8 = 0x0e;
/// Far more than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Pretend {
    notes: mpsc::UnboundedSender<BootNote>,
    open: AtomicUsize,
}

impl BootAuthority for Pretend {
    fn offer(&self, _client: &PxeClient) -> BootOffer {
        BootOffer::Silent
    }

    async fn lease(&self, ask: LeaseAsk) -> LeaseAnswer {
        if ask.mac.0[0] == SLOW {
            self.open.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        assert_ne!(ask.mac.0[0], CURSED, "a mistake of ours");
        let LeaseVerb::Confirm(ip) = ask.verb else {
            return LeaseAnswer::Silent;
        };
        LeaseAnswer::Grant(Lease {
            ip,
            prefix: 8,
            routers: Vec::new(),
            dns: Vec::new(),
            domain: None,
            hostname: None,
            seconds: 60,
        })
    }

    fn tftp_file(&self, _name: &str, _from: IpAddr) -> Option<BootFile> {
        None
    }

    async fn script(&self, _ask: ScriptAsk) -> String {
        String::new()
    }

    fn note(&self, note: BootNote) {
        if let BootNote::AddressRequested { mac, .. } = note {
            assert_ne!(mac.0[0], NOT_EVEN_HEARD, "a mistake of ours");
        }
        let _closed = self.notes.send(note);
    }
}

/// A running server and a client on loopback.
struct Bench {
    client: UdpSocket,
    authority: Arc<Pretend>,
    notes: mpsc::UnboundedReceiver<BootNote>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Bench {
    async fn start() -> Self {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = DhcpServer::bind(DhcpConfig {
            mode: DhcpMode::Server,
            interfaces: Some(vec!["lo".to_owned()]),
            http_port: 4880,
            ports: DhcpPorts {
                dhcp: 0,
                pxe: 0,
                client: client.local_addr().unwrap().port(),
            },
            router_advertisements: false,
        })
        .unwrap();
        let address = (Ipv4Addr::LOCALHOST, server.ports().dhcp);
        client.connect(address).await.unwrap();
        let (sender, notes) = mpsc::unbounded_channel();
        let authority = Arc::new(Pretend {
            notes: sender,
            open: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.run(Arc::clone(&authority), stop.clone()));
        Self {
            client,
            authority,
            notes,
            stop,
            serving,
        }
    }

    /// A renewal of 127.0.0.1, which is answered by unicast.
    async fn renew(&self, mac: MacAddr) {
        let mut bytes = vec![0; 240];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[12..16].copy_from_slice(&[127, 0, 0, 1]);
        bytes[28..34].copy_from_slice(&mac.0);
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend([53, 1, 3, 255]);
        self.client.send(&bytes).await.unwrap();
    }

    async fn answered(&self) -> MacAddr {
        let mut buffer = [0; 2048];
        let received = timeout(PATIENCE, self.client.recv(&mut buffer)).await;
        let len = received.expect("an answer in time").unwrap();
        Message::reply(&buffer[..len]).unwrap().mac
    }

    async fn dropped(&mut self) -> &'static str {
        loop {
            let note = timeout(PATIENCE, self.notes.recv()).await;
            if let Some(BootNote::Dropped(why)) = note.expect("a note in time") {
                return why;
            }
        }
    }
}

fn station(first: u8, n: u16) -> MacAddr {
    let [high, low] = n.to_be_bytes();
    MacAddr([first, 0, 0, 0, high, low])
}

#[tokio::test]
async fn leases_that_never_come_hold_up_nobody_until_there_are_too_many() {
    let mut bench = Bench::start().await;
    // In small steps, so that no datagram is lost before the server: each step is answered before the next.
    for step in 0..64_u16 {
        for n in 0..16 {
            bench.renew(station(SLOW, step * 16 + n)).await;
        }
        if step < 63 {
            let quick = station(2, step);
            bench.renew(quick).await;
            assert_eq!(bench.answered().await, quick);
        }
    }
    bench.renew(station(2, 999)).await;
    assert_eq!(bench.dropped().await, "dhcp-leases-full");
    assert_eq!(bench.authority.open.load(Ordering::Relaxed), 1024);
    bench.stop.cancel();
    let stopped = timeout(PATIENCE, bench.serving).await;
    stopped.expect("the stop does not wait for them").unwrap();
}

#[tokio::test]
async fn a_request_that_makes_us_panic_costs_only_its_own_answer() {
    let bench = Bench::start().await;
    for (n, first) in [(1, CURSED), (2, NOT_EVEN_HEARD)] {
        let well = station(2, n);
        bench.renew(station(first, n)).await;
        bench.renew(well).await;
        assert_eq!(bench.answered().await, well);
    }
    bench.stop.cancel();
    bench.serving.await.unwrap();
}

#[tokio::test]
async fn a_station_that_shouts_is_cut_off_and_counted() {
    let mut bench = Bench::start().await;
    let (loud, quiet) = (station(2, 1), station(2, 2));
    // Ten times the allowance: even a slow machine sends that within a few seconds.
    for _ in 0..200 {
        bench.renew(loud).await;
    }
    assert_eq!(bench.dropped().await, "dhcp-too-often");
    bench.renew(quiet).await;
    let mut answers = 0;
    while bench.answered().await == loud {
        answers += 1;
    }
    assert!((20..200).contains(&answers), "{answers} answers");
}

#[tokio::test]
async fn noise_is_counted_by_its_fault() {
    let mut bench = Bench::start().await;
    bench.client.send(b"hello").await.unwrap();
    assert_eq!(bench.dropped().await, "dhcp-too-short");
    bench.client.send(&[1; 300]).await.unwrap();
    assert_eq!(bench.dropped().await, "dhcp-no-cookie");
}
