//! The desk and a real socket, but no waiting: `now` is what the test says.

use std::{
    net::UdpSocket,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use ipxe::PxeClient;

use super::*;
use crate::{BootFile, BootOffer, LeaseAnswer, LeaseAsk, ScriptAsk};

/// Far longer than loopback needs.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK: &[u8] = b"\0\x01small\0octet\0";
const FILE: &[u8] = b"\0\x03\0\x01a few bytes";

/// One file, and a record of how transfers of it ended.
#[derive(Debug, Default)]
struct Shelf(Mutex<Vec<TftpEnd>>);

impl Shelf {
    fn ends(&self) -> Vec<TftpEnd> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.clone()
    }
}

impl BootAuthority for Shelf {
    fn tftp_file(&self, _: &str, _: IpAddr) -> Option<BootFile> {
        Some(BootFile::Memory(Bytes::from_static(b"a few bytes")))
    }

    fn note(&self, note: BootNote) {
        if let BootNote::Tftp { end, .. } = note {
            self.0.lock().unwrap().push(end);
        }
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

struct Bench {
    shelf: Arc<Shelf>,
    desk: Desk<Shelf>,
    out: Outbox,
    client: UdpSocket,
}

impl Bench {
    fn new() -> Self {
        let shelf = Arc::<Shelf>::default();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            desk: Desk::new(Arc::clone(&shelf), Limits::default()),
            out: Outbox::bind("127.0.0.1:0".parse().unwrap()).unwrap(),
            shelf,
            client,
        }
    }

    fn says(&mut self, now: Instant, bytes: &[u8]) {
        let datagram = Datagram {
            from: self.client.local_addr().unwrap(),
            at: None,
            bytes,
        };
        self.desk.handle_datagram(now, &datagram, &self.out);
        self.desk.flush(now, &self.out);
    }

    fn hears(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let len = self.client.recv(&mut buffer).expect("an answer");
        buffer[..len].to_vec()
    }

    /// Lets the time come that the desk waits for.
    fn sleep(&mut self) -> Option<Instant> {
        let now = self.desk.alarm()?;
        self.desk.handle_timeouts(now);
        self.desk.flush(now, &self.out);
        Some(now)
    }
}

#[test]
fn a_silent_client_is_asked_again_and_then_forgotten() {
    let mut bench = Bench::new();
    let began = Instant::now();
    bench.says(began, ASK);
    assert_eq!(bench.hears(), FILE);
    let mut times = Vec::new();
    while let Some(now) = bench.sleep() {
        times.push(now.duration_since(began).as_secs());
        if bench.shelf.ends().is_empty() {
            assert_eq!(bench.hears(), FILE);
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 31, 51], "doubling, 20 s at most");
    assert_eq!(bench.shelf.ends(), [TftpEnd::TimedOut]);
    assert!(
        bench
            .desk
            .table
            .get_mut(bench.client.local_addr().unwrap())
            .is_none()
    );
}

#[test]
fn an_answer_puts_the_alarm_back_and_the_end_takes_it_away() {
    let mut bench = Bench::new();
    let began = Instant::now();
    bench.says(began, b"\0\x01small\0octet\0tsize\x000\0");
    assert_eq!(bench.hears(), b"\0\x06tsize\x0011\0");
    let later = began + Duration::from_millis(900);
    bench.says(later, b"\0\x04\0\0");
    assert_eq!(bench.hears(), FILE);
    bench.sleep(); // at one second, when nothing is due any more
    assert_eq!(bench.desk.alarm(), Some(later + Duration::from_secs(1)));
    bench.says(later, b"\0\x04\0\x01");
    assert_eq!(bench.shelf.ends(), [TftpEnd::Complete]);
    assert!(bench.sleep().is_some() && bench.desk.alarm().is_none());
}
