//! A transfer and a pretend client over a network that loses, doubles and reorders: equal bytes or a clean end, and never
//! more packets than the faults explain. Seeded, in virtual time.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use ipxe::tftp::{End, HEADER, Limits, Message, ReadRequest, Transfer, Transmit};
use proptest::prelude::*;

/// Faults in percent.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    loss: u64,
    double: u64,
    reorder: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    AtServer(Vec<u8>),
    AtClient(Vec<u8>),
    ClientTimer(u32),
}

/// A reader as RFC 7440 §4 wants it: acknowledges full windows, the end, and gaps (by the last block in order).
struct Client {
    blksize: usize,
    windowsize: usize,
    file: Vec<u8>,
    /// Blocks received in order.
    got: u64,
    since_ack: usize,
    /// The gap's ACK was said already and nothing in order came since.
    complained: bool,
    finished: bool,
    timers: u32,
    patience: u32,
}

impl Client {
    fn ack(&mut self) -> Vec<u8> {
        self.since_ack = 0;
        let number = (self.got % 65_536) as u16;
        [&[0, 4], number.to_be_bytes().as_slice()].concat()
    }

    fn hear(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        if packet[1] == 6 {
            return (self.got == 0).then(|| self.ack());
        }
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        if number != ((self.got + 1) % 65_536) as u16 || self.finished {
            let repeat = !self.complained;
            self.complained = true;
            return repeat.then(|| self.ack());
        }
        self.file.extend_from_slice(&packet[HEADER..]);
        self.got += 1;
        self.since_ack += 1;
        self.complained = false;
        self.patience = 0;
        self.finished = packet.len() < HEADER + self.blksize;
        (self.finished || self.since_ack == self.windowsize).then(|| self.ack())
    }
}

struct Network {
    now: Instant,
    random: u64,
    order: u64,
    faults: Faults,
    queue: BinaryHeap<Reverse<(Instant, u64, Arrival)>>,
}

impl Network {
    fn percent(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) % 100
    }

    fn after(&mut self, delay: Duration, arrival: Arrival) {
        self.order += 1;
        self.queue
            .push(Reverse((self.now + delay, self.order, arrival)));
    }

    fn send(&mut self, packet: &[u8], to: fn(Vec<u8>) -> Arrival) {
        let copies = 1 + u32::from(self.percent() < self.faults.double);
        for _ in 0..copies {
            let lost = self.percent() < self.faults.loss;
            let late = self.percent() < self.faults.reorder;
            if !lost {
                let delay = Duration::from_micros(if late { 900 } else { 500 });
                self.after(delay, to(packet.to_vec()));
            }
        }
    }
}

/// What came of it.
struct Outcome {
    end: Option<End>,
    received: Vec<u8>,
    client_finished: bool,
    blocks_sent: usize,
}

#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the start of virtual time"
)]
fn start() -> Instant {
    Instant::now()
}

const CLIENT_WAIT: Duration = Duration::from_millis(1500);

fn run(file: &[u8], blksize: usize, windowsize: usize, faults: Faults, seed: u64) -> Outcome {
    let mut server = Transfer::new(
        request(blksize, windowsize),
        file.len() as u64,
        &Limits::default(),
    );
    let mut client = Client {
        blksize,
        windowsize,
        file: Vec::new(),
        got: 0,
        since_ack: 0,
        complained: false,
        finished: false,
        timers: 0,
        patience: 0,
    };
    let mut net = Network {
        now: start(),
        random: seed | 1,
        order: 0,
        faults,
        queue: BinaryHeap::new(),
    };
    let mut blocks_sent = transmit(&mut server, file, &mut net);
    net.after(CLIENT_WAIT, Arrival::ClientTimer(0));
    while server.poll_end().is_none() && step(&mut server, &mut client, &mut net) {
        blocks_sent += transmit(&mut server, file, &mut net);
    }
    Outcome {
        end: server.poll_end(),
        received: client.file,
        client_finished: client.finished,
        blocks_sent,
    }
}

fn request(blksize: usize, windowsize: usize) -> ReadRequest {
    let packet = format!("\0\x01f\0octet\0blksize\0{blksize}\0windowsize\0{windowsize}\0");
    match Message::parse(packet.as_bytes()) {
        Ok(Message::Read(request)) => request,
        other => unreachable!("{other:?}"),
    }
}

/// The next thing that happens; false when nothing will any more.
fn step(server: &mut Transfer, client: &mut Client, net: &mut Network) -> bool {
    let next = net.queue.peek().map(|Reverse((at, ..))| *at);
    if let Some(due) = server.poll_timeout()
        && next.is_none_or(|at| due < at)
    {
        net.now = due;
        server.handle_timeout(due);
        return true;
    }
    let Some(Reverse((at, _, arrival))) = net.queue.pop() else {
        return false;
    };
    net.now = at;
    let reply = match arrival {
        Arrival::AtServer(packet) => {
            server.handle_datagram(at, &packet);
            return true;
        }
        Arrival::AtClient(packet) => client.hear(&packet),
        Arrival::ClientTimer(n)
            if n == client.timers && !client.finished && client.patience < 20 =>
        {
            client.patience += 1;
            Some(client.ack())
        }
        Arrival::ClientTimer(_) => return true,
    };
    client.timers += 1;
    net.after(CLIENT_WAIT, Arrival::ClientTimer(client.timers));
    if let Some(reply) = reply {
        net.send(&reply, Arrival::AtServer);
    }
    true
}

/// Puts what is due on the wire; returns how many blocks that were.
fn transmit(server: &mut Transfer, file: &[u8], net: &mut Network) -> usize {
    let mut blocks = 0;
    while let Some(due) = server.poll_transmit() {
        let count = match due {
            Transmit::Packet(packet) => {
                let packet = packet.to_vec();
                net.send(&packet, Arrival::AtClient);
                1
            }
            Transmit::Blocks(window) => {
                let at = usize::try_from(window.offset).expect("small file");
                let mut buffer = vec![0; window.data_start()];
                buffer.extend_from_slice(&file[at..at + window.len]);
                window.frame(&mut buffer);
                for packet in buffer.chunks(window.segment()) {
                    net.send(packet, Arrival::AtClient);
                }
                blocks += window.count;
                window.count
            }
        };
        server.handle_transmitted(net.now, count);
    }
    blocks
}

fn file(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 / 7) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bad_network_ends_in_equal_bytes_or_a_timeout(
        len in 0_usize..6000, blksize in 8_usize..200, windowsize in 1_usize..65,
        loss in 0_u64..40, double in 0_u64..30, reorder in 0_u64..30, seed: u64,
    ) {
        let file = file(len);
        let done = run(&file, blksize, windowsize, Faults { loss, double, reorder }, seed);
        prop_assert!(file.starts_with(&done.received));
        prop_assert!(!done.client_finished || done.received == file);
        match done.end {
            Some(End::Complete) => prop_assert!(done.client_finished),
            Some(End::TimedOut) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_good_network_carries_each_block_once(
        len in 0_usize..6000, blksize in 8_usize..200, windowsize in 1_usize..65, seed: u64,
    ) {
        let file = file(len);
        let done = run(&file, blksize, windowsize, Faults::default(), seed);
        prop_assert_eq!(done.end, Some(End::Complete));
        prop_assert!(done.received == file);
        prop_assert_eq!(done.blocks_sent, len / blksize + 1);
    }

    #[test]
    fn light_loss_is_always_survived(
        len in 0_usize..6000, windowsize in 1_usize..17, loss in 0_u64..5, seed: u64,
    ) {
        let file = file(len);
        let done = run(&file, 64, windowsize, Faults { loss, ..Faults::default() }, seed);
        prop_assert!(done.client_finished && done.received == file, "{:?}", done.end);
    }

    #[test]
    fn doubled_packets_do_not_double_the_transfer(
        len in 3000_usize..6000, windowsize in 1_usize..17, seed: u64,
    ) {
        // Each packet comes twice: with the sorcerer's apprentice each window would be sent twice, to the end.
        let file = file(len);
        let faults = Faults { double: 100, ..Faults::default() };
        let done = run(&file, 8, windowsize, faults, seed);
        prop_assert_eq!(done.end, Some(End::Complete));
        prop_assert!(done.received == file);
        let blocks = len / 8 + 1;
        let spare = if windowsize == 1 { 0 } else { blocks };
        prop_assert!(done.blocks_sent <= blocks + spare, "{} for {}", done.blocks_sent, blocks);
    }

    #[test]
    fn any_bytes_are_survived(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..40),
        numbers in prop::collection::vec(any::<u16>(), 0..40), size: u64,
    ) {
        let mut server = Transfer::new(request(512, 9), size, &Limits::default());
        let mut now = start();
        server.handle_datagram(now, &[0, 4, 0, 0]);
        let acks = numbers.iter().map(|n| [&[0, 4], n.to_be_bytes().as_slice()].concat());
        for bytes in datagrams.iter().cloned().chain(acks) {
            let _ = Message::parse(&bytes);
            server.handle_datagram(now, &bytes);
            if server.poll_transmit().is_some() {
                server.handle_transmitted(now, 3);
            }
            now = server.poll_timeout().unwrap_or(now);
            server.handle_timeout(now);
            prop_assert!(server.bytes_acked() <= size);
        }
    }
}
