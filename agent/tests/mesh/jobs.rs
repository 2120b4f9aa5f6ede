//! Jobs and images over a real link.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use enforcer_agent::deploy::{ChunkSource, Controller, LinkDesk, Request, Trouble};
use image::ChunkId;
use image::parcel::{Form, HEAD_BYTES, Head};
use mesh_proto::message::job::{JobEnd, JobProgress, Outcome, Step};
use mesh_proto::message::link::{ControllerReply, FromAgent, ToAgent, Want};
use mesh_proto::message::{Refusal, RefusalCode};
use tokio::runtime::Handle;

use crate::pretend::Start;
use crate::site::{Jobs, Running, Seen, Site};

const CHUNK: usize = 300_000;

fn chunk(n: u8) -> Vec<u8> {
    (0..CHUNK).map(|at| (at % 251) as u8 ^ n).collect()
}

fn parcel(bytes: &[u8]) -> (Head, Bytes) {
    let len = u32::try_from(bytes.len()).unwrap();
    let (id, form) = (ChunkId::of(bytes), Form::Raw);
    (Head { id, form, len }, Bytes::copy_from_slice(bytes))
}

fn in_one(parcels: &[(Head, Bytes)]) -> Vec<u8> {
    let parts = parcels
        .iter()
        .flat_map(|(head, content)| [head.encode().to_vec(), content.to_vec()]);
    parts.collect::<Vec<_>>().concat()
}

fn progress(job: u64) -> JobProgress {
    JobProgress {
        job,
        step: Step::Writing,
        done_bytes: 1,
        total_bytes: 2,
        wire_bytes: 3,
    }
}

/// A store that lacks the second of three chunks; job 1 is wanted, 2 is cancelled, and for 3 there is no time.
fn store(stored: Arc<Mutex<Vec<Vec<u8>>>>) -> Jobs {
    Arc::new(move |ask, body| {
        let refused = |code| ControllerReply::Refused(Refusal::new(code, "not now"));
        let answer = match ask {
            FromAgent::Job => ControllerReply::Job {
                job: None,
                text: "nothing to do".to_owned(),
            },
            FromAgent::JobProgress(JobProgress { job: 2, .. }) => refused(RefusalCode::NoJob),
            FromAgent::JobProgress(JobProgress { job: 3, .. }) => refused(RefusalCode::Busy),
            FromAgent::Have { ids, .. } => {
                assert_eq!(ids.len(), 3);
                ControllerReply::Missing { missing: vec![1] }
            }
            FromAgent::Put { parcels, .. } => {
                assert_eq!(*parcels, 1);
                stored.lock().unwrap().push(body);
                ControllerReply::Ok
            }
            FromAgent::Save { len, .. } => {
                assert_eq!(*len, body.len() as u64);
                stored.lock().unwrap().push(body);
                ControllerReply::Saved {
                    version: "before@1".to_owned(),
                }
            }
            FromAgent::Fetch(fetch) => {
                assert_eq!(fetch.ticket, "a ticket");
                let bytes = match &fetch.want {
                    Want::Manifest => vec![7; 2_000_000],
                    // The last of the three is cut off.
                    Want::Chunks { ids } => {
                        assert_eq!(ids.len(), 3);
                        let parcels = [0, 1, 2].map(|n| parcel(&chunk(n)));
                        let mut bytes = in_one(&parcels);
                        bytes.truncate(3 * HEAD_BYTES + 2 * CHUNK + 1000);
                        bytes
                    }
                };
                return (ControllerReply::Ok, Some(bytes));
            }
            _ => ControllerReply::Ok,
        };
        (answer, None)
    })
}

/// The lanes of a job are threads that are none of the runtime's: a timer made on one of them panics.
async fn on_a_plain_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(work()));
    wait.await.expect("it did not panic")
}

#[tokio::test]
async fn jobs_and_images_travel_over_the_link_of_plain_threads() {
    let (site, mut record) = Site::new();
    let stored = Arc::default();
    *site.jobs.lock().unwrap() = Some(store(Arc::clone(&stored)));
    let server = Running::start(&site);
    let mut agent = Start::boot(&site).live(server.addr);
    agent.member().await;
    agent.jobs.linked().await;
    agent.jobs.nudged().await;
    let link = next!(record, Seen::Hello(link, _) => link);
    link.call(&ToAgent::Jobs, Duration::from_secs(10))
        .await
        .unwrap();
    agent.jobs.nudged().await;
    let desk = LinkDesk::new(agent.jobs.clone(), Handle::current());
    let asked = move || {
        assert_eq!(desk.job(), Ok((None, "nothing to do".to_owned())));
        assert_eq!(desk.progress(&progress(1)), Ok(()));
        assert!(matches!(
            desk.progress(&progress(2)),
            Err(Trouble::Unwanted(_))
        ));
        assert!(matches!(desk.progress(&progress(3)), Err(Trouble::Away(_))));
        let ids = [0, 1, 2].map(|n| ChunkId::of(&chunk(n)));
        assert_eq!(desk.have(1, &ids), Ok(vec![1]));
        desk.put(1, &[parcel(&chunk(1))]).unwrap();
        assert_eq!(desk.save(1, &[9; 700_000]), Ok("before@1".to_owned()));
        assert_eq!(desk.manifest("a ticket", 3 << 20), Ok(vec![7; 2_000_000]));
        assert!(matches!(
            desk.manifest("a ticket", 1 << 20),
            Err(Trouble::Refused(_))
        ));
        let request = Request {
            ids: &ids,
            ticket: "a ticket",
            deadline: Duration::from_secs(20),
        };
        let mut came = Vec::new();
        let cut = desk.fetch(&request, &mut |head, content| {
            assert_eq!(ChunkId::of(content), head.id);
            came.push(head.id);
            true
        });
        assert!(cut.is_err(), "the third was cut off");
        assert_eq!(came, ids[..2]);
        let outcome = Outcome::Failed {
            reason: "a test".to_owned(),
            disk_touched: false,
        };
        desk.end(JobEnd { job: 1, outcome }).unwrap();
        desk
    };
    let desk = on_a_plain_thread(asked).await;
    let want = vec![in_one(&[parcel(&chunk(1))]), vec![9; 700_000]];
    assert!(*stored.lock().unwrap() == want);
    agent.stop().await;
    let gone = on_a_plain_thread(move || desk.job()).await;
    assert!(matches!(gone, Err(Trouble::Away(_))));
}
