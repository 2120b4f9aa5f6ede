//! Captured and documented requests in, replies as people read them out. `BLESS=1` rewrites the files.
#![expect(
    clippy::disallowed_methods,
    reason = "BLESS is for the person at the keyboard"
)]

mod dhcp_story;

use std::{env, fs};

use dhcp_story::{answer, read_by_dhcproto, stories};
use ipxe::dhcp::{Message, turn};

#[test]
fn every_story_ends_as_written() {
    let mut wrong = Vec::new();
    for story in stories() {
        let got = story.play();
        if env::var("BLESS").is_ok() {
            fs::write(&story.path, format!("{}\nreply:\n{got}", story.told)).unwrap();
        } else if got != story.expected {
            wrong.push(format!(
                "{}: expected\n{}got\n{got}",
                story.path.display(),
                story.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_implementation_reads_every_reply() {
    let mut read = 0;
    for story in stories() {
        let message = Message::request(&story.request).unwrap();
        let at = story.arrival();
        let turn = turn(&message, &at);
        if let Some(reply) = answer(&message, &at, &turn, &story.offer, &story.lease) {
            let theirs = read_by_dhcproto(&reply.bytes);
            assert_eq!(theirs.xid(), message.xid);
            assert_eq!(theirs.chaddr(), message.mac.0);
            read += 1;
        }
    }
    assert!(read > 20, "only {read} stories have a reply");
}
