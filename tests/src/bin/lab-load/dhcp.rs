//! Many DHCP stations on one socket: one thread starts them at their pace, the other answers for them and takes the times.

use anyhow::Result;
use enforcer_tests::{
    bench::{Answered, Dhcp, Pace, Spread},
    dhcp::{self, ACK, DISCOVER, OFFER, REQUEST, SERVERS, option},
    lab::Asks,
};
use std::{
    net::UdpSocket,
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
        socket: dhcp::open()?,
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
            Dhcp::Discover => Asks::Bios.options(),
            Dhcp::Lease => b"\x37\x03\x01\x03\x06",
        };
        let packet = self.packet(index, DISCOVER, extra);
        self.clients[index]
            .discover
            .store(self.now(), Ordering::Relaxed);
        self.socket.send_to(&packet, SERVERS)?;
        Ok(())
    }

    fn packet(&self, index: usize, kind: u8, options: &[u8]) -> Vec<u8> {
        let station = index % self.stations;
        let mac = [
            2,
            0,
            (station >> 16) as u8,
            (station >> 8) as u8,
            station as u8,
            1,
        ];
        dhcp::request(mac, index as u32, kind, options)
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
        let index = dhcp::xid(reply)? as usize;
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
                    .send_to(&self.packet(index, REQUEST, &wishes), SERVERS)
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
