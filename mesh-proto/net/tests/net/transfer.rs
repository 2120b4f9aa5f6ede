//! Bytes on a link, and over TCP beside it: they arrive as they were sent, few at once, and who stands still is dropped.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_net::{
    AgentLink, Answer, Body, BodyError, CallError, Flow, Link, LinkEnd, Refused, ServerLimits,
};
use mesh_proto::message::{
    Refusal, RefusalCode,
    link::{ControllerReply, Fetch, FromAgent, Want},
};
use tokio::sync::{mpsc, mpsc::UnboundedReceiver, oneshot};

use crate::support::{
    Ca, Leaf, Running,
    authority::{Court, Seen},
    endpoint, hello,
};

/// Over TCP beside the link, and on the link where TCP is shut.
const WAYS: [bool; 2] = [true, false];
const SOON: Duration = Duration::from_secs(10);
/// More than any window.
const LONG: usize = 12 << 20;
const PUT: FromAgent = FromAgent::Put { job: 1, parcels: 1 };

fn fetch() -> FromAgent {
    FromAgent::Fetch(Fetch {
        ticket: "t s".into(),
        want: Want::Manifest,
    })
}

/// Bytes in which no two places look alike.
fn bytes(len: usize) -> Bytes {
    (0..len / 4)
        .flat_map(|n| u32::try_from(n).unwrap().to_le_bytes())
        .collect()
}

struct Room {
    server: Running,
    record: UnboundedReceiver<Seen>,
    ca: Arc<Ca>,
}

impl Room {
    fn new(body_idle: Duration, beside: bool) -> Self {
        let ca = Ca::new();
        let (court, record) = Court::new(&ca);
        let limits = ServerLimits {
            body_idle,
            ..ServerLimits::default()
        };
        let server = Running::start_beside(&ca, &court, ("127.0.0.1:0", beside), limits);
        Self { server, record, ca }
    }

    async fn link(&mut self, node: u64) -> Link {
        let identity = self.ca.agent(&Leaf::agent(node));
        let link = endpoint()
            .connect(self.server.addr, &identity, &hello())
            .await
            .unwrap();
        seen!(self.record, Seen::Hello(..) => ());
        link
    }

    async fn transfer(&mut self) -> (FromAgent, Body, oneshot::Sender<Answer>) {
        seen!(self.record, Seen::Transfer(ask, body, decide) => (ask, body, decide))
    }

    /// That nothing comes to the authority: it would, before the answer to a request that is asked now.
    async fn nothing(&mut self, link: &AgentLink) {
        let ask = FromAgent::Job;
        link.call(&ask, SOON).await.unwrap();
        assert_eq!(seen!(self.record, Seen::Request(came) => came), ask);
    }
}

async fn all(body: &mut Body) -> Result<Vec<u8>, BodyError> {
    let mut got = Vec::new();
    while let Some(bytes) = body.next().await? {
        got.extend_from_slice(&bytes);
    }
    Ok(got)
}

/// Sends [`LONG`] bytes, and says how that was answered.
async fn put(link: AgentLink) -> Result<ControllerReply, CallError> {
    let mut upload = link.upload(&PUT, SOON).await?;
    upload.write(bytes(LONG)).await?;
    upload.finish(SOON).await
}

fn flow(len: Option<u64>) -> (mpsc::Sender<Bytes>, Answer) {
    let (send, bytes) = mpsc::channel(1);
    (send, Answer::Follows(Flow { len, bytes }))
}

#[tokio::test]
async fn what_an_agent_fetches_comes_whole_and_in_order() {
    for beside in WAYS {
        let mut room = Room::new(SOON, beside);
        let link = room.link(7).await;
        let asked = tokio::spawn(async move { link.link.fetch(&fetch(), SOON).await });
        let (ask, _, decide) = room.transfer().await;
        assert_eq!(ask, fetch());
        let (send, answer) = flow(Some(LONG as u64));
        decide.send(answer).unwrap();
        let sending = tokio::spawn(async move {
            for piece in bytes(LONG).chunks(1 << 20) {
                send.send(Bytes::copy_from_slice(piece)).await.unwrap();
            }
        });
        let (len, mut body) = asked.await.unwrap().unwrap();
        assert_eq!(len, Some(LONG as u64));
        assert_eq!(format!("{body:?}").contains("beside"), beside);
        let mut head = vec![0; 37];
        body.fill(&mut head).await.unwrap();
        let rest = all(&mut body).await.unwrap();
        assert_eq!([head, rest].concat(), bytes(LONG));
        sending.await.unwrap();
    }
}

#[tokio::test]
async fn what_an_agent_sends_comes_whole_and_is_answered() {
    for beside in WAYS {
        let mut room = Room::new(SOON, beside);
        let link = room.link(7).await;
        let put = tokio::spawn(put(link.link));
        let (ask, mut body, decide) = room.transfer().await;
        assert_eq!(ask, PUT);
        assert_eq!(all(&mut body).await.unwrap(), bytes(LONG));
        decide.send(ControllerReply::Ok.into()).unwrap();
        assert_eq!(put.await.unwrap(), Ok(ControllerReply::Ok));
    }
}

#[tokio::test]
async fn a_refusal_reaches_an_agent_that_is_still_sending() {
    for beside in WAYS {
        let mut room = Room::new(SOON, beside);
        let link = room.link(7).await;
        let put = tokio::spawn(put(link.link));
        let (_, body, decide) = room.transfer().await;
        let full = Refusal::new(RefusalCode::Failed, "the disk is full");
        drop(body);
        decide
            .send(ControllerReply::Refused(full.clone()).into())
            .unwrap();
        assert_eq!(put.await.unwrap(), Err(CallError::Refused(full)));
    }
}

#[tokio::test]
async fn a_transfer_that_was_given_up_is_not_taken_for_a_whole_one() {
    for beside in WAYS {
        let mut room = Room::new(SOON, beside);
        let link = room.link(7).await;
        let mut upload = link.link.upload(&PUT, SOON).await.unwrap();
        upload.write(bytes(4096)).await.unwrap();
        let (_, mut body, _decide) = room.transfer().await;
        drop(upload);
        assert_eq!(all(&mut body).await, Err(BodyError::GivenUp));

        let asked = tokio::spawn(async move { link.link.fetch(&fetch(), SOON).await });
        let (_, _, decide) = room.transfer().await;
        let (send, answer) = flow(Some(8192));
        decide.send(answer).unwrap();
        let (_, mut body) = asked.await.unwrap().unwrap();
        send.send(bytes(4096)).await.unwrap();
        drop(send);
        assert_eq!(all(&mut body).await, Err(BodyError::GivenUp));
    }
}

#[tokio::test]
async fn who_stands_still_is_dropped_and_who_feeds_it_hears_so() {
    for beside in WAYS {
        let mut room = Room::new(Duration::from_millis(300), beside);
        let link = room.link(7).await;
        let mut upload = link.link.upload(&PUT, SOON).await.unwrap();
        upload.write(bytes(4096)).await.unwrap();
        let (_, mut body, decide) = room.transfer().await;
        assert_eq!(all(&mut body).await, Err(BodyError::Stalled));
        decide.send(ControllerReply::Ok.into()).unwrap();

        let agent = link.link.clone();
        let asked = tokio::spawn(async move { agent.fetch(&fetch(), SOON).await });
        let (_, _, decide) = room.transfer().await;
        let (send, answer) = flow(None);
        decide.send(answer).unwrap();
        let feeding = tokio::spawn(async move { while send.send(bytes(1 << 20)).await.is_ok() {} });
        // Taken, but never read.
        let (_, mut body) = asked.await.unwrap().unwrap();
        feeding.await.unwrap();
        seen!(room.record, Seen::Note(Refused::TooSlow) => ());
        assert_eq!(all(&mut body).await, Err(BodyError::GivenUp));
    }
}

#[tokio::test]
async fn two_transfers_of_a_link_run_at_once_and_the_third_waits() {
    for beside in WAYS {
        let mut room = Room::new(SOON, beside);
        let link = room.link(7).await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let agent = link.link.clone();
            waiting.push(tokio::spawn(
                async move { agent.fetch(&fetch(), SOON).await },
            ));
        }
        let (_, _, first) = room.transfer().await;
        let (_, _, second) = room.transfer().await;
        room.nothing(&link.link).await;
        first.send(ControllerReply::Ok.into()).unwrap();
        let (_, _, third) = room.transfer().await;
        drop((second, third, waiting));
    }
}

#[tokio::test]
async fn uploads_that_wait_for_a_lane_leave_room_for_those_that_have_one() {
    for beside in WAYS {
        let mut room = Room::new(SOON, beside);
        let link = room.link(7).await;
        let mut puts = Vec::new();
        // As many as an agent that saves its disk has lanes.
        for _ in 0..4 {
            puts.push(tokio::spawn(put(link.link.clone())));
        }
        for _ in 0..2 {
            let (_, mut one, first) = room.transfer().await;
            let (_, mut other, second) = room.transfer().await;
            let (one, other) = tokio::join!(all(&mut one), all(&mut other));
            assert_eq!((one.unwrap().len(), other.unwrap().len()), (LONG, LONG));
            for decide in [first, second] {
                decide.send(ControllerReply::Ok.into()).unwrap();
            }
        }
        for put in puts {
            assert_eq!(put.await.unwrap(), Ok(ControllerReply::Ok));
        }
    }
}

#[tokio::test]
async fn sixteen_transfers_run_at_once_over_all_links_and_an_ended_link_frees_its_own() {
    for beside in WAYS {
        let mut room = Room::new(SOON, beside);
        let mut links = Vec::new();
        for node in 1..=9 {
            links.push(room.link(node).await);
        }
        let mut running = Vec::new();
        let mut uploads = Vec::new();
        for link in &links[..8] {
            for _ in 0..2 {
                uploads.push(link.link.upload(&PUT, SOON).await.unwrap());
                running.push(room.transfer().await);
            }
        }
        let last = links[8].link.upload(&PUT, SOON).await.unwrap();
        room.nothing(&links[8].link).await;
        links[0].link.close("gone");
        let closed = seen!(room.record, Seen::Closed(_, end) => end);
        assert!(matches!(closed, LinkEnd::ByPeer { .. }), "{closed:?}");
        let (ask, ..) = room.transfer().await;
        assert_eq!(ask, PUT);
        drop((last, running, uploads));
    }
}
