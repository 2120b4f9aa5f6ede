//! A link that stands, breaks and comes back.

use std::sync::Arc;
use std::time::Duration;

use enforcer_agent::mesh::Stage;
use mesh_net::{CloseCode, EnrolProof};
use mesh_proto::message::link::{AgentReply, FromAgent, ToAgent};

use crate::pretend::{BOOT, NONCE, Start, facts};
use crate::site::{DAY, NOW, Running, SECRET, Seen, Site};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_controller_that_comes_back_finds_its_agent_again_in_a_newer_generation() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let addr = server.addr;
    let mut agent = Start::boot(&site).live(addr);
    agent.member().await;
    // A link that is held holds the port.
    next!(record, Seen::Hello(_, first) => assert_eq!(first.last_generation, 0));
    server.stop().await;
    agent.until(|view| view.stage == Stage::Dialling).await;
    let server = Running::start_at(&site, addr, NOW);
    let view = agent.until(|view| view.generation == Some(2)).await;
    assert_eq!((view.error, view.controller), (None, Some(server.addr)));
    next!(record, Seen::Hello(_, second) => assert_eq!(second.last_generation, 1));
    agent.stop().await;
}

#[tokio::test]
async fn the_boot_that_the_kernel_was_told_of_is_reported_once_whatever_becomes_of_the_link() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let addr = server.addr;
    let mut agent = Start::boot(&site).live(addr);
    agent.member().await;
    let report = next!(record, Seen::Request(FromAgent::Report(report)) => report);
    assert_eq!((report.nonce.as_str(), report.failure), (NONCE, None));
    server.stop().await;
    agent.until(|view| view.stage == Stage::Dialling).await;
    let _server = Running::start_at(&site, addr, NOW);
    agent.until(|view| view.generation == Some(2)).await;
    agent.stop().await;
    loop {
        match record.recv().await {
            Some(Seen::Request(FromAgent::Report(again))) => panic!("{again:?} came again"),
            Some(Seen::Request(FromAgent::Bye { .. })) => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_agent_that_stops_says_goodbye() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let mut agent = Start::boot(&site).live(server.addr);
    agent.member().await;
    agent.stop().await;
    let reason = next!(record, Seen::Request(FromAgent::Bye { reason }) => reason);
    assert_eq!(reason, "the agent stops");
}

#[tokio::test]
async fn log_lines_come_numbered_also_those_from_before_the_link_and_while_it_was_away() {
    let (site, mut record) = Site::new();
    site.rule(|rules| rules.shows_logs = true);
    let server = Running::start(&site);
    let addr = server.addr;
    let mut agent = Start::boot(&site).live(addr);
    agent.journal.note(
        12,
        "kernel",
        &format!("Command line: enforcer.secret={SECRET} quiet"),
    );
    agent.member().await;
    let chunk = next!(record, Seen::Request(FromAgent::Log(chunk)) => chunk);
    assert_eq!((chunk.first, chunk.boot_id.as_str()), (0, BOOT));
    assert!(
        chunk
            .lines
            .iter()
            .any(|line| line.source == "kernel" && line.uptime_ms == 12)
    );
    assert!(
        chunk.lines.iter().all(|line| !line.text.contains(SECRET)),
        "{chunk:?}"
    );
    let mut next = chunk.lines.len() as u64;
    server.stop().await;
    agent.until(|view| view.stage == Stage::Dialling).await;
    agent.journal.say("said while nobody heard");
    let _server = Running::start_at(&site, addr, NOW);
    loop {
        let chunk = next!(record, Seen::Request(FromAgent::Log(chunk)) => chunk);
        assert!(
            chunk.first <= next,
            "a line is missing before {}",
            chunk.first
        );
        next = chunk.first + chunk.lines.len() as u64;
        if chunk
            .lines
            .iter()
            .any(|line| line.text == "said while nobody heard")
        {
            break;
        }
    }
    agent.stop().await;
}

#[tokio::test]
async fn people_at_the_controller_see_what_the_machine_is_doing() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let agent = Start::boot(&site).live(server.addr);
    let status = next!(record, Seen::Request(FromAgent::Status(status)) => status);
    assert_eq!((status.stage.as_str(), status.error), ("member", None));
    agent.stop().await;
}

#[tokio::test]
async fn facts_are_sent_when_they_are_asked_for() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let agent = Start::boot(&site).live(server.addr);
    let (link, hello) = next!(record, Seen::Hello(link, hello) => (link, hello));
    let reply = link.ask(&ToAgent::Facts, PATIENCE).await.unwrap();
    let AgentReply::Facts(report) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (report.facts.digest(), report.boot_id.as_str()),
        (hello.facts_digest, BOOT)
    );
    assert_eq!(report.facts, facts());
    agent.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_for_the_same_key_when_two_thirds_of_its_life_are_over() {
    let (site, mut record) = Site::new();
    site.rule(|rules| rules.now = NOW + 100 * DAY);
    let server = Running::start(&site);
    let mut agent = Start::boot(&site).live(server.addr);
    agent.member().await;
    let (peer, csr) = next!(record, Seen::Renew(peer, csr) => (peer, csr));
    assert_eq!(peer.spki_sha256, csr.spki_sha256);
    site.rule(|rules| rules.years = (2026, 2030));
    agent.stop().await;
}

#[tokio::test]
async fn a_machine_that_was_off_until_its_certificate_expired_has_it_renewed_and_is_back() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let addr = server.addr;
    let mut agent = Start::boot(&site).live(addr);
    agent.member().await;
    next!(record, Seen::Hello(..));
    server.stop().await;
    site.rule(|rules| rules.years = (2027, 2029));
    let _server = Running::start_at(&site, addr, NOW + 400 * DAY);
    let peer = next!(record, Seen::Renew(peer, _) => peer);
    assert!(peer.expired);
    agent.until(|view| view.generation == Some(2)).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_dropped_and_another_one_asks_a_person() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let mut start = Start::boot(&site);
    start.proof = EnrolProof::None;
    let mut agent = start.live(server.addr);
    let (first, decide) = next!(record, Seen::Pending(ask, decide) => (ask, decide));
    decide.send(Ok(site.issued(&first))).unwrap();
    agent.member().await;
    let link = next!(record, Seen::Hello(link, _) => link);
    site.rule(|rules| rules.revoked.push(link.peer().serial.clone()));
    link.close(CloseCode::Revoked, "a person revoked this key");
    let second = next!(record, Seen::Pending(ask, _) => ask);
    assert_ne!(first.csr.spki, second.csr.spki);
    agent.stop().await;
}

#[tokio::test]
async fn a_link_that_another_process_took_over_is_not_fought_for() {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let mut agent = Start::boot(&site).live(server.addr);
    agent.member().await;
    let link = next!(record, Seen::Hello(link, _) => link);
    link.close(CloseCode::Superseded, "a newer link");
    let view = agent.until(|view| view.error.is_some()).await;
    assert!(
        view.error
            .as_deref()
            .is_some_and(|error| error.contains("a newer link"))
    );
    let site = Arc::clone(&site);
    assert_eq!(agent.stop().await, enforcer_agent::mesh::Ending::Stopped);
    drop(site);
}
