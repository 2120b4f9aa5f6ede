//! The mesh from end to end on loopback: the real controller as a process, its command line, and agents that speak
//! mesh-net's side of the wire.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "shared with the tests of boots into the mesh")]
mod agent;
mod controller;
mod foreign;

use std::sync::mpsc;

use agent::Agent;
use controller::Controller;
use mesh_net::{CloseCode, EnrolError, EnrolEvent, EnrolProof, LinkEnd};
use mesh_proto::message::{
    RefusalCode,
    command::Command,
    link::{FromAgent, ToAgent, VerdictState},
    ring::Ring,
};

/// A controller, and an agent that joined by a token.
async fn joined(serial: &str) -> (Controller, Agent) {
    let c = Controller::start();
    let agent = join(&c, "52:54:00:77:00:01", serial).await;
    (c, agent)
}

async fn join(c: &Controller, mac: &str, serial: &str) -> Agent {
    let token = c.json(&["join-tokens", "create"]);
    let mut agent = Agent::new(c.links, mac, serial);
    agent.join(token["token"].as_str().unwrap()).await;
    agent
}

fn order(ask: ToAgent) -> Option<Command> {
    match ask {
        ToAgent::Command(order) => Some(order.command),
        _ => None,
    }
}

fn ring(ask: ToAgent) -> Option<Ring> {
    match ask {
        ToAgent::Ring(ring) => Some(ring),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_joins_by_token_tells_its_facts_and_is_rebooted_into_a_config() {
    let (c, agent) = joined("A1").await;
    let mut served = agent.connect().await.unwrap();
    let name = agent.name();
    assert_eq!(
        (served.welcome.generation, served.welcome.accepted),
        (1, true)
    );
    let facts = c.until(&["machines", "list"], |v| !v[0]["hardware"].is_null());
    assert_eq!(facts[0]["standing"], "accepted");
    assert_eq!(
        (&facts[0]["level"], &facts[0]["member"]["state"]),
        (&"t2".into(), &"alive".into())
    );
    let facts = c.json(&["machines", "facts", name]);
    assert_eq!(facts["facts"], serde_json::to_value(&agent.facts).unwrap());
    assert!(c.told(&["machines", "facts", name]).contains("ACME Anvil"));
    served.say("hello from the test", &agent.boot_id, 0).await;
    assert!(
        c.told(&["machines", "logs", name])
            .contains("[    1.500] agent: hello from the test")
    );

    let script = c.file("shell.ipxe", "shell\n");
    c.told(&[
        "boot-configs",
        "set",
        "shell",
        "--ipxe",
        &script,
        "--evidence",
        "callback",
    ]);
    c.told(&["boot-configs", "activate", "shell", name, "--reboot"]);
    assert_eq!(served.asked(order).await, Command::Reboot);
    let settled = c.until(&["machines", "list"], |v| {
        v[0]["active"]["config"] == "shell"
    });
    assert_eq!(settled[0]["name"], name);
    let (good, _, told) = c.ask(&["machines", "identify", name, "-w"]);
    assert!(
        good && told.contains("identify done: it is recorded"),
        "{told}"
    );
    assert_eq!(served.asked(order).await, Command::Identify { seconds: 60 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_controller_finds_its_members_again_with_higher_generations() {
    let (mut c, agent) = joined("B1").await;
    let served = agent.connect().await.unwrap();
    let name = agent.name().to_owned();
    c.until(&["machines", "list"], |v| !v[0]["hardware"].is_null());
    c.kill();
    c.run();
    let member = c.json(&["members", "show", &name]);
    assert_eq!(member["state"], "unreachable");
    assert!(
        member["why"]
            .as_str()
            .unwrap()
            .contains("since the controller started"),
        "{member}"
    );
    assert!(!matches!(served.ended().await, LinkEnd::ByUs));
    let again = agent.connect().await.unwrap();
    assert!(again.welcome.generation > served.welcome.generation);
    let member = c.json(&["members", "show", &name]);
    assert_eq!(
        (&member["state"], &member["generation"]),
        (&"alive".into(), &again.welcome.generation.into())
    );
    let machine = c.json(&["machines", "show", &name]);
    assert_eq!(machine["standing"], "accepted");
    assert!(!machine["hardware"].is_null(), "facts are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_is_cut_off_and_the_others_get_another_key() {
    let (c, bad) = joined("C1").await;
    let good = join(&c, "52:54:00:77:00:02", "C2").await;
    let (cut, mut kept) = (bad.connect().await.unwrap(), good.connect().await.unwrap());
    let before = kept.welcome.ring.clone().unwrap();
    c.told(&["machines", "revoke", bad.name()]);
    match cut.ended().await {
        LinkEnd::ByPeer { code, .. } => assert_eq!(code, CloseCode::Revoked),
        other => panic!("{other}"),
    }
    let member = c.until(&["members", "show", bad.name()], |v| v["state"] == "down");
    assert_eq!(member["why"], "its key was revoked");
    let verdict = kept
        .asked(|ask| match ask {
            ToAgent::Verdicts { verdicts } => Some(verdicts[0].clone()),
            _ => None,
        })
        .await;
    assert_eq!(verdict.state, VerdictState::Revoked);
    let rotated = kept
        .asked(|ask| ring(ask).filter(|r| r.current > before.current))
        .await;
    let old = before
        .keys
        .iter()
        .find(|k| k.epoch == before.current)
        .unwrap();
    let new = rotated
        .keys
        .iter()
        .find(|k| k.epoch == rotated.current)
        .unwrap();
    assert_ne!(old.key, new.key);
    let refused = bad.connect().await.err().unwrap();
    assert!(refused.to_string().contains("revoked"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_waits_until_a_person_has_compared_the_codes() {
    let c = Controller::start();
    let mut agent = Agent::new(c.links, "52:54:00:77:00:03", "D1");
    let (tell, codes) = mpsc::channel();
    let (waits, waiting) = mpsc::channel();
    let enrolling = tokio::spawn(async move {
        let told = agent
            .enrol(EnrolProof::None, |event| match event {
                EnrolEvent::Code(code) => tell.send(code.to_string()).unwrap(),
                EnrolEvent::Pending(text) => waits.send(text).unwrap(),
            })
            .await;
        told.map(|()| agent)
    });
    let (code, why) =
        tokio::task::spawn_blocking(move || (codes.recv().unwrap(), waiting.recv().unwrap()))
            .await
            .unwrap();
    assert!(why.contains("enforcer machines accept"), "{why}");
    let listed = c.json(&["machines", "list"]);
    assert_eq!(
        listed[0]["pending"][0]["code"],
        serde_json::Value::Null,
        "lists show no codes"
    );
    let name = listed[0]["name"].as_str().unwrap().to_owned();
    let shown = c.json(&["machines", "show", &name]);
    assert_eq!(shown["pending"][0]["code"], code.as_str());
    let (good, _, told) = c.ask(&["machines", "accept", &name, "--code", "0000-0001"]);
    assert!(!good && told.contains("no key"), "{told}");
    c.told(&["machines", "accept", &name, "--code", &code]);
    let agent = enrolling.await.unwrap().unwrap();
    let served = agent.connect().await.unwrap();
    assert!(served.welcome.accepted);
    assert_eq!(c.json(&["machines", "show", &name])["level"], "t2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stranger_is_told_and_a_token_is_good_once() {
    let c = Controller::start();
    let token = c.json(&["join-tokens", "create"])["token"]
        .as_str()
        .unwrap()
        .to_owned();
    Agent::new(c.links, "52:54:00:77:00:04", "E1")
        .join(&token)
        .await;
    let mut second = Agent::new(c.links, "52:54:00:77:00:05", "E2");
    let token = EnrolProof::Token(mesh_proto::message::Secret::new(token));
    match second.enrol(token, |_| {}).await {
        Err(EnrolError::Refused(no)) => assert_eq!(no.code, RefusalCode::BadProof),
        other => panic!("{other:?}"),
    }
    let (waits, waiting) = mpsc::channel();
    let asking = tokio::spawn(async move {
        second
            .enrol(EnrolProof::None, |event| {
                if let EnrolEvent::Pending(_) = event {
                    waits.send(()).unwrap();
                }
            })
            .await
    });
    tokio::task::spawn_blocking(move || waiting.recv().unwrap())
        .await
        .unwrap();
    let listed = c.json(&["machines", "list"]);
    let stranger = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["pending"] != serde_json::json!([]))
        .unwrap();
    c.told(&["machines", "refuse", stranger["name"].as_str().unwrap()]);
    match asking.await.unwrap() {
        Err(EnrolError::Refused(no)) => assert_eq!(no.code, RefusalCode::RefusedByPerson),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_goodbye_has_left() {
    let (c, agent) = joined("F1").await;
    let served = agent.connect().await.unwrap();
    let bye = FromAgent::Bye {
        reason: "the OS shuts down".to_owned(),
    };
    served.link.call(&bye, agent::PATIENCE).await.unwrap();
    let member = c.json(&["members", "show", agent.name()]);
    assert_eq!(
        (&member["state"], &member["why"]),
        (&"left".into(), &"the OS shuts down".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_silent_is_unreachable() {
    let (c, agent) = joined("G1").await;
    drop(agent.connect().await.unwrap());
    let silent = c.until(&["members", "list"], |v| v[0]["state"] == "unreachable");
    assert_eq!(silent[0]["why"], "silent for 6 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_as_the_machine_speaks_and_into_its_next_boot() {
    let (c, mut agent) = joined("H1").await;
    let first = agent.connect().await.unwrap();
    let name = agent.name().to_owned();
    first.say("before anybody looked", &agent.boot_id, 0).await;
    let log = c.follow(&["machines", "logs", &name, "-f"]);
    assert_eq!(log.line(), "[    1.500] agent: before anybody looked");
    first.say("while somebody looks", &agent.boot_id, 1).await;
    assert_eq!(log.line(), "[    1.500] agent: while somebody looks");
    agent.boot_id = "1c5e4a0d-2222-4222-8333-944444444444".to_owned();
    let second = agent.connect().await.unwrap();
    second.say("another boot", &agent.boot_id, 0).await;
    assert_eq!(log.line(), "[    1.500] agent: another boot");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_members_links_and_refusals() {
    let (c, agent) = joined("I1").await;
    let served = agent.connect().await.unwrap();
    let metrics = c.metrics();
    for line in [
        "enforcer_members{state=\"alive\"} 1",
        "enforcer_links{role=\"agent\"} 1",
        "enforcer_gossip_datagrams_total{fate=\"opened\"} 0",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    c.told(&["machines", "revoke", agent.name()]);
    served.ended().await;
    assert!(agent.connect().await.is_err());
    let metrics = c.metrics();
    for line in [
        "enforcer_members{state=\"down\"} 1",
        "enforcer_links{role=\"agent\"} 0",
        "enforcer_mesh_refusals_total{reason=\"not-admitted\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_armed_for_a_machine_that_cannot_be_rebooted_now() {
    let (c, agent) = joined("J1").await;
    let name = agent.name();
    let script = c.file("shell.ipxe", "shell\n");
    let set = ["boot-configs", "set", "shell", "--ipxe", &script];
    c.told(&[&set[..], &["--evidence", "callback"]].concat());
    let activate = ["boot-configs", "activate", "shell", name, "--reboot"];
    let (good, _, told) = c.ask(&activate);
    assert!(!good && told.contains("nothing was armed"), "{told}");
    let machine = c.json(&["machines", "show", name]);
    assert!(machine["active"].is_null(), "{machine:#}");
    let mut served = agent.connect().await.unwrap();
    c.told(&activate);
    assert_eq!(served.asked(order).await, Command::Reboot);
}
