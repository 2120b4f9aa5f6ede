//! One read transfer as a state machine: no clock, socket or file.
//!
//! The driver calls [`Transfer::handle_datagram`] and [`Transfer::handle_timeout`], then sends what
//! [`Transfer::poll_transmit`] says is due and reports by [`Transfer::handle_transmitted`] how much of it the socket took,
//! so that a full socket buffer is no loss. Blocks are counted from 1 without wrapping; only the wire's numbers wrap.
//!
//! Lost blocks are repeated from the first missing one (go-back-N, RFC 7440 §4). With windows, a client reports a gap by
//! repeating its last ACK, so a repeated ACK must be acted on; but a block that was sent twice is acknowledged twice, and
//! acting on *that* would send every later block twice too (the sorcerer's apprentice, RFC 1123 §4.2.3.1). Hence: an ACK
//! of a block that may have been sent twice moves the transfer on, and never causes a repetition.

use std::time::{Duration, Instant};

use super::{Limits, Message, ReadRequest, Terms, Window};

/// Repetitions without any progress before the client is given up.
pub const RETRIES: u32 = 5;
/// Longest wait for an answer: whoever promises to be slow (`timeout` up to 255 s) does not hold its place for half an hour.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A file on its way to one client.
#[derive(Debug)]
pub struct Transfer {
    request: ReadRequest,
    terms: Terms,
    size: u64,
    /// Blocks of the whole file; the last is always short, maybe empty.
    blocks: u64,
    /// The client has this block and all before it.
    acked: u64,
    /// The next block to be sent.
    next: u64,
    /// The last block of the window that is on its way.
    until: u64,
    /// The highest block ever sent.
    sent: u64,
    /// Blocks below this number may have been sent twice.
    repeated: u64,
    phase: Phase,
    retries: u32,
    deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The OACK waits for its ACK 0, and is to be sent (again).
    Options { due: bool },
    /// Blocks flow.
    Data,
    /// Nothing is sent or heard any more.
    Ended(End),
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The last block was acknowledged.
    Complete,
    /// The client said ERROR.
    Aborted,
    /// No answer within the retries.
    TimedOut,
}

/// What is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transmit<'a> {
    /// This packet (an OACK).
    Packet(&'a [u8]),
    /// These blocks of the file.
    Blocks(Window),
}

impl Transfer {
    /// Starts to serve a file of `size` bytes, which must not change meanwhile.
    #[must_use]
    pub fn new(request: ReadRequest, size: u64, limits: &Limits) -> Self {
        let terms = Terms::settle(&request.options, size, limits);
        let blocks = size / u64::from(terms.blksize) + 1;
        let phase = match terms.oack {
            Some(_) => Phase::Options { due: true },
            None => Phase::Data,
        };
        let until = blocks.min(terms.windowsize.into());
        Self {
            request,
            terms,
            size,
            blocks,
            acked: 0,
            next: 1,
            until,
            sent: 0,
            repeated: 0,
            phase,
            retries: 0,
            deadline: None,
        }
    }

    /// Whether `request` is the one this transfer answers, sent once more because our answer has not been seen yet.
    #[must_use]
    pub fn is_repeated_by(&self, request: &ReadRequest) -> bool {
        !self.is_answered() && self.request == *request
    }

    /// Whether the client ever acknowledged anything: only then does it surely exist.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.acked > 0 || matches!((&self.terms.oack, self.phase), (Some(_), Phase::Data))
    }

    /// The cleaned name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.request.name
    }

    /// Bytes the client has acknowledged.
    #[must_use]
    pub fn bytes_acked(&self) -> u64 {
        self.size
            .min(self.acked.saturating_mul(self.terms.blksize.into()))
    }

    /// Takes any datagram from the client's address and port; what is none of ours is ignored.
    pub fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) {
        if let Ok(message) = Message::parse(bytes) {
            self.handle_message(now, &message);
        }
    }

    /// The same for a datagram that is parsed already.
    pub fn handle_message(&mut self, now: Instant, message: &Message) {
        if self.poll_end().is_some() {
            return;
        }
        match message {
            Message::Ack(number) => self.handle_ack(now, *number),
            Message::Error(_) => self.end(End::Aborted),
            Message::Read(request) if self.is_repeated_by(request) => self.go_back(),
            Message::Read(_) | Message::Write => {}
        }
    }

    fn handle_ack(&mut self, now: Instant, number: u16) {
        if let Phase::Options { .. } = self.phase {
            if number == 0 {
                self.phase = Phase::Data;
                self.retries = 0;
                self.deadline = None;
            }
            return;
        }
        // The window is far smaller than 2^16, so the distance from the last acknowledged block tells which one is meant.
        #[expect(clippy::cast_possible_truncation, reason = "the wire's numbers wrap")]
        let ahead = u64::from(number.wrapping_sub(self.acked as u16));
        let block = self.acked + ahead;
        if ahead == 0 {
            self.handle_repeated_ack();
        } else if block <= self.sent {
            self.advance(now, block);
        }
    }

    /// The client misses the first block of the window, or the network doubled its ACK. With windows of one block a
    /// repeated ACK says nothing new.
    fn handle_repeated_ack(&mut self) {
        let in_flight = self.next > self.until;
        if self.terms.windowsize > 1 && in_flight && self.acked >= self.repeated {
            self.go_back();
        }
    }

    fn advance(&mut self, now: Instant, block: u64) {
        self.acked = block;
        self.retries = 0;
        if block == self.blocks {
            return self.end(End::Complete);
        }
        if block >= self.until {
            self.open_window();
        } else if block >= self.repeated {
            self.go_back(); // the ACK in the middle of a window says that the next block is missing
        } else {
            self.next = self.next.max(block + 1);
            self.deadline = Some(now + self.wait());
        }
    }

    /// The next window starts behind the acknowledged block.
    fn open_window(&mut self) {
        self.deadline = None; // set again when the blocks are out
        self.next = self.acked + 1;
        self.until = self
            .blocks
            .min(self.acked + u64::from(self.terms.windowsize));
    }

    /// Everything not acknowledged is sent again.
    fn go_back(&mut self) {
        self.repeated = self.sent + 1;
        match &mut self.phase {
            Phase::Options { due } => {
                *due = true;
                self.deadline = None;
            }
            Phase::Data => self.open_window(),
            Phase::Ended(_) => {}
        }
    }

    /// Says what time it is; repeats or gives up when the client was silent too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|due| now < due) {
            return;
        }
        self.deadline = None;
        if self.retries == RETRIES {
            return self.end(End::TimedOut);
        }
        self.retries += 1;
        self.go_back();
    }

    /// When [`Self::handle_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// What is to be sent now; the same answer until [`Self::handle_transmitted`] says that it was.
    #[must_use]
    pub fn poll_transmit(&self) -> Option<Transmit<'_>> {
        match self.phase {
            Phase::Options { due } => {
                let oack = self.terms.oack.as_deref().filter(|_| due)?;
                Some(Transmit::Packet(oack))
            }
            Phase::Data if self.next <= self.until => Some(Transmit::Blocks(self.window())),
            Phase::Data | Phase::Ended(_) => None,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the wire's numbers wrap, and a window has at most 64 blocks of at most 64 KiB"
    )]
    fn window(&self) -> Window {
        let blksize = u64::from(self.terms.blksize);
        let offset = (self.next - 1) * blksize;
        let count = self.until + 1 - self.next;
        Window {
            first: self.next as u16,
            count: count as usize,
            blksize: blksize as usize,
            offset,
            len: (count * blksize).min(self.size - offset) as usize,
        }
    }

    /// The packet, or that many blocks of the window, went out at `now`.
    pub fn handle_transmitted(&mut self, now: Instant, blocks: usize) {
        match &mut self.phase {
            Phase::Options { due } => *due = false,
            Phase::Data => {
                self.next = (self.next + blocks as u64).min(self.until + 1);
                self.sent = self.sent.max(self.next - 1);
            }
            Phase::Ended(_) => return,
        }
        if self.poll_transmit().is_none() {
            self.deadline = Some(now + self.wait());
        }
    }

    /// Doubles with each repetition, so that a slow or crowded client is not flooded.
    fn wait(&self) -> Duration {
        (self.terms.timeout * 2_u32.pow(self.retries.min(RETRIES))).min(WAIT_MAX)
    }

    fn end(&mut self, end: End) {
        self.phase = Phase::Ended(end);
        self.deadline = None;
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn poll_end(&self) -> Option<End> {
        match self.phase {
            Phase::Ended(end) => Some(end),
            Phase::Options { .. } | Phase::Data => None,
        }
    }
}
