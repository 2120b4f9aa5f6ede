//! How an agent gets its certificate, and what it does when that goes wrong.

use enforcer_agent::fingerprint::Fingerprint;
use enforcer_agent::keystore::{Found, KeyStore};
use enforcer_agent::mesh::{Ending, GossipChoice, Identity, Memory, Stage};
use mesh_net::{CaTrust, EnrolProof};
use mesh_proto::message::enrol::{KeyKind, Level};
use mesh_proto::message::job::Ability;
use mesh_proto::message::link::Habitat;
use mesh_proto::message::{Refusal, RefusalCode, Secret};

use crate::pretend::{BOOT, Start, facts};
use crate::site::{MACHINE, Running, Seen, Site};

#[tokio::test]
async fn a_boot_secret_makes_a_member_without_being_sent_or_logged() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let mut agent = Start::boot(&site).live(server.addr);
    let view = agent.member().await;
    let ask = next!(record, Seen::Enrol(ask) => ask);
    assert_eq!(ask.enrol.key, KeyKind::Boot);
    assert_eq!(
        view.code,
        Some(ask.code.to_string()),
        "both screens show one code"
    );
    assert_eq!(
        (view.level, view.generation, view.accepted),
        (Some(Level::T1), Some(1), true)
    );
    let hello = next!(record, Seen::Hello(_, hello) => hello);
    assert_eq!(
        (hello.habitat, hello.boot_id.as_str()),
        (Habitat::ManagementOs, BOOT)
    );
    assert_eq!(hello.facts_digest, facts().digest());
    assert_eq!(hello.abilities, [Ability::OnePartition]);
    assert_eq!(agent.stop().await, Ending::Stopped);
}

#[tokio::test]
async fn a_spent_secret_leads_to_a_person_who_compares_the_code() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let mut start = Start::boot(&site);
    start.proof = EnrolProof::Boot {
        mac: "52:54:00:77:00:01".into(),
        secret: Secret::new("spent"),
    };
    let mut agent = start.live(server.addr);
    let waiting = agent
        .until(|view| matches!(view.stage, Stage::Waiting(_)))
        .await;
    let (ask, decide) = next!(record, Seen::Pending(ask, decide) => (ask, decide));
    assert_eq!(waiting.code, Some(ask.code.to_string()));
    assert_eq!(waiting.stage, Stage::Waiting("compare the code".into()));
    decide.send(Ok(site.issued(&ask))).unwrap();
    agent.member().await;
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_killed_in_the_management_os_goes_on_with_its_boots_key() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let folder = tempfile::tempdir().unwrap();
    let begin = || {
        let board = Fingerprint::of(&facts());
        let (memory, identity) = Memory::of_this_boot(folder.path(), board).unwrap();
        Start {
            memory,
            identity,
            ..Start::boot(&site)
        }
    };
    let mut agent = begin().live(server.addr);
    agent.member().await;
    let first = next!(record, Seen::Enrol(ask) => ask);
    next!(record, Seen::Hello(..));
    // Nobody is told, as when the kernel kills it.
    agent.life.abort();
    assert!(agent.life.await.is_err());

    let mut agent = begin().live(server.addr);
    let view = agent.member().await;
    assert_eq!(view.generation, Some(2), "{first:?}");
    loop {
        match record.recv().await.unwrap() {
            Seen::Hello(_, hello) => break assert_eq!(hello.last_generation, 1),
            Seen::Enrol(_) | Seen::Pending(..) => panic!("the boot's secret was used already"),
            _ => {}
        }
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_person_who_says_no_ends_it_and_the_screen_says_so() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let mut start = Start::boot(&site);
    start.proof = EnrolProof::None;
    let agent = start.live(server.addr);
    let decide = next!(record, Seen::Pending(_, decide) => decide);
    decide
        .send(Err(Refusal::new(RefusalCode::RefusedByPerson, "not ours")))
        .unwrap();
    let mut view = agent.view.clone();
    let ending = agent.life.await.unwrap();
    assert!(
        matches!(&ending, Ending::Refused(text) if text.contains("not ours")),
        "{ending:?}"
    );
    let view = view.borrow_and_update();
    assert_eq!(view.stage, Stage::Refused);
    assert!(
        view.error
            .as_deref()
            .is_some_and(|error| error.contains("not ours"))
    );
}

#[tokio::test]
async fn another_ca_than_the_one_on_the_command_line_gets_nothing() {
    let (site, _record) = Site::new();
    let server = Running::start(&site);
    let mut start = Start::boot(&site);
    start.trust = CaTrust::Sha256([9; 32]);
    let mut agent = start.live(server.addr);
    let view = agent.until(|view| view.error.is_some()).await;
    assert!(
        view.error
            .as_deref()
            .is_some_and(|error| error.contains("another CA")),
        "{view:?}"
    );
    assert_eq!(
        view.code, None,
        "nobody compares a code with a controller that is not believed"
    );
    agent.stop().await;
}

#[tokio::test]
async fn an_installed_agent_enrols_once_by_its_token_and_remembers() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let folder = tempfile::tempdir().unwrap();
    let board = Fingerprint::of(&facts());
    let start = |identity| Start {
        proof: EnrolProof::Token(Secret::new(site.token())),
        trust: CaTrust::from_token(&Secret::new(site.token())).unwrap(),
        memory: Memory::Folder {
            store: KeyStore::open(folder.path()).unwrap(),
            board: board.clone(),
        },
        identity,
        gossip: GossipChoice::Leaf,
        helper: None,
    };
    let mut agent = start(None).live(server.addr);
    agent.member().await;
    let ask = next!(record, Seen::Enrol(ask) => ask);
    assert_eq!(ask.enrol.key, KeyKind::Installed);
    let first = next!(record, Seen::Hello(_, hello) => hello);
    assert_eq!(
        (first.last_generation, first.habitat),
        (0, Habitat::InstalledOs)
    );
    agent.stop().await;

    let found = KeyStore::open(folder.path()).unwrap().find(&board).unwrap();
    let Found::Own(kept) = found else {
        panic!("{found:?}")
    };
    assert_eq!((kept.machine, kept.last_generation), (MACHINE, 1));
    assert_eq!(kept.controllers, [server.addr]);
    let mut agent = start(Some(Identity::kept(*kept).unwrap())).live(server.addr);
    agent.member().await;
    loop {
        match record.recv().await.unwrap() {
            Seen::Hello(_, hello) => break assert_eq!(hello.last_generation, 1),
            Seen::Enrol(_) => panic!("it enrolled again"),
            _ => {}
        }
    }
    agent.stop().await;
}
