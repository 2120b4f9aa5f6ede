//! Boot through a helper, as the controller answers it: over mesh-net's real wire, by an agent that only carries questions.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "mesh/agent.rs"]
#[expect(dead_code, reason = "shared with the tests of the mesh")]
mod agent;
mod meshed;
mod site;

use std::net::SocketAddr;

use agent::{Agent, PATIENCE, Served};
use axum::body::Body;
use enforcer::state::{
    activation::Stage,
    config::{Asset, Evidence, Program},
    ops::{MachineRef, SetHelper},
};
use ipxe::MacAddr;
use mesh_net::CallError;
use mesh_proto::message::{
    RefusalCode,
    boot::{
        BootAnswer, BootAsk, Client, Duty, HelperReport, HelperState, NonceFile, NonceQuestion,
        Note, Offer, Received, ScriptQuestion, StoredFile,
    },
    delegation::Delegation,
    link::{ControllerReply, FromAgent, ToAgent},
};
use meshed::{Meshed, room};
use serde_json::json;
use sha2::Digest as _;
use site::{ipxe_config, kernel_config};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
/// The helper, where machines and the controller reach it.
const HELPER: &str = "10.7.0.2:4880";
/// The controller, as the helper reaches it.
const CONTROLLER: &str = "192.0.2.1:4848";

/// An agent of an installed OS on a board with this serial; its machine's id.
async fn installed(room: &Meshed, serial: &str) -> (Agent, String) {
    let agent = room.installed(serial).await;
    let view = room.site.view();
    let machine = view.machines().find(|m| m.name.to_string() == agent.name());
    (agent, machine.unwrap().id.to_string())
}

async fn role(room: &Meshed, machine: &str, on: bool) {
    let set = SetHelper {
        machine: MachineRef(machine.to_owned()),
        role: on.then(Vec::new),
        by: "ann".to_owned(),
    };
    room.site.apply(set).await.unwrap();
}

/// A helper whose link stands.
async fn helper(room: &Meshed, serial: &str) -> Served {
    let (agent, machine) = installed(room, serial).await;
    // Its abilities are known from its first hello on.
    drop(agent.connect().await.unwrap());
    role(room, &machine, true).await;
    agent.connect().await.unwrap()
}

async fn ask(link: &Served, ask: BootAsk) -> Result<BootAnswer, RefusalCode> {
    match link.link.call(&FromAgent::Boot { ask }, PATIENCE).await {
        Ok(ControllerReply::Boot { answer }) => Ok(answer),
        Err(CallError::Refused(no)) => Err(no.code),
        other => panic!("{other:?}"),
    }
}

fn client() -> Client {
    Client {
        mac: MAC.to_string(),
        uuid: None,
        firmware: "bios".into(),
        ipxe: true,
    }
}

fn machine_at(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, last], 49_000))
}

async fn script(link: &Served, session: &str) -> String {
    let question = ScriptQuestion {
        mac: MAC.to_string(),
        uuid: None,
        serial: Some("C02".into()),
        arch: Some("x86_64".into()),
        platform: Some("pcbios".into()),
        session: Some(session.into()),
        after_management: false,
        from: machine_at(31),
        at: HELPER.parse().unwrap(),
        controller: CONTROLLER.parse().unwrap(),
    };
    match ask(link, BootAsk::Script(question)).await {
        Ok(BootAnswer::Script { text }) => text,
        other => panic!("{other:?}"),
    }
}

async fn requested(link: &Served, last: u8) {
    let note = Note::AddressRequested {
        mac: MAC.to_string(),
        ip: [10, 7, 0, last].into(),
    };
    let told = ask(link, BootAsk::Notes { notes: vec![note] }).await;
    assert_eq!(told, Ok(BootAnswer::Noted));
}

async fn bytes(link: &Served, file: &StoredFile) -> Result<Vec<u8>, CallError> {
    let ask = FromAgent::BootFile {
        sha256: file.sha256.clone(),
    };
    let (_, mut body) = link.link.fetch(&ask, PATIENCE).await?;
    let mut bytes = vec![0; usize::try_from(file.size).unwrap()];
    body.fill(&mut bytes).await.unwrap();
    body.end().await.unwrap();
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_agent_with_the_role_asks_for_others_and_only_for_as_long_as_it_has_it() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let (agent, machine) = installed(&room, "01").await;
    let mut link = agent.connect().await.unwrap();
    assert_eq!(link.welcome.helper, None);
    let offer = || BootAsk::Offer(client());
    assert_eq!(ask(&link, offer()).await, Err(RefusalCode::NotAllowed));
    let named = FromAgent::BootFile {
        sha256: "ab".repeat(32),
    };
    assert!(link.link.fetch(&named, PATIENCE).await.is_err());

    // By the API: the link that stands hears of it, the next one in its welcome.
    let room = room.with_api();
    let path = format!("/machines/{machine}/helper");
    let on = json!({"on": true, "interfaces": ["eth1"]});
    let (status, document) = room
        .site
        .asks("POST", &path, Body::from(on.to_string()))
        .await;
    assert_eq!(status, 200, "{document}");
    assert_eq!(document["helper"]["by"], "test");
    let duty = Some(Duty {
        interfaces: vec!["eth1".into()],
    });
    let told = link.asked(|ask| match ask {
        ToAgent::Helper { duty } => Some(duty),
        _ => None,
    });
    assert_eq!(told.await, duty);
    assert_eq!(
        ask(&link, offer()).await,
        Ok(BootAnswer::Offer(Offer::Script))
    );
    let report = HelperReport {
        state: HelperState::Failed,
        text: "port 69 is taken".into(),
    };
    let said = link.link.call(&FromAgent::Helper(report), PATIENCE).await;
    assert!(matches!(said, Ok(ControllerReply::Ok)), "{said:?}");
    let (_, shown) = room.site.api(&format!("/machines/{machine}")).await;
    assert_eq!(shown["helper"]["state"], "failed");
    assert_eq!(shown["helper"]["text"], "port 69 is taken");
    drop(link);
    let link = agent.connect().await.unwrap();
    assert_eq!(link.welcome.helper, duty);

    role(&room, &machine, false).await;
    assert_eq!(ask(&link, offer()).await, Err(RefusalCode::NotAllowed));
    drop(link);
    assert_eq!(agent.connect().await.unwrap().welcome.helper, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_helpers_that_hear_a_machine_one_answers_and_the_other_takes_over() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let (a, b) = (helper(&room, "01").await, helper(&room, "02").await);
    let offer = || BootAsk::Offer(client());
    let silent = Ok(BootAnswer::Offer(Offer::Silent));
    let script = Ok(BootAnswer::Offer(Offer::Script));
    assert_eq!(ask(&a, offer()).await, script);
    assert_eq!(ask(&b, offer()).await, silent);
    assert_eq!(ask(&a, offer()).await, script, "it keeps its turn");
    // Both are remembered: so they take turns also while we are away.
    room.site.store.flush().await.unwrap();
    let view = room.site.view();
    assert_eq!(view.machine_by_mac(MAC).unwrap().heard_by.len(), 2);
    drop(a);
    room.site
        .clock
        .advance(std::time::Duration::from_millis(3001));
    assert_eq!(ask(&b, offer()).await, script);
    // A stranger's machine is nobody's.
    let stranger = Client {
        mac: "52:54:00:00:00:99".into(),
        ..client()
    };
    assert_eq!(ask(&b, BootAsk::Offer(stranger)).await, silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boots_secret_goes_through_a_helper_to_the_address_that_it_saw_requested() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let link = helper(&room, "01").await;
    let without = script(&link, "s1").await;
    assert!(without.contains("/assets/management-os/"), "{without}");
    assert!(!without.contains("enforcer.secret="), "{without}");
    requested(&link, 32).await;
    assert!(!script(&link, "s2").await.contains("enforcer.secret="));
    requested(&link, 31).await;
    let with = script(&link, "s3").await;
    assert!(with.contains("enforcer.secret="), "{with}");
    // Files come from the helper, the agent dials the controller itself.
    assert!(with.contains(&format!("http://{HELPER}/assets/")), "{with}");
    assert!(
        with.contains(&format!("enforcer.controller={CONTROLLER} ")),
        "{with}"
    );

    room.site.store.flush().await.unwrap();
    let view = room.site.view();
    let told = view
        .events_after(0)
        .find(|e| e.draft.kind == "boot.told" && e.draft.text.contains(" through "));
    assert!(told.is_some(), "the timeline says through whom");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_claimed_fetched_and_spent_however_often_its_evidence_is_told() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let kernel = vec![5; 700_000];
    let digest = sha2::Sha256::digest(&kernel);
    let sha256: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    let folder = room.site.state.path().join("assets/files");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&sha256), &kernel).unwrap();
    let mut config = kernel_config("live", "console=ttyS0");
    config.evidence = Evidence::Fetched;
    config.program = Program::Kernel {
        kernel: Asset::kept("vmlinuz", &sha256, kernel.len() as u64),
        initrds: Vec::new(),
        cmdline: String::new(),
    };
    room.site.set(config).await;
    let active = room.site.activate("web1", "live").await;
    let link = helper(&room, "01").await;
    let told = script(&link, "s1").await;
    let url = format!("http://{HELPER}/boot/n/{}/vmlinuz", active.nonce);
    assert!(told.contains(&url), "{told}");

    let question = NonceQuestion {
        nonce: active.nonce.to_string(),
        name: "vmlinuz".into(),
        session: Some("s1".into()),
        peek: false,
        from: machine_at(31),
        at: HELPER.parse().unwrap(),
    };
    let file = match ask(&link, BootAsk::NonceFile(question.clone())).await {
        Ok(BootAnswer::NonceFile(NonceFile::Stored { file, session })) => {
            assert_eq!(session, "s1");
            file
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(file.sha256, sha256);
    assert_eq!(bytes(&link, &file).await.unwrap(), kernel);
    let unnamed = StoredFile {
        sha256: "cd".repeat(32),
        size: 1,
    };
    assert!(bytes(&link, &unnamed).await.is_err());

    let received = Received {
        nonce: active.nonce.to_string(),
        name: "vmlinuz".into(),
        session: "s1".into(),
        start: 0,
        end: file.size,
        size: file.size,
    };
    for _ in 0..3 {
        let told = ask(&link, BootAsk::Received(received.clone())).await;
        assert_eq!(told, Ok(BootAnswer::Noted));
    }
    let stage = || room.site.view().activation(active.id).unwrap().stage;
    assert_eq!(stage(), Stage::Confirmed);
    let again = ask(&link, BootAsk::NonceFile(question)).await;
    assert!(
        matches!(&again, Ok(BootAnswer::NonceFile(NonceFile::Gone { .. }))),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lent_is_signed_for_its_holder_and_served_by_nobody_else_until_it_is_told() {
    let room = room().await.with_api();
    room.site.register(MAC, "web1").await;
    room.site.set(kernel_config("live", "")).await;
    let (first, machine) = installed(&room, "01").await;
    drop(first.connect().await.unwrap());
    let body = json!({"machine": "web1", "kind": "one-shot", "helper": machine});
    let (status, refused) = room.site.post("/boot-configs/live/activate", &body).await;
    assert_eq!((status, &refused["code"]), (409, &json!("cannot-help")));
    role(&room, &machine, true).await;
    let link = first.connect().await.unwrap();
    let other = helper(&room, "02").await;
    let (status, lent) = room.site.post("/boot-configs/live/activate", &body).await;
    assert_eq!(status, 201, "{lent}");
    assert_eq!(lent["lent_until"], json!(null), "not yet");

    let answer = ask(&link, BootAsk::Delegation).await;
    let Ok(BootAnswer::Delegation(signed)) = answer else {
        panic!("{answer:?}");
    };
    assert!(first.site_signed(&signed));
    let node = machine.parse().unwrap();
    let all = Delegation::read(&signed.text, node).unwrap();
    let boot = all.boots().next().unwrap();
    let (_, shown) = room.site.api("/activations/1").await;
    assert!(shown["lent_until"].is_string(), "{shown}");
    for link in [&link, &other] {
        assert!(!script(link, "s1").await.contains("/boot/n/"));
    }
    let served = |session: &str| {
        BootAsk::Served(mesh_proto::message::boot::Served {
            nonce: boot.nonce.clone(),
            session: session.into(),
            fetched: true,
        })
    };
    assert_eq!(
        ask(&other, served("s2")).await,
        Ok(BootAnswer::Served { go: false })
    );
    for _ in 0..2 {
        assert_eq!(
            ask(&link, served("s2")).await,
            Ok(BootAnswer::Served { go: true })
        );
    }
    let done = BootAsk::Callback {
        nonce: boot.nonce.clone(),
        failure: None,
    };
    assert_eq!(
        ask(&link, done).await,
        Ok(BootAnswer::Callback { known: true })
    );
    assert_eq!(
        ask(&link, served("s3")).await,
        Ok(BootAnswer::Served { go: false })
    );
    let (_, shown) = room.site.api("/activations/1").await;
    assert_eq!(
        (&shown["stage"], &shown["boots"]),
        (&json!("confirmed"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_closes_its_boot_also_one_that_was_kept_and_is_told_twice() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let link = helper(&room, "01").await;
    room.site.set(ipxe_config("shell", "shell")).await;
    let next = room.site.activate("web1", "shell").await;
    script(&link, "s1").await;
    let callback = || BootAsk::Callback {
        nonce: next.nonce.to_string(),
        failure: None,
    };
    for _ in 0..2 {
        let told = ask(&link, callback()).await;
        assert_eq!(told, Ok(BootAnswer::Callback { known: true }));
    }
    let confirmed = room.site.view().activation(next.id).unwrap().stage;
    assert_eq!(confirmed, Stage::Confirmed);
}
