//! The mesh of sites: one site between peers that send whatever they like.

use std::time::{Duration, Instant};

use mesh_proto::wan::{Frame, MAX_FRAME, MAX_HEARD, Wan};

/// Whom we have joined; with the last one there is never a link.
const SITES: [&str; 3] = ["a", "b", "far"];

/// The input is a list of steps: what, a length (two bytes, big-endian) and as many bytes. A frame comes from one of two peers, a
/// link ends or begins, a site is revoked or joined again, or time passes.
pub fn fuzz_wan(data: &[u8]) {
    let mut now = Instant::now();
    let mut us = Wan::new(now, "us", 1, &[], [1; 32]);
    let (mut linked, mut joined) = ([true; 2], 3);
    us.set_joined(now, SITES);
    SITES[..2].iter().for_each(|site| us.link_up(now, site));
    let mut rest = data;
    while let Some((&[what, high, low], after)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (bytes, after) = after.split_at(after.len().min(len));
        rest = after;
        let at = usize::from(what / 8 % 2);
        match what % 8 {
            0..=3 => frame(&mut us, now, (SITES[at], linked[at] && at < joined), bytes),
            // A site that is not joined gets no link.
            4 if at < joined => {
                linked[at] = !linked[at];
                match linked[at] {
                    true => us.link_up(now, SITES[at]),
                    false => us.link_down(now, SITES[at]),
                }
            }
            5 => {
                joined = usize::from(what / 8 % 4);
                us.set_joined(now, SITES[..joined].iter().copied());
                // A site that is joined again has no link yet.
                linked = [linked[0] && joined > 0, linked[1] && joined > 1];
            }
            4 => {}
            _ => {
                now += Duration::from_millis(100 * u64::from(what / 8));
                us.handle_timeout(now);
            }
        }
        check(&mut us, linked, joined);
    }
}

fn frame(us: &mut Wan, now: Instant, (from, may): (&str, bool), bytes: &[u8]) {
    if let Ok(read) = Frame::from_bytes(bytes) {
        let written = read.to_bytes();
        assert_eq!(
            Frame::from_bytes(&written).expect("we read what we write"),
            read
        );
    }
    let taken = us.handle_frame(now, from, bytes);
    assert!(may || taken.is_err(), "taken of {from}: {taken:?}");
}

/// What every driver relies on.
fn check(us: &mut Wan, linked: [bool; 2], joined: usize) {
    while let Some((to, bytes)) = us.poll_transmit() {
        assert!(bytes.len() <= MAX_FRAME);
        Frame::from_bytes(&bytes).expect("our own frames are well-formed");
        let at = SITES
            .iter()
            .position(|site| **site == *to)
            .expect("a site that was joined");
        assert!(at < joined.min(2) && linked[at], "sent to {to}");
    }
    while us.poll_event().is_some() {}
    assert!(us.poll_timeout().is_some());
    assert_eq!(us.sites().len(), joined);
    assert!(us.heard().len() <= MAX_HEARD && us.living() <= joined);
    assert!(us.heard().iter().all(|heard| heard.site != "us"));
}
