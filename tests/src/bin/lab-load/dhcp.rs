//! Many DHCP stations on one socket: one thread starts them at their pace, the other answers for them and takes the times.

use anyhow::{Context, Result};
use enforcer_tests::bench::{Answered, Dhcp, Pace, Spread};
use socket2::{Domain, Socket, Type};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// A client that got nothing for so long gives its place to the next one; it counts as unanswered.
const GIVE_UP: Duration = Duration::from_secs(3);
const SERVERS: &str = "255.255.255.255:67";
const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// Message types of RFC 2132 §9.6.
const OFFER: u8 = 2;
const ACK: u8 = 5;

/// When a client's messages went out and came in, ns since the start; 0: not yet.
#[derive(Default)]
struct Times {
    discover: AtomicU64,
    offer: AtomicU64,
    request: AtomicU64,
    ack: AtomicU64,
}

struct Crowd {
    story: Dhcp,
    stations: usize,
    socket: UdpSocket,
    began: Instant,
    clients: Vec<Times>,
    over: AtomicBool,
}

/// `clients` come, as `stations` different ones in turn.
pub(crate) fn run(story: Dhcp, clients: usize, stations: usize, pace: Pace) -> Result<Answered> {
    let crowd = Crowd {
        story,
        stations,
        socket: open()?,
        began: Instant::now(),
        clients: (0..clients).map(|_| Times::default()).collect(),
        over: AtomicBool::new(false),
    };
    let (done, finished) = sync_channel(clients);
    thread::scope(|scope| {
        let listener = scope.spawn(|| crowd.listen(&done));
        let sent = match pace {
            Pace::PerSecond(rate) => crowd.paced(rate, &finished),
            Pace::AtOnce(window) => crowd.windowed(window as usize, &finished),
        };
        crowd.over.store(true, Ordering::Relaxed);
        listener.join().expect("the listener does not panic");
        sent
    })?;
    Ok(crowd.answered())
}

fn open() -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(b"eth0")).context("no eth0 here")?;
    socket.set_recv_buffer_size(8 << 20)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    socket.bind(&"0.0.0.0:68".parse::<SocketAddr>()?.into())?;
    Ok(socket.into())
}

impl Crowd {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn paced(&self, rate: u32, finished: &Receiver<()>) -> Result<()> {
        for index in 0..self.clients.len() {
            let due = Duration::from_secs_f64(index as f64 / f64::from(rate));
            thread::sleep(due.saturating_sub(self.began.elapsed()));
            self.discover(index)?;
        }
        let end = Instant::now() + PATIENCE;
        (0..self.clients.len()).all(|_| {
            finished
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .is_ok()
        });
        Ok(())
    }

    fn windowed(&self, window: usize, finished: &Receiver<()>) -> Result<()> {
        for index in 0..self.clients.len() {
            if index >= window {
                // Somebody was lost: the next one comes all the same.
                let _lost = finished.recv_timeout(GIVE_UP);
            }
            self.discover(index)?;
        }
        (0..window).all(|_| finished.recv_timeout(GIVE_UP).is_ok());
        Ok(())
    }

    fn discover(&self, index: usize) -> Result<()> {
        let extra: &[u8] = match self.story {
            // A BIOS PXE ROM: vendor class, processor, parameters it wants.
            Dhcp::Discover => b"\x5d\x02\x00\x00\x5e\x03\x01\x02\x01\x3c\x20PXEClient:Arch:00000:UNDI:002001\x37\x06\x01\x03\x2b\x3c\x42\x43",
            Dhcp::Lease => b"\x37\x03\x01\x03\x06",
        };
        let packet = self.packet(index, 1, extra);
        self.clients[index]
            .discover
            .store(self.now(), Ordering::Relaxed);
        self.socket.send_to(&packet, SERVERS)?;
        Ok(())
    }

    fn packet(&self, index: usize, kind: u8, options: &[u8]) -> Vec<u8> {
        let station = index % self.stations;
        let mut packet = vec![0; 236];
        packet[..4].copy_from_slice(&[1, 1, 6, 0]);
        packet[4..8].copy_from_slice(&(index as u32).to_be_bytes());
        // No address yet: the answer has to be a broadcast.
        packet[10] = 0x80;
        let mac = [
            2,
            0,
            (station >> 16) as u8,
            (station >> 8) as u8,
            station as u8,
            1,
        ];
        packet[28..34].copy_from_slice(&mac);
        packet.extend_from_slice(&MAGIC);
        packet.extend_from_slice(&[53, 1, kind]);
        packet.extend_from_slice(options);
        packet.push(255);
        packet.resize(packet.len().max(300), 0);
        packet
    }

    fn listen(&self, done: &SyncSender<()>) {
        let mut buffer = [0; 2048];
        while !self.over.load(Ordering::Relaxed) {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                continue;
            };
            if self
                .heard(&buffer[..length])
                .is_some_and(|finished| finished)
            {
                let _nobody_waits = done.try_send(());
            }
        }
    }

    /// Whether a client is through with this reply; `None` for what is nobody's.
    fn heard(&self, reply: &[u8]) -> Option<bool> {
        let index = u32::from_be_bytes(reply.get(4..8)?.try_into().ok()?) as usize;
        let times = self.clients.get(index)?;
        let first = |at: &AtomicU64| {
            at.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        match *option(reply, 53)?.first()? {
            OFFER if first(&times.offer) && self.story == Dhcp::Lease => {
                let address = reply.get(16..20)?;
                let server = option(reply, 54)?;
                let mut wishes = vec![54, 4];
                wishes.extend_from_slice(server);
                wishes.extend_from_slice(&[50, 4]);
                wishes.extend_from_slice(address);
                times.request.store(self.now(), Ordering::Relaxed);
                self.socket
                    .send_to(&self.packet(index, 3, &wishes), SERVERS)
                    .ok()?;
                Some(false)
            }
            OFFER => Some(self.story == Dhcp::Discover),
            ACK => Some(first(&times.ack)),
            _ => None,
        }
    }

    fn answered(&self) -> Answered {
        let spread = |from: fn(&Times) -> &AtomicU64, to: fn(&Times) -> &AtomicU64| {
            let times = self.clients.iter().filter_map(|client| {
                let (from, to) = (
                    from(client).load(Ordering::Relaxed),
                    to(client).load(Ordering::Relaxed),
                );
                (to > 0).then(|| Duration::from_nanos(to.saturating_sub(from)))
            });
            Spread::of(times.collect())
        };
        let last = self
            .clients
            .iter()
            .map(|c| {
                c.offer
                    .load(Ordering::Relaxed)
                    .max(c.ack.load(Ordering::Relaxed))
            })
            .max();
        let first = self
            .clients
            .iter()
            .map(|c| c.discover.load(Ordering::Relaxed))
            .min();
        Answered {
            clients: self.clients.len(),
            seconds: last.unwrap_or(0).saturating_sub(first.unwrap_or(0)) as f64 / 1e9,
            offer: spread(|c| &c.discover, |c| &c.offer),
            ack: spread(|c| &c.request, |c| &c.ack),
        }
    }
}

/// The value of a DHCP option.
fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = message.get(240..)?;
    loop {
        match *rest {
            [255, ..] | [] | [_] => return None,
            [0, ref after @ ..] => rest = after,
            [code, length, ref after @ ..] => {
                let value = after.get(..length.into())?;
                if code == wanted {
                    return Some(value);
                }
                rest = &after[length.into()..];
            }
        }
    }
}
