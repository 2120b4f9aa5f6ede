//! What a datagram means for the table of transfers, and what is sent because of it.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ipxe::tftp::{
    End, ErrorCode, Limits, Message, ReadRequest, Transfer, Transmit, Window, error_packet,
};
use tracing::{debug, info, warn};

use super::{
    socket::{Datagram, Outbox, SEND_MAX, Sent},
    table::{Room, Slot, Table},
};
use crate::{BootAuthority, BootNote, TftpEnd};

/// Retransmissions that fall due within this time are done together.
const ALARM_GRAIN: Duration = Duration::from_millis(10);

/// Everything but the socket.
#[derive(Debug)]
pub(super) struct Desk<A> {
    authority: Arc<A>,
    limits: Limits,
    table: Table,
    /// Clients with something to be sent, in turn.
    ready: VecDeque<SocketAddr>,
    /// Where the blocks of one send are put together.
    buffer: Vec<u8>,
    alarm: Option<Instant>,
}

impl<A: BootAuthority> Desk<A> {
    pub(super) fn new(authority: Arc<A>, limits: Limits) -> Self {
        Self {
            authority,
            limits,
            table: Table::default(),
            ready: VecDeque::new(),
            buffer: vec![0; SEND_MAX],
            alarm: None,
        }
    }

    /// Whether something waits for room in the send buffer.
    pub(super) fn has_backlog(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When [`Self::handle_timeouts`] is to be called.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &Datagram<'_>, out: &Outbox) {
        if !is_answerable(datagram) {
            return self.drop_packet("tftp_unanswerable");
        }
        match Message::parse(datagram.bytes) {
            Ok(message @ (Message::Ack(_) | Message::Error(_))) => {
                self.deliver(now, datagram.from, &message);
            }
            Ok(Message::Read(request)) => self.handle_request(now, datagram, request, out),
            Ok(Message::Write) => {
                self.drop_packet("tftp_write");
                refuse(datagram, ErrorCode::Access, "this server only gives", out);
            }
            Err(error) => {
                self.drop_packet("tftp_malformed");
                if let Some(code) = error.answer() {
                    refuse(datagram, code, &error.to_string(), out);
                }
            }
        }
    }

    /// An ACK of no transfer is not answered by ERROR 5: it may be a late copy, and its port may ask anew by now.
    fn deliver(&mut self, now: Instant, from: SocketAddr, message: &Message) {
        let Some(slot) = self.table.get_mut(from) else {
            return self.drop_packet("tftp_stray");
        };
        let was_answered = slot.transfer.is_answered();
        slot.transfer.handle_message(now, message);
        if let Some(end) = slot.transfer.poll_end() {
            return self.finish(from, end.into());
        }
        if !was_answered && slot.transfer.is_answered() {
            self.table.keep(from);
        }
        self.enqueue(from);
    }

    fn handle_request(
        &mut self,
        now: Instant,
        datagram: &Datagram<'_>,
        request: ReadRequest,
        out: &Outbox,
    ) {
        let from = datagram.from;
        if let Some(slot) = self.table.get_mut(from) {
            if slot.transfer.is_repeated_by(&request) {
                return self.deliver(now, from, &Message::Read(request));
            }
            // UEFI asks for the size first, and for the file then, from one port.
            self.finish(from, TftpEnd::Restarted);
        }
        let ip = from.ip().to_canonical();
        let Some(file) = self.authority.tftp_file(&request.name, ip) else {
            // At once: a Raspberry Pi asks for dozens of files that nobody has.
            refuse(datagram, ErrorCode::NotFound, "no such file", out);
            return self.tell(from, request.name, 0, TftpEnd::NotFound);
        };
        match self.table.room_for(from) {
            Room::Free => {}
            Room::After(silent) => self.finish(silent, TftpEnd::Refused),
            Room::None(reason) => {
                // No ERROR: the client asks again by itself, and there may be room then.
                self.drop_packet(reason);
                return self.tell(from, request.name, 0, TftpEnd::Refused);
            }
        }
        let transfer = Transfer::new(request, file.size(), &self.limits);
        self.table.insert(from, transfer, file, datagram.at);
        self.enqueue(from);
    }

    /// Repeats what was not answered in time, gives up those who never answer.
    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        for client in self.table.due(now) {
            let Some(slot) = self.table.get_mut(client) else {
                continue;
            };
            slot.transfer.handle_timeout(now);
            match slot.transfer.poll_end() {
                Some(end) => self.finish(client, end.into()),
                None => self.enqueue(client),
            }
        }
        self.alarm = None;
        if let Some(next) = self.table.next_deadline() {
            self.wake_at(next.max(now + ALARM_GRAIN));
        }
    }

    fn wake_at(&mut self, at: Instant) {
        self.alarm = Some(self.alarm.map_or(at, |alarm| alarm.min(at)));
    }

    fn enqueue(&mut self, client: SocketAddr) {
        if let Some(slot) = self.table.get_mut(client)
            && !slot.queued
            && slot.transfer.poll_transmit().is_some()
        {
            slot.queued = true;
            self.ready.push_back(client);
        }
    }

    /// Sends what is due, one call's worth for each client in turn, until all is out or the send buffer is full.
    pub(super) fn flush(&mut self, now: Instant, out: &Outbox) {
        while let Some(client) = self.ready.pop_front() {
            let Some(slot) = self.table.get_mut(client).filter(|slot| slot.queued) else {
                continue;
            };
            match send_next(slot, client, &mut self.buffer, out) {
                Ok((Sent::Gone, blocks)) => slot.transfer.handle_transmitted(now, blocks),
                Ok((Sent::Unsendable, blocks)) => {
                    slot.transfer.handle_transmitted(now, blocks);
                    self.drop_packet("tftp_unsendable");
                }
                Ok((Sent::Full, _)) => return self.ready.push_front(client),
                Err(error) => {
                    self.give_up(client, &error, out);
                    continue;
                }
            }
            self.after_send(client);
        }
    }

    fn after_send(&mut self, client: SocketAddr) {
        let Some(slot) = self.table.get_mut(client) else {
            return;
        };
        slot.queued = false;
        if let Some(due) = slot.transfer.poll_timeout() {
            self.wake_at(due);
        }
        self.enqueue(client);
    }

    /// The file cannot be read (any more): the client is told, once.
    fn give_up(&mut self, client: SocketAddr, error: &io::Error, out: &Outbox) {
        self.drop_packet("tftp_unreadable");
        if let Some(slot) = self.table.get_mut(client) {
            warn!(%client, name = slot.transfer.name(), %error, "cannot read a boot file");
            let packet = error_packet(ErrorCode::Undefined, "the file cannot be read");
            out.send(client, slot.at, &packet, packet.len());
        }
        self.finish(client, TftpEnd::Aborted);
    }

    fn finish(&mut self, client: SocketAddr, end: TftpEnd) {
        if let Some(slot) = self.table.remove(client) {
            let bytes = slot.transfer.bytes_acked();
            self.tell(client, slot.transfer.name().to_owned(), bytes, end);
        }
    }

    fn tell(&self, client: SocketAddr, name: String, bytes: u64, end: TftpEnd) {
        match end {
            TftpEnd::Complete => info!(%client, name, bytes, "sent a file by TFTP"),
            _ => debug!(%client, name, bytes, ?end, "a TFTP transfer ended"),
        }
        let from = client.ip().to_canonical();
        self.authority.note(BootNote::Tftp {
            from,
            name,
            bytes,
            end,
        });
    }

    fn drop_packet(&self, reason: &'static str) {
        self.authority.note(BootNote::Dropped(reason));
    }
}

impl From<End> for TftpEnd {
    fn from(end: End) -> Self {
        match end {
            End::Complete => Self::Complete,
            End::Aborted => Self::Aborted,
            End::TimedOut => Self::TimedOut,
        }
    }
}

/// Whether an answer can be sent at all: not to port 0; and a request to a broadcast or multicast address is to be
/// ignored (RFC 1123 §4.2.3.5).
fn is_answerable(datagram: &Datagram<'_>) -> bool {
    let to_all = match datagram.at.map(|at| at.to_canonical()) {
        Some(IpAddr::V4(at)) => at.is_broadcast() || at.is_multicast(),
        Some(IpAddr::V6(at)) => at.is_multicast(),
        None => false,
    };
    datagram.from.port() != 0 && !to_all
}

/// One ERROR; should it be lost, the client asks again.
fn refuse(datagram: &Datagram<'_>, code: ErrorCode, text: &str, out: &Outbox) {
    let packet = error_packet(code, text);
    out.send(datagram.from, datagram.at, &packet, packet.len());
}

/// Sends as much of what is due as one call can; tells how many blocks that were.
fn send_next(
    slot: &mut Slot,
    client: SocketAddr,
    buffer: &mut [u8],
    out: &Outbox,
) -> io::Result<(Sent, usize)> {
    match slot.transfer.poll_transmit() {
        None => Ok((Sent::Gone, 0)),
        Some(Transmit::Packet(packet)) => Ok((out.send(client, slot.at, packet, packet.len()), 0)),
        Some(Transmit::Blocks(window)) => {
            let window = window.first_blocks(out.packets_per_send(window.segment()));
            let packets = fill(slot, &window, buffer)?;
            let sent = out.send(client, slot.at, packets, window.segment());
            // Now the client is busy with these: the time to fetch what it will ask for. Who never answered gets no memory.
            if slot.transfer.is_answered() {
                slot.ahead.prepare(&slot.file, &window);
            }
            Ok((sent, window.count))
        }
    }
}

/// Reads the window's bytes and makes packets of them. Files are small or in the page cache: a read does not wait long.
fn fill<'a>(slot: &Slot, window: &Window, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let packets = &mut buffer[..window.framed_len()];
    let data = &mut packets[window.data_start()..];
    if !slot.ahead.copy_to(data, window.offset)
        && slot.file.read_at(data, window.offset)? < window.len
    {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter while it was served",
        ));
    }
    window.frame(packets);
    Ok(packets)
}

#[cfg(test)]
mod tests;
