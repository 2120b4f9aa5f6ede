//! Very many links from one process: what a controller with a thousand machines has to carry.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use mesh_net::{
    AgentEndpoint, CaTrust, Dialer, EnrolAs, EnrolProof, Enrolled, Link, LinkIdentity, NodeKey,
    enrol, tls::system_clock,
};
use mesh_proto::{
    facts::HardwareFacts,
    message::{
        Secret,
        enrol::KeyKind,
        link::{AgentReply, FactsReport, Habitat, Hello, ToAgent},
    },
};
use tokio::{sync::Notify, task::JoinSet};

/// Enrolments at once, as when a room is installed. The dials are not bounded.
const AT_ONCE: usize = 16;

/// Has its key certified by a token, dials together with all others, and answers what the controller asks until one link ends.
pub(crate) async fn run(
    controller: SocketAddr,
    first: Ipv4Addr,
    count: u16,
    tokens: Vec<Secret>,
) -> Result<()> {
    ensure!(tokens.len() >= usize::from(count), "a token for each");
    let started = Instant::now();
    let certified = certify(controller, first, count, tokens).await?;
    println!("certified {count} in {:.1} s", seconds(started));
    let (started, mut failures, mut coming, mut links) =
        (Instant::now(), 0, JoinSet::new(), JoinSet::new());
    for agent in certified {
        coming.spawn(agent.dial(controller));
    }
    while let Some(dialled) = coming.join_next().await {
        let (number, link, failed) = dialled??;
        failures += failed;
        links.spawn(answer(number, link));
    }
    println!(
        "linked {count} in {:.1} s; dials that failed first: {failures}",
        seconds(started)
    );
    let ended = links.join_next().await;
    ended.context("no links")??
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// A key for each, some at a time.
async fn certify(
    controller: SocketAddr,
    first: Ipv4Addr,
    count: u16,
    tokens: Vec<Secret>,
) -> Result<Vec<Certified>> {
    let (mut coming, mut certified) = (JoinSet::new(), Vec::new());
    for (number, token) in (1..=count).zip(tokens) {
        if coming.len() >= AT_ONCE {
            let done: Result<Certified> = coming.join_next().await.context("one is coming")??;
            certified.push(done?);
        }
        let address = Ipv4Addr::from(u32::from(first) + u32::from(number) - 1);
        coming.spawn(one(controller, address, number, token));
    }
    while let Some(done) = coming.join_next().await {
        certified.push(done??);
    }
    Ok(certified)
}

/// An agent that may dial.
struct Certified {
    number: u16,
    endpoint: AgentEndpoint,
    identity: LinkIdentity,
}

/// Has a key certified.
async fn one(
    controller: SocketAddr,
    address: Ipv4Addr,
    number: u16,
    token: Secret,
) -> Result<Certified> {
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
    Ok(Certified {
        number,
        endpoint,
        identity,
    })
}

impl Certified {
    /// Dials as an agent does, until it is welcome; how many dials failed before.
    async fn dial(self, controller: SocketAddr) -> Result<(u16, Link, u32)> {
        let number = self.number;
        let hello = Hello {
            boot_id: boot_id(number),
            agent: "lab".to_owned(),
            habitat: Habitat::InstalledOs,
            gossip_port: None,
            facts_digest: facts(number).digest(),
            last_generation: 0,
            abilities: Vec::new(),
        };
        let (mut failures, knock) = (0, Notify::new());
        let mut dialer = Dialer::new(self.endpoint, &[controller]);
        let link = dialer.link(&self.identity, &hello, &knock, |_, _| failures += 1);
        let link = link
            .await
            .with_context(|| format!("agent {number} links"))?;
        Ok((number, link, failures))
    }
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
