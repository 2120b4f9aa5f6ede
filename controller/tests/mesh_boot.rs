//! A machine from its boot script into the mesh: the secret that the script had, over mesh-net's real wire.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "mesh/agent.rs"]
#[expect(dead_code, reason = "shared with the tests of the mesh")]
mod agent;
mod meshed;
#[path = "mesh/foreign/process.rs"]
mod process;
mod site;

use agent::Served;
use enforcer::{
    mesh::Mesh,
    state::{
        machine::Standing,
        ops::{ConfirmClock, MachineRef},
        trust::Digest,
    },
};
use ipxe::MacAddr;
use mesh_net::{EnrolError, EnrolProof};
use mesh_proto::message::{RefusalCode, Secret, command::Command, enrol::Level, link::ToAgent};
use meshed::{by, room};
use process::Foreign;
use site::ipxe_config;

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);

fn refused(result: Result<(), EnrolError>) -> RefusalCode {
    match result {
        Err(EnrolError::Refused(no)) => no.code,
        other => panic!("{other:?}"),
    }
}

async fn order(served: &mut Served) -> Command {
    let order = |ask| match ask {
        ToAgent::Command(order) => Some(order.command),
        _ => None,
    };
    served.asked(order).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_machine_enrols_by_its_boots_secret_and_goes_on_into_its_config() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot(MAC, "a").await;
    let mut agent = room.agent(MAC, "127.0.0.1:0", "S1", "aa");
    agent.enrol(by(MAC, &secret), |_| {}).await.unwrap();
    let served = agent.connect().await.unwrap();
    assert_eq!(
        (served.welcome.level, served.welcome.accepted),
        (Level::T1, true)
    );
    assert_eq!(
        room.site.view().machine_by_mac(MAC).unwrap().standing,
        Standing::Accepted
    );
    drop(served);

    // The next time it starts, something is due for it.
    room.site.set(ipxe_config("shell", "shell")).await;
    room.site.activate("web1", "shell").await;
    let mut served = agent.connect().await.unwrap();
    assert_eq!(order(&mut served).await, Command::Reboot);
    assert_eq!(room.mesh.links(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_good_once_and_from_its_own_address_only() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot(MAC, "a").await;
    let mut elsewhere = room.agent(MAC, "127.0.0.2:0", "S9", "ee");
    assert_eq!(
        refused(elsewhere.enrol(by(MAC, &secret), |_| {}).await),
        RefusalCode::WrongAddress
    );
    let wrong = Secret::new("0".repeat(32));
    let mut guesser = room.agent(MAC, "127.0.0.1:0", "S9", "ee");
    assert_eq!(
        refused(guesser.enrol(by(MAC, &wrong), |_| {}).await),
        RefusalCode::BadProof
    );
    let mut agent = room.agent(MAC, "127.0.0.1:0", "S1", "aa");
    agent.enrol(by(MAC, &secret), |_| {}).await.unwrap();
    let mut late = room.agent(MAC, "127.0.0.1:0", "S1", "bb");
    assert_eq!(
        refused(late.enrol(by(MAC, &secret), |_| {}).await),
        RefusalCode::BadProof
    );
}

/// The second agent, in Python, as the agent of a management OS: a proof is made of its own TLS session's keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_shows_its_boots_secret_without_sending_it() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot(MAC, "a").await;
    let folder = tempfile::tempdir().unwrap();
    let facts = folder.path().join("facts.json");
    let like = room.agent(MAC, "127.0.0.1:0", "S1", "aa");
    std::fs::write(&facts, serde_json::to_vec(&like.facts).unwrap()).unwrap();
    let (folder, facts) = (
        folder.path().display().to_string(),
        facts.display().to_string(),
    );
    let (links, mac) = (room.links.to_string(), MAC.to_string());
    let now = room.site.store.now().as_second().to_string();
    let ca = Digest(room.mesh.ca().sha256()).to_string();
    let boots = |secret: &str| {
        let words = [
            &folder,
            "--controller",
            &links,
            "--facts",
            &facts,
            "--boot-id",
            "aa",
            "--now",
            &now,
        ];
        Foreign::start(
            "agent.py",
            &[&words[..], &["--boot", secret, &mac, &ca]].concat(),
        )
    };
    assert_eq!(boots(&"0".repeat(32)).says("refused")[0], "bad-proof");
    let mut agent = boots(secret.expose());
    assert_eq!(agent.says("enrolled"), "web1");
    assert_eq!(agent.is_welcome()["level"], "T1");
    assert!(agent.succeeds());
    assert_eq!(
        room.site.view().machine_by_mac(MAC).unwrap().standing,
        Standing::Accepted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_board_with_its_mac_is_refused_while_the_first_lives() {
    let room = room().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot(MAC, "a").await;
    let mut first = room.agent(MAC, "127.0.0.1:0", "S1", "aa");
    first.enrol(by(MAC, &secret), |_| {}).await.unwrap();
    let served = first.connect().await.unwrap();
    let known = || {
        room.site
            .view()
            .facts(&room.site.view().machine_by_mac(MAC).unwrap().id)
            .is_some()
    };
    let mut grown = room.site.store.subscribe();
    while !known() {
        grown.changed().await.unwrap();
    }
    let mut copy = room.agent(MAC, "127.0.0.1:0", "S2", "bb");
    assert_eq!(
        refused(copy.enrol(EnrolProof::None, |_| {}).await),
        RefusalCode::Disputed
    );
    assert!(
        room.site
            .view()
            .machine_by_mac(MAC)
            .unwrap()
            .disputed
            .is_some()
    );
    served.say("still here", "aa", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_was_off_for_more_than_a_year_comes_back_by_its_old_keys() {
    let room = room().await;
    let fleet = [
        room.installed("11").await,
        room.installed("22").await,
        room.installed("33").await,
    ];
    let mut generations = Vec::new();
    for agent in &fleet {
        generations.push(agent.connect().await.unwrap().welcome.generation);
    }
    room.site
        .clock
        .advance(std::time::Duration::from_secs(400 * 86_400));
    let room = room.restarted().await;
    for (mut agent, before) in fleet.into_iter().zip(generations) {
        agent.controller = room.links;
        let expired = agent.connect().await.err().unwrap();
        assert!(expired.to_string().contains("expired"), "{expired}");
        agent.renew().await;
        let served = agent.connect().await.unwrap();
        assert!(served.welcome.accepted && served.welcome.generation > before);
        assert_eq!(served.welcome.level, Level::T2);
    }
    let view = room.site.store.view();
    assert_eq!(view.machines().count(), 3, "no machine came twice");
    let jumps = view
        .events_after(0)
        .filter(|e| e.draft.kind == "clock.jumped")
        .count();
    assert_eq!(jumps, 1, "a jump is told once");
    assert!(room.site.store.apply(ConfirmClock).await.unwrap());
}

/// A script that accepts what it sees is quicker than any person: its word may come before the controller has told the machine
/// that it has to wait. The controller has one thread here, which does nothing else until the word is written down.
#[tokio::test]
async fn a_word_that_comes_the_moment_a_key_waits_is_heard() {
    let room = room().await;
    for n in 1..=8 {
        let mac = MacAddr([0x52, 0x54, 0, 0, 1, n]);
        let name = format!("web{n}");
        room.site.register(mac, &name).await;
        let mut agent = room.agent(mac, "127.0.0.1:0", &format!("S{n}"), "aa");
        let asking = tokio::spawn(async move { agent.enrol(EnrolProof::None, |_| {}).await });
        let machine = room.site.view().machine_by_mac(mac).unwrap().id.clone();
        while room.site.view().pending_of(&machine).next().is_none() {
            assert!(!asking.is_finished(), "{:?}", asking.await);
            tokio::task::yield_now().await;
        }
        accept_elsewhere(&room.mesh, MachineRef(name));
        asking.await.unwrap().unwrap();
    }
}

/// Accepts a machine on another thread, and holds this one for so long.
fn accept_elsewhere(mesh: &Mesh, machine: MachineRef) {
    let other = tokio::runtime::Runtime::new().unwrap();
    std::thread::scope(|scope| {
        let accept = || other.block_on(mesh.accept(machine, None, "ann"));
        scope.spawn(accept).join().unwrap().unwrap().unwrap();
    });
    other.shutdown_background();
}
