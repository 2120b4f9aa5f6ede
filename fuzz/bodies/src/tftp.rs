//! TFTP: one transfer that hears arbitrary datagrams at arbitrary times.

use std::time::{Duration, Instant};

use ipxe::tftp::{Limits, Message, Transfer, Transmit, clean_name};

/// A file larger than the wire's block numbers reach, at the smallest block size.
const SIZE: u64 = 8 * 70_000 + 3;

/// The input is a list of datagrams, each behind two bytes: its length, and how many tenths of a second pass before it.
/// The first that is a request starts the transfer.
pub fn fuzz_tftp(data: &[u8]) {
    let mut now = Instant::now();
    let mut transfer = None;
    let mut buffer = Vec::new();
    let mut rest = data;
    while let Some((&[len, tenths], after)) = rest.split_first_chunk::<2>() {
        let (datagram, after) = after.split_at(after.len().min(len.into()));
        rest = after;
        now += Duration::from_millis(100 * u64::from(tenths));
        check_name(datagram);
        match (&mut transfer, Message::parse(datagram)) {
            (None, Ok(Message::Read(request))) => {
                transfer = Some(Transfer::new(request, SIZE, &Limits::default()));
            }
            (None, _) => {}
            (Some(transfer), _) => {
                transfer.handle_timeout(now);
                transfer.handle_datagram(now, datagram);
            }
        }
        if let Some(transfer) = &mut transfer {
            transmit(transfer, now, usize::from(tenths % 5), &mut buffer);
        }
    }
}

/// A name that is let through leads nowhere else.
fn check_name(raw: &[u8]) {
    if let Ok(name) = clean_name(raw) {
        assert!(!name.is_empty() && !name.starts_with('/') && !name.contains(['\\', '\0', '\n']));
        assert!(name.split('/').all(|part| part != ".." && !part.is_empty()));
    }
}

/// Sends what is due, `most` blocks at a time when that is not 0, and checks what every driver relies on.
fn transmit(transfer: &mut Transfer, now: Instant, most: usize, buffer: &mut Vec<u8>) {
    let window = match transfer.poll_transmit() {
        None => return,
        Some(Transmit::Packet(oack)) => {
            assert!(oack.starts_with(&[0, 6]) && oack.len() < 512);
            return transfer.handle_transmitted(now, 0);
        }
        Some(Transmit::Blocks(window)) if most == 0 => window,
        Some(Transmit::Blocks(window)) => window.first_blocks(most),
    };
    assert!(window.offset + window.len as u64 <= SIZE);
    assert!(window.count > 0 && window.len <= window.count * window.blksize);
    buffer.clear();
    buffer.resize(window.framed_len(), 0xAA);
    window.frame(buffer);
    for packet in buffer.chunks(window.segment()) {
        assert_eq!(packet[..2], [0, 3]);
    }
    transfer.handle_transmitted(now, window.count);
    assert!(transfer.bytes_acked() <= SIZE);
    assert!(transfer.poll_transmit().is_some() || transfer.poll_timeout().is_some());
}
