//! The link and enrolment: a stream of frames, and what each of them may be.

use std::fmt::Debug;

use mesh_proto::{
    frame::{Frames, MAX_EARLY_FRAME_BYTES},
    message::{
        decode, encode,
        enrol::{FromEnroller, ToEnroller},
        link::{AgentReply, ControllerReply, FromAgent, ToAgent},
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// The input is a stream that comes in pieces of as many bytes as its first byte says.
pub fn fuzz_link(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else {
        return;
    };
    let mut frames = Frames::new(MAX_EARLY_FRAME_BYTES);
    for piece in stream.chunks(usize::from(*step).max(1)) {
        frames.push(piece);
        while let Ok(Some(message)) = frames.next_frame() {
            assert!(message.len() <= MAX_EARLY_FRAME_BYTES);
            as_everything(&message);
        }
    }
    let _cut = frames.finish();
}

fn as_everything(message: &[u8]) {
    check::<ToEnroller>(message);
    check::<FromEnroller>(message);
    check::<FromAgent>(message);
    check::<ControllerReply>(message);
    check::<ToAgent>(message);
    check::<AgentReply>(message);
}

/// What can be read is read again from what we would write of it.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(message: &[u8]) {
    if let Ok(read) = decode::<T>(message) {
        let written = encode(&read).expect("our own types are JSON");
        assert_eq!(decode::<T>(&written).expect("we read what we write"), read);
    }
}
