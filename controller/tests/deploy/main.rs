//! Deployments over the real wire: an agent is given a job, fetches with its ticket, saves a disk, says how it goes; and what
//! it may not have.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../mesh/agent.rs"]
#[expect(dead_code, reason = "shared with the tests of the mesh")]
mod agent;
#[path = "../meshed/mod.rs"]
mod meshed;
mod room;
#[path = "../site/mod.rs"]
mod site;

use agent::PATIENCE;
use enforcer::state::{
    deployment::{Save, State},
    image::Origin,
    ops::{CancelDeployment, MachineRef, OrderSpec},
};
use image::{
    ChunkId,
    parcel::{Form, Head},
};
use mesh_proto::message::{
    RefusalCode,
    job::{ProvisionFile, Step},
    link::{ControllerReply, FromAgent, Want},
};
use room::{
    MIB, Room, all, asks, cut, disk, fetch, job, mac, name, parcels, refused, step, upload,
    write_debian, written,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_nudged_takes_its_job_fetches_the_image_and_ends_written() {
    let room = Room::start().await;
    let manifest = room.upload().await;
    let mut served = room.machine(1).await;
    let id = room.deploy("web1", write_debian()).await;
    let job = job(&mut served).await;
    let ticket = &job.image.as_ref().unwrap().ticket;
    assert_eq!((job.id, room.state(id)), (id.0, State::Served));

    let (len, mut body) = fetch(&served, ticket, Want::Manifest).await.unwrap();
    assert_eq!(len, Some(manifest.encode().len() as u64));
    assert_eq!(all(&mut body).await, manifest.encode());
    let ids: Vec<_> = manifest.data().filter_map(|piece| piece.id).collect();
    let texts: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let (_, mut body) = fetch(&served, ticket, Want::Chunks { ids: texts })
        .await
        .unwrap();
    let got = parcels(&all(&mut body).await);
    let (_, expected) = cut(&disk());
    assert_eq!(got.len(), 2);
    for ((id, _, plain), expected) in got.iter().zip(&expected) {
        assert!((*id, plain) == (expected.0, &expected.1), "{id}");
    }

    for (step_now, state) in [
        (Step::Writing, State::Writing),
        (Step::Verifying, State::Verifying),
    ] {
        step(&served, job.id, step_now, 500).await.unwrap();
        assert_eq!(room.state(id), state);
    }
    let progress = room.mesh.steps().of(id).unwrap().said;
    assert_eq!((progress.step, progress.done_bytes), (Step::Verifying, 500));
    assert_eq!(written(&served, job.id).await, ControllerReply::Ok);
    assert_eq!(room.state(id), State::Written);
    assert_eq!(room.mesh.steps().of(id), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_a_persons_word_is_told_when_it_is_said() {
    let room = Room::start().await;
    room.upload().await;
    let mut served = room.machine(1).await;
    let file = ProvisionFile {
        name: "user-data".to_owned(),
        text: String::new(),
    };
    let order = OrderSpec {
        provision: vec![file],
        ..write_debian()
    };
    let id = room.deploy("web1", order).await;
    let early = asks(&mut served).await;
    assert!(
        matches!(&early, ControllerReply::Job { job: None, text } if text.contains("waits for T2")),
        "{early:?}"
    );
    let machine = room.site.view().machine_by_mac(mac(1)).unwrap().id.clone();
    let code = room
        .site
        .view()
        .live_keys_of(&machine)
        .find_map(|k| k.code.clone());
    let code = code.unwrap().parse().unwrap();
    let web1 = MachineRef("web1".to_owned());
    room.mesh
        .accept(web1, Some(code), "test")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(job(&mut served).await.id, id.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_its_own_image_for_its_own_machine_only() {
    let room = Room::start().await;
    room.upload().await;
    let (mut web1, web2) = (room.machine(1).await, room.machine(2).await);
    room.deploy("web1", write_debian()).await;
    let ticket = job(&mut web1).await.image.unwrap().ticket;
    assert_eq!(
        refused(fetch(&web2, &ticket, Want::Manifest).await),
        RefusalCode::NotAllowed
    );
    let forged = ticket.replace('1', "2");
    assert_eq!(
        refused(fetch(&web1, &forged, Want::Manifest).await),
        RefusalCode::NotAllowed
    );
    let foreign = Want::Chunks {
        ids: vec![ChunkId::of(b"foreign").to_string()],
    };
    assert_eq!(
        refused(fetch(&web1, &ticket, foreign).await),
        RefusalCode::NotAllowed
    );
    let nonsense = Want::Chunks {
        ids: vec!["x".to_owned()],
    };
    assert_eq!(
        refused(fetch(&web1, &ticket, nonsense).await),
        RefusalCode::Protocol
    );
    assert!(fetch(&web1, &ticket, Want::Manifest).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_saved_before_it_is_written_and_its_chunks_are_sent_once() {
    let room = Room::start().await;
    room.upload().await;
    let mut served = room.machine(1).await;
    let save = Save {
        name: name("before"),
        used_blocks_only: false,
    };
    let order = OrderSpec {
        save_current: Some(save),
        ..write_debian()
    };
    let id = room.deploy("web1", order).await;
    let job = job(&mut served).await.id;
    let mut own = disk();
    own[..MIB].fill(3);
    let (manifest, chunks) = cut(&own);
    let ids = chunks.iter().map(|(id, _)| id.to_string()).collect();
    let have = FromAgent::Have { job, ids };
    let early = served.link.call(&have, PATIENCE).await;
    assert_eq!(
        refused(early),
        RefusalCode::NoJob,
        "it does not capture yet"
    );
    assert_eq!(
        refused(step(&served, job, Step::Writing, 0).await),
        RefusalCode::Protocol
    );
    step(&served, job, Step::Capturing, 0).await.unwrap();
    // The last chunk is debian's, too.
    let missing = served.link.call(&have, PATIENCE).await.unwrap();
    assert_eq!(missing, ControllerReply::Missing { missing: vec![0] });

    let save = FromAgent::Save {
        job,
        len: manifest.encode().len() as u64,
    };
    let bytes = manifest.encode();
    let early = upload(&served, &save, &[&bytes]).await;
    assert_eq!(refused(early), RefusalCode::Failed, "a chunk lacks");
    let put = FromAgent::Put { job, parcels: 1 };
    let (chunk, plain) = &chunks[0];
    let head = Head {
        id: *chunk,
        form: Form::Raw,
        len: MIB as u32,
    };
    let taken = upload(&served, &put, &[&head.encode(), plain]).await;
    assert_eq!(taken, Ok(ControllerReply::Ok));
    for _ in 0..2 {
        let saved = upload(&served, &save, &[&bytes]).await;
        let version = "before@1".to_owned();
        assert_eq!(saved, Ok(ControllerReply::Saved { version }));
    }
    room.images.collect().await;
    let view = room.site.view();
    let image = view.image(&name("before")).unwrap();
    assert!(matches!(&image.versions[0].origin, Origin::Capture { job, .. } if *job == id));
    step(&served, job, Step::Writing, 0).await.unwrap();
    assert_eq!(room.state(id), State::Writing);
    // What it saves is over: nobody puts anything into the store any more.
    assert_eq!(
        refused(served.link.call(&have, PATIENCE).await),
        RefusalCode::NoJob
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_is_refused_at_the_agents_next_word() {
    let room = Room::start().await;
    room.upload().await;
    let mut served = room.machine(1).await;
    let id = room.deploy("web1", write_debian()).await;
    let job = job(&mut served).await.id;
    step(&served, job, Step::Writing, 10).await.unwrap();
    let by = "test".to_owned();
    room.site.apply(CancelDeployment { id, by }).await.unwrap();
    assert_eq!(
        refused(step(&served, job, Step::Writing, 20).await),
        RefusalCode::NoJob
    );
    let again = served.link.call(&FromAgent::Job, PATIENCE).await.unwrap();
    assert!(
        matches!(again, ControllerReply::Job { job: None, .. }),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_job_is_given_again_and_another_machine_never_hears_of_it() {
    let room = Room::start().await;
    room.upload().await;
    let (mut web1, web2) = (room.machine(1).await, room.machine(2).await);
    let id = room.deploy("web1", write_debian()).await;
    let first = job(&mut web1).await;
    step(&web1, first.id, Step::Writing, 10).await.unwrap();
    let ControllerReply::Job {
        job: Some(again), ..
    } = web1.link.call(&FromAgent::Job, PATIENCE).await.unwrap()
    else {
        panic!("the job is lost");
    };
    assert_eq!((again.id, room.state(id)), (first.id, State::Writing));
    let other = web2.link.call(&FromAgent::Job, PATIENCE).await.unwrap();
    assert!(
        matches!(other, ControllerReply::Job { job: None, .. }),
        "{other:?}"
    );
    assert_eq!(
        refused(step(&web2, first.id, Step::Writing, 20).await),
        RefusalCode::NoJob
    );
}
