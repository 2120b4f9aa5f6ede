//! What one TFTP transfer does on each event, told step by step with a virtual clock.

use std::time::{Duration, Instant};

use ipxe::tftp::{End, Limits, Message, RETRIES, Transfer, Transmit, Window};

#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the start of virtual time"
)]
fn start() -> Instant {
    Instant::now()
}

/// A transfer and its clock; each call returns what the server sends because of it.
struct Desk {
    now: Instant,
    transfer: Transfer,
}

impl Desk {
    fn new(options: &str, size: u64) -> Self {
        let request = [b"\0\x01f\0octet\0".as_slice(), options.as_bytes()].concat();
        match Message::parse(&request) {
            Ok(Message::Read(request)) => Self {
                now: start(),
                transfer: Transfer::new(request, size, &Limits::default()),
            },
            other => unreachable!("{other:?}"),
        }
    }

    /// What is due now, as `OACK` or `first+count`.
    fn sent(&mut self) -> String {
        let text = match self.transfer.poll_transmit() {
            None => return String::new(),
            Some(Transmit::Packet(_)) => "OACK".to_owned(),
            Some(Transmit::Blocks(Window { first, count, .. })) => format!("{first}+{count}"),
        };
        self.transfer.handle_transmitted(self.now, 64);
        assert_eq!(self.transfer.poll_transmit(), None);
        text
    }

    fn hear(&mut self, bytes: &[u8]) -> String {
        self.transfer.handle_datagram(self.now, bytes);
        self.sent()
    }

    fn ack(&mut self, number: u16) -> String {
        let [a, b] = number.to_be_bytes();
        self.hear(&[0, 4, a, b])
    }

    /// Lets the clock jump to the next deadline; returns the seconds and what is sent.
    fn silence(&mut self) -> (u64, String) {
        let due = self.transfer.poll_timeout().expect("a deadline");
        let waited = due - self.now;
        self.now = due - Duration::from_millis(1);
        self.transfer.handle_timeout(self.now);
        assert_eq!(self.sent(), "", "nothing before its time");
        self.now = due;
        self.transfer.handle_timeout(due);
        (waited.as_secs(), self.sent())
    }

    fn end(&self) -> Option<End> {
        self.transfer.poll_end()
    }
}

#[test]
fn without_options_the_data_comes_at_once_and_in_lockstep() {
    let mut desk = Desk::new("", 1000);
    assert_eq!(desk.sent(), "1+1");
    assert_eq!(desk.ack(1), "2+1");
    assert_eq!(desk.transfer.bytes_acked(), 512);
    assert_eq!(desk.ack(2), "");
    assert_eq!(
        (desk.end(), desk.transfer.bytes_acked()),
        (Some(End::Complete), 1000)
    );
    assert_eq!(desk.transfer.poll_timeout(), None);
}

#[test]
fn a_file_that_fills_its_last_block_ends_with_an_empty_one() {
    let mut desk = Desk::new("", 512);
    assert_eq!((desk.sent(), desk.ack(1)), ("1+1".into(), "2+1".into()));
    desk.ack(2);
    assert_eq!(desk.end(), Some(End::Complete));
}

#[test]
fn an_empty_file_is_one_empty_block() {
    let mut desk = Desk::new("", 0);
    let Some(Transmit::Blocks(window)) = desk.transfer.poll_transmit() else {
        panic!("no block")
    };
    assert_eq!(
        (window.first, window.count, window.len, window.framed_len()),
        (1, 1, 0, 4)
    );
    desk.sent();
    desk.ack(1);
    assert_eq!(desk.end(), Some(End::Complete));
}

#[test]
fn a_window_is_cut_at_the_end_of_the_file() {
    let mut desk = Desk::new("blksize\x00100\0windowsize\x004\0", 650);
    assert_eq!((desk.sent(), desk.ack(0)), ("OACK".into(), "1+4".into()));
    desk.transfer.handle_message(desk.now, &Message::Ack(4));
    let Some(Transmit::Blocks(window)) = desk.transfer.poll_transmit() else {
        panic!("no blocks")
    };
    assert_eq!((window.count, window.offset, window.len), (3, 400, 250));
}

#[test]
fn an_error_of_the_client_ends_it_at_any_time() {
    let mut desk = Desk::new("tsize\x000\0", 1000);
    assert_eq!(desk.sent(), "OACK");
    assert_eq!(desk.hear(b"\0\x05\0\x08size is all I wanted\0"), "");
    assert_eq!(desk.end(), Some(End::Aborted));
    assert_eq!(desk.ack(0), "", "it stays ended");
    assert_eq!(desk.transfer.poll_timeout(), None);
}

#[test]
fn silence_is_met_with_doubling_waits_and_then_the_end() {
    let mut desk = Desk::new("", 1000);
    desk.sent();
    let waits: Vec<_> = (0..RETRIES).map(|_| desk.silence()).collect();
    let expected: Vec<_> = [1, 2, 4, 8, 16].map(|s| (s, "1+1".to_owned())).into();
    assert_eq!(waits, expected);
    assert_eq!(desk.silence(), (20, String::new()));
    assert_eq!(desk.end(), Some(End::TimedOut));
}

#[test]
fn progress_refills_the_retries_and_the_patience() {
    let mut desk = Desk::new("", 2000);
    desk.sent();
    desk.silence();
    desk.silence();
    assert_eq!(desk.ack(1), "2+1");
    assert_eq!(desk.silence(), (1, "2+1".into()));
}

#[test]
fn a_lost_oack_is_sent_again() {
    let mut desk = Desk::new("tsize\x000\0timeout\x003\0", 1000);
    desk.sent();
    assert_eq!(desk.silence(), (3, "OACK".into()));
    assert_eq!(desk.ack(0), "1+1");
}

#[test]
fn a_repeated_request_gets_the_first_answer_again_until_it_was_seen() {
    for (options, first) in [("", "1+1"), ("tsize\x000\0", "OACK")] {
        let mut desk = Desk::new(options, 2000);
        let request = [b"\0\x01f\0octet\0".as_slice(), options.as_bytes()].concat();
        desk.sent();
        assert_eq!(desk.hear(&request), first);
        assert_eq!(
            desk.hear(b"\0\x01g\0octet\0"),
            "",
            "another file is another transfer"
        );
        desk.ack(u16::from(options.is_empty()));
        assert!(desk.transfer.is_answered());
        assert_eq!(desk.hear(&request), "");
    }
}

#[test]
fn in_lockstep_a_repeated_ack_repeats_nothing() {
    let mut desk = Desk::new("", 5000);
    desk.sent();
    assert_eq!(desk.ack(1), "2+1");
    assert_eq!(desk.ack(1), "", "sorcerer's apprentice");
    assert_eq!(desk.ack(2), "3+1");
}

#[test]
fn acks_of_blocks_never_sent_or_long_past_are_ignored() {
    let mut desk = Desk::new("windowsize\x004\0", 50_000);
    desk.sent();
    assert_eq!(desk.ack(3), "", "ahead of the OACK's ACK");
    assert_eq!(desk.ack(0), "1+4");
    assert_eq!(desk.ack(5), "");
    assert_eq!(desk.ack(40_000), "");
    assert_eq!(desk.ack(4), "5+4");
    assert_eq!(desk.ack(2), "");
    assert_eq!(desk.ack(65_535), "");
}

#[test]
fn a_gap_in_a_window_is_filled_at_once_and_once() {
    let mut desk = Desk::new("windowsize\x004\0", 50_000);
    desk.sent();
    desk.ack(0);
    assert_eq!(desk.ack(1), "2+4", "block 2 was lost");
    assert_eq!(
        desk.ack(1),
        "",
        "EDK2 says so for each block behind the gap"
    );
    assert_eq!(desk.ack(5), "6+4");
    assert_eq!(desk.ack(5), "6+4", "block 5 was sent once: a gap again");
}

#[test]
fn a_lost_first_block_of_a_window_is_told_by_a_repeated_ack() {
    let mut desk = Desk::new("windowsize\x004\0", 50_000);
    desk.sent();
    desk.ack(0);
    assert_eq!(desk.ack(4), "5+4");
    assert_eq!(desk.ack(4), "5+4");
    assert_eq!(desk.ack(4), "", "one repetition a window");
    assert_eq!(desk.ack(8), "9+4");
    assert_eq!(
        desk.ack(8),
        "",
        "8 came twice: its second ACK means nothing"
    );
    assert_eq!(desk.ack(12), "13+4");
    assert_eq!(desk.ack(12), "13+4", "12 was sent once: a gap again");
}

#[test]
fn a_client_that_acks_every_block_of_a_window_does_not_multiply_it() {
    let mut desk = Desk::new("windowsize\x0016\0", 100_000);
    desk.sent();
    desk.ack(0);
    let mut blocks = 16;
    for number in 1..=160 {
        if let Some((_, count)) = desk.ack(number).split_once('+') {
            blocks += count.parse::<u32>().expect("a count");
        }
    }
    assert!(blocks <= 2 * 196, "{blocks} blocks for 160");
}

#[test]
fn blocks_the_socket_did_not_take_stay_due_and_start_no_clock() {
    let mut desk = Desk::new("blksize\x00100\0windowsize\x008\0", 50_000);
    desk.sent();
    desk.transfer.handle_message(desk.now, &Message::Ack(0));
    desk.transfer.handle_transmitted(desk.now, 3);
    assert_eq!(desk.transfer.poll_timeout(), None);
    let Some(Transmit::Blocks(window)) = desk.transfer.poll_transmit() else {
        panic!("no blocks")
    };
    assert_eq!((window.first, window.count, window.offset), (4, 5, 300));
    desk.transfer.handle_transmitted(desk.now, 5);
    assert!(desk.transfer.poll_timeout().is_some());
}

#[test]
fn block_numbers_roll_over_to_zero() {
    for window in [1_u64, 64] {
        let options = format!("blksize\x008\0windowsize\x00{window}\0");
        let mut desk = Desk::new(&options, 8 * 140_000 + 3);
        desk.sent();
        let mut block = 0_u64;
        let mut seen = desk.ack(0);
        while desk.end().is_none() {
            let (first, count) = seen.split_once('+').expect("blocks");
            assert_eq!(first, ((block + 1) % 65_536).to_string());
            block += count.parse::<u64>().expect("a count");
            seen = desk.ack(u16::try_from(block % 65_536).expect("modulo"));
        }
        assert_eq!((block, desk.end()), (140_001, Some(End::Complete)));
    }
}
