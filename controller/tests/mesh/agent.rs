//! A pretend agent: mesh-net's real side of the wire, and a record of what it was asked.

use std::{net::SocketAddr, time::Duration};

use mesh_net::{
    AgentEndpoint, AgentLink, CaTrust, EnrolAs, EnrolError, EnrolEvent, EnrolProof, Enrolled, Link,
    LinkEnd, LinkError, LinkIdentity, NodeKey, enrol, tls::system_clock,
};
use mesh_proto::{
    facts::HardwareFacts,
    message::{
        Secret,
        delegation::Signed,
        enrol::KeyKind,
        job::Ability,
        link::{
            AgentReply, ControllerReply, FactsReport, FromAgent, Habitat, Hello, LogChunk, LogLine,
            ToAgent, Welcome,
        },
    },
};
use tokio::{sync::mpsc, task::JoinHandle};

/// What never comes fails a test instead of hanging it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Agent {
    endpoint: AgentEndpoint,
    pub(crate) controller: SocketAddr,
    key: NodeKey,
    pub(crate) boot_id: String,
    pub(crate) facts: HardwareFacts,
    enrolled: Option<Enrolled>,
    pub(crate) habitat: Habitat,
    pub(crate) abilities: Vec<Ability>,
}

/// A link that is served.
pub(crate) struct Served {
    pub(crate) welcome: Welcome,
    pub(crate) link: AgentLink,
    asked: mpsc::UnboundedReceiver<ToAgent>,
    answering: JoinHandle<()>,
}

impl Agent {
    /// A machine of its own, made of what `mac` and `serial` say.
    pub(crate) fn new(controller: SocketAddr, mac: &str, serial: &str) -> Self {
        let here = "127.0.0.1:0".parse().unwrap();
        let endpoint = AgentEndpoint::bind(here, system_clock()).unwrap();
        Self::on(endpoint, controller, mac, serial)
    }

    /// The same, dialling from a socket of its own.
    pub(crate) fn on(
        endpoint: AgentEndpoint,
        controller: SocketAddr,
        mac: &str,
        serial: &str,
    ) -> Self {
        let facts = serde_json::json!({
            "v": 1, "arch": "x86_64", "firmware": "uefi",
            "smbios": {"vendor": "ACME", "product": "Anvil", "serial": serial, "uuid": format!("{serial:0>8}-1111-4222-8333-944444444444")},
            "cpu": {"model": "Test", "threads": 2},
            "memory": {"bytes": 2_147_483_648_u64, "usable_bytes": 2_000_000_000_u64},
            "nics": [{"name": "eth0", "mac": mac, "driver": "virtio_net", "speed_mbps": 1000, "link": true}],
            "disks": [], "kernel": "6.1.0"
        });
        Self {
            endpoint,
            controller,
            key: NodeKey::generate().unwrap(),
            boot_id: "0b4f3f9e-1111-4222-8333-944444444444".to_owned(),
            facts: serde_json::from_value(facts).unwrap(),
            enrolled: None,
            habitat: Habitat::InstalledOs,
            abilities: Ability::OURS.to_vec(),
        }
    }

    /// Asks for a certificate; `code` hears the pairing code and that it has to wait.
    pub(crate) async fn enrol(
        &mut self,
        proof: EnrolProof,
        event: impl FnMut(EnrolEvent),
    ) -> Result<(), EnrolError> {
        let trust = match &proof {
            EnrolProof::Token(token) => CaTrust::from_token(token).unwrap(),
            EnrolProof::Boot { .. } | EnrolProof::None => CaTrust::Shown,
        };
        let key = match &proof {
            EnrolProof::Boot { .. } => KeyKind::Boot,
            EnrolProof::Token(_) | EnrolProof::None => KeyKind::Installed,
        };
        let who = EnrolAs {
            key,
            proof,
            trust,
            boot_id: self.boot_id.clone(),
            agent: "test".to_owned(),
            facts: self.facts.clone(),
        };
        let done = enrol(&self.endpoint, self.controller, &self.key, &who, event);
        let enrolled = tokio::time::timeout(PATIENCE, done).await.unwrap()?;
        self.enrolled = Some(enrolled);
        Ok(())
    }

    /// Whether the site that this agent belongs to signed it.
    pub(crate) fn site_signed(&self, signed: &Signed) -> bool {
        let own = &self.enrolled.as_ref().unwrap().identity;
        own.site_signed(signed.text.as_bytes(), &signed.signature)
    }

    pub(crate) async fn join(&mut self, token: &str) {
        let token = EnrolProof::Token(Secret::new(token));
        self.enrol(token, |_| {}).await.unwrap();
    }

    /// Asks for a new certificate with the old one, also when that has expired.
    pub(crate) async fn renew(&mut self) {
        let old = self.enrolled.as_mut().unwrap();
        let csr = self.key.csr_pem().unwrap();
        let asked = self.endpoint.renew(self.controller, &old.identity, &csr);
        let certificate = asked.await.unwrap();
        old.identity = LinkIdentity::from_pem(&old.issued.ca, &certificate, &self.key).unwrap();
    }

    pub(crate) fn name(&self) -> &str {
        &self.enrolled.as_ref().unwrap().issued.name
    }

    /// Opens the link and answers what comes over it.
    pub(crate) async fn connect(&self) -> Result<Served, LinkError> {
        let hello = Hello {
            boot_id: self.boot_id.clone(),
            agent: "test".to_owned(),
            habitat: self.habitat,
            gossip_port: Some(9),
            facts_digest: self.facts.digest(),
            last_generation: 0,
            abilities: self.abilities.clone(),
        };
        let identity = &self.enrolled.as_ref().unwrap().identity;
        let link = self
            .endpoint
            .connect(self.controller, identity, &hello)
            .await?;
        let (tell, asked) = mpsc::unbounded_channel();
        let (welcome, to_controller) = (link.welcome.clone(), link.link.clone());
        let report = FactsReport {
            boot_id: self.boot_id.clone(),
            facts: self.facts.clone(),
        };
        let answering = tokio::spawn(answer(link, report, tell));
        Ok(Served {
            welcome,
            link: to_controller,
            asked,
            answering,
        })
    }
}

async fn answer(mut link: Link, report: FactsReport, tell: mpsc::UnboundedSender<ToAgent>) {
    while let Ok(mut incoming) = link.next().await {
        let reply = match &incoming.ask {
            ToAgent::Facts => AgentReply::Facts(Box::new(report.clone())),
            ToAgent::Command(_) => {
                incoming.responder.progress("about to").await.unwrap();
                AgentReply::Done {
                    text: "it is recorded".to_owned(),
                }
            }
            ToAgent::Verdicts { .. }
            | ToAgent::Ring(_)
            | ToAgent::Jobs
            | ToAgent::Helper { .. } => AgentReply::Ok,
        };
        let _nobody_looks = tell.send(incoming.ask);
        let _gone = incoming.responder.finish(&reply).await;
    }
}

impl Served {
    /// The next thing it was asked that `wanted` picks.
    pub(crate) async fn asked<T>(&mut self, wanted: impl Fn(ToAgent) -> Option<T>) -> T {
        let next = async {
            loop {
                if let Some(found) = wanted(self.asked.recv().await.expect("the link ended")) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap()
    }

    pub(crate) async fn say(&self, text: &str, boot: &str, n: u64) {
        let line = LogLine {
            uptime_ms: 1500,
            source: "agent".to_owned(),
            text: text.to_owned(),
        };
        let chunk = LogChunk {
            boot_id: boot.to_owned(),
            first: n,
            lines: vec![line],
        };
        let said = self.link.call(&FromAgent::Log(chunk), PATIENCE).await;
        assert!(matches!(said, Ok(ControllerReply::Ok)), "{said:?}");
    }

    pub(crate) async fn ended(&self) -> LinkEnd {
        tokio::time::timeout(PATIENCE, self.link.ended())
            .await
            .unwrap()
    }
}

impl Drop for Served {
    /// Nobody answers any more: the link closes.
    fn drop(&mut self) {
        self.answering.abort();
    }
}
