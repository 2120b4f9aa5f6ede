//! Links between sites: what a peer asks and answers, how sites come to know each other, and the invitation that a person types.

use std::fmt::Debug;

use enforcer::state::peer::{InvitationText, MAX_ADDRESSES};
use mesh_proto::{
    frame::{Frames, MAX_EARLY_FRAME_BYTES},
    message::{
        decode, encode,
        peer::{FromInviter, PeerAsk, PeerReply, ToInviter},
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// The input is an invitation, and a stream that comes in pieces of as many bytes as its first byte says.
pub fn fuzz_peer(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        invitation(text);
    }
    let Some((step, stream)) = data.split_first() else {
        return;
    };
    let mut frames = Frames::new(MAX_EARLY_FRAME_BYTES);
    for piece in stream.chunks(usize::from(*step).max(1)) {
        frames.push(piece);
        while let Ok(Some(message)) = frames.next_frame() {
            check::<PeerAsk>(&message);
            check::<PeerReply>(&message);
            check::<ToInviter>(&message);
            check::<FromInviter>(&message);
        }
    }
}

fn invitation(text: &str) {
    let Ok(read) = text.parse::<InvitationText>() else {
        return;
    };
    assert!((1..=MAX_ADDRESSES).contains(&read.addresses.len()));
    assert_eq!(read.reveal().parse(), Ok(read));
}

/// What can be read is read again from what we would write of it.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(message: &[u8]) {
    if let Ok(read) = decode::<T>(message) {
        let written = encode(&read).expect("our own types are JSON");
        assert_eq!(decode::<T>(&written).expect("we read what we write"), read);
    }
}
