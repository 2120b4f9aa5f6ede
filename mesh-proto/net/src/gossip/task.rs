//! The task: datagrams, orders and time in; packets and events out.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use mesh_proto::{
    codec::Datagram,
    membership::Event,
    seal::{MAX_SEALED, OpenError, Opened},
};
use tokio::{
    sync::{mpsc::error::TrySendError, oneshot},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{GossipCounters, GossipError, GossipEvent, GossipTask, Order};

/// Datagrams taken before orders and time are looked at again.
const BATCH: usize = 64;
/// Between two words about a key that is missing.
const KEY_PAUSE: Duration = Duration::from_secs(10);
/// Rest after a socket error that is not about one packet, so that a broken socket does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

impl GossipTask {
    pub(super) async fn turn(mut self, stop: CancellationToken) {
        // One more than the longest, so that longer ones are seen to be.
        let mut buffer = [0; MAX_SEALED + 1];
        loop {
            self.flush();
            let due = self.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                () = sleep_until(due.into()) => self.tick(),
                readable = self.socket.readable() => match readable {
                    Ok(()) => self.receive(&mut buffer),
                    Err(error) => {
                        warn!(%error, "the gossip socket cannot receive");
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                },
            }
        }
    }

    fn due(&self) -> Instant {
        let timers = [self.membership.poll_timeout(), self.seal.ring.next_drop()];
        let next = timers.into_iter().flatten().min();
        next.unwrap_or_else(|| Instant::now() + KEY_PAUSE)
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.seal.ring.drop_old(now);
        self.membership.handle_timeout(now);
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            match self.socket.try_recv_from(buffer) {
                Ok((len, from)) => self.take(&buffer[..len], from),
                // Empty, or an ICMP error about a packet of ours.
                Err(_) => return,
            }
            self.flush();
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        let now = Instant::now();
        match self.seal.open(now, bytes) {
            Ok(Opened {
                datagram: Datagram::Foca(packet),
                ..
            }) => {
                if let Err(error) = self.membership.handle_datagram(now, &packet) {
                    debug!(%from, %error, "a gossip packet was refused");
                }
            }
            Ok(Opened {
                datagram: Datagram::Knock,
                sender,
            }) => self.tell(GossipEvent::Knocked { by: sender }),
            Err(OpenError::UnknownEpoch(epoch)) => self.miss_key(now, epoch),
            Err(error) => debug!(%from, %error, "a gossip datagram was not opened"),
        }
    }

    /// Anybody can name an epoch, so this is only a reason to ask the controller, now and then.
    fn miss_key(&mut self, now: Instant, epoch: u32) {
        let newer = self.seal.ring.epoch().is_none_or(|ours| epoch > ours);
        let rested = self
            .missed_key
            .is_none_or(|told| now.duration_since(told) >= KEY_PAUSE);
        if newer && rested {
            self.missed_key = Some(now);
            self.tell(GossipEvent::KeyMissed { epoch });
        }
    }

    /// Sends and tells all there is.
    fn flush(&mut self) {
        while let Some((to, packet)) = self.membership.poll_transmit() {
            self.send(to, &Datagram::Foca(packet));
        }
        while let Some(event) = self.membership.poll_event() {
            self.tell(GossipEvent::Member(event));
        }
    }

    fn send(&mut self, to: SocketAddr, datagram: &Datagram) {
        let Ok(sealed) = self.seal.seal(datagram) else {
            return; // no key yet
        };
        let to = reachable(to, self.socket.local_addr().is_ok_and(|own| own.is_ipv6()));
        // A full socket buffer, no route, a host that said no: lost, as packets are.
        if self.socket.try_send_to(&sealed, to).is_err() {
            self.lost += 1;
        }
    }

    fn tell(&mut self, event: GossipEvent) {
        if self.lagged
            && self
                .events
                .try_send(GossipEvent::Member(Event::Lagged))
                .is_ok()
        {
            self.lagged = false;
        }
        // A reader that is gone wants no events.
        if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
            self.lagged = true;
        }
    }

    fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Hello {
                generation,
                addr,
                done,
            } => answer(done, self.hello(now, generation, addr)),
            Order::Join(seeds) => self.membership.join(now, &seeds),
            Order::Ring {
                keys,
                current,
                done,
            } => {
                let replaced = self.seal.ring.replace(now, &keys, current);
                answer(done, replaced.map_err(GossipError::from));
            }
            Order::Verdicts(verdicts) => {
                for verdict in &verdicts {
                    self.membership.apply_verdict(now, verdict);
                }
            }
            Order::Facts(digest) => self.membership.announce_facts(now, digest),
            Order::Knock(at) => self.send(at, &Datagram::Knock),
            Order::Leave(done) => {
                self.membership.leave(now);
                self.flush();
                answer(done, ());
            }
            Order::Digest(done) => answer(done, self.membership.state_digest()),
            Order::State(done) => answer(done, self.membership.state(now)),
            Order::Merge(entries, done) => answer(done, self.membership.merge(now, &entries)),
            Order::Members(done) => answer(done, self.membership.members(now)),
            Order::Identity(done) => answer(done, *self.membership.identity()),
            Order::Counters(done) => answer(done, self.counters()),
        }
    }

    fn hello(
        &mut self,
        now: Instant,
        generation: u32,
        addr: SocketAddr,
    ) -> Result<(), GossipError> {
        let set = self.membership.set_generation(now, generation);
        set.map_err(|stale| GossipError::Stale {
            offered: stale.offered,
            ours: stale.ours,
        })?;
        self.membership.set_addr(now, addr);
        Ok(())
    }

    fn counters(&self) -> GossipCounters {
        GossipCounters {
            membership: self.membership.counters(),
            seal: self.seal.counters(),
            lost: self.lost,
        }
    }
}

/// Who asked may have given up meanwhile.
fn answer<T>(done: oneshot::Sender<T>, value: T) {
    let _gave_up = done.send(value);
}

/// An IPv6 socket reaches IPv4 hosts by mapped addresses.
fn reachable(to: SocketAddr, by_ipv6: bool) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if by_ipv6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        other => other,
    }
}
