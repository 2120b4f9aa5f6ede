//! Very many links from one process: what a controller with a thousand machines has to carry.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use mesh_net::{
    AgentEndpoint, CaTrust, EnrolAs, EnrolProof, Enrolled, Link, NodeKey, enrol, tls::system_clock,
};
use mesh_proto::{
    facts::HardwareFacts,
    message::{
        Secret,
        enrol::KeyKind,
        link::{AgentReply, FactsReport, Habitat, Hello, ToAgent},
    },
};
use tokio::task::JoinSet;

/// Enrolments at once: a controller refuses more handshakes than it can do.
const AT_ONCE: usize = 16;

/// Joins, links, says so, and answers what the controller asks until one link ends.
pub(crate) async fn run(
    controller: SocketAddr,
    first: Ipv4Addr,
    count: u16,
    tokens: Vec<Secret>,
) -> Result<()> {
    ensure!(tokens.len() >= usize::from(count), "a token for each");
    let started = Instant::now();
    let (mut coming, mut links) = (JoinSet::new(), JoinSet::new());
    for (number, token) in (1..=count).zip(tokens) {
        let address = Ipv4Addr::from(u32::from(first) + u32::from(number) - 1);
        coming.spawn(one(controller, address, number, token));
        if coming.len() >= AT_ONCE {
            stay(&mut coming, &mut links).await?;
        }
    }
    while !coming.is_empty() {
        stay(&mut coming, &mut links).await?;
    }
    println!(
        "linked {count} after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let ended = links.join_next().await;
    ended.context("no links")??
}

async fn stay(
    coming: &mut JoinSet<Result<(u16, Link)>>,
    links: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let (number, link) = coming.join_next().await.context("one is coming")???;
    links.spawn(answer(number, link));
    Ok(())
}

/// Has a key certified and opens its link.
async fn one(
    controller: SocketAddr,
    address: Ipv4Addr,
    number: u16,
    token: Secret,
) -> Result<(u16, Link)> {
    let endpoint = AgentEndpoint::bind((address, 0).into(), system_clock())?;
    let who = EnrolAs {
        key: KeyKind::Installed,
        proof: EnrolProof::Token(token),
        trust: CaTrust::Shown,
        boot_id: boot_id(number),
        agent: "lab".to_owned(),
        facts: facts(number),
    };
    let key = NodeKey::generate()?;
    let Enrolled { identity, .. } = enrol(&endpoint, controller, &key, &who, |_| {})
        .await
        .with_context(|| format!("agent {number} joins"))?;
    let hello = Hello {
        boot_id: boot_id(number),
        agent: "lab".to_owned(),
        habitat: Habitat::InstalledOs,
        gossip_port: None,
        facts_digest: facts(number).digest(),
        last_generation: 0,
    };
    let link = endpoint.connect(controller, &identity, &hello).await;
    Ok((
        number,
        link.with_context(|| format!("agent {number} links"))?,
    ))
}

/// Answers until the link ends, which is an error here.
async fn answer(number: u16, mut link: Link) -> Result<()> {
    loop {
        let incoming = link
            .next()
            .await
            .with_context(|| format!("the link of agent {number} ended"))?;
        let reply = match incoming.ask {
            ToAgent::Facts => AgentReply::Facts(Box::new(FactsReport {
                boot_id: boot_id(number),
                facts: facts(number),
            })),
            _ => AgentReply::Ok,
        };
        incoming.responder.finish(&reply).await?;
    }
}

/// As the kernel would say it.
pub(crate) fn boot_id(number: u16) -> String {
    format!("99999999-0000-4000-8000-{number:012}")
}

/// A board with a serial and one card of its own.
pub(crate) fn facts(number: u16) -> HardwareFacts {
    let [high, low] = number.to_be_bytes();
    let json = serde_json::json!({
        "v": mesh_proto::facts::FACTS_VERSION,
        "arch": "x86_64",
        "firmware": "bios",
        "smbios": { "vendor": "EnforcerLab", "product": "Nothing", "serial": format!("LNK-{number:05}"),
            "uuid": format!("99999999-0000-4000-8000-{number:012}") },
        "cpu": { "sockets": 1, "cores": 1, "threads": 1 },
        "memory": { "bytes": 1u64 << 29, "usable_bytes": 1u64 << 29 },
        "nics": [{ "name": "eth0", "mac": format!("52:54:00:99:{high:02x}:{low:02x}"), "link": true }],
        "disks": [],
    });
    serde_json::from_value(json).expect("these are the fields of facts")
}
