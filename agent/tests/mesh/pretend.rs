//! An agent on a pretended machine: its deeds are written down.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use enforcer_agent::effects::Effects;
use enforcer_agent::helper::Place;
use enforcer_agent::journal::Journal;
use enforcer_agent::mesh::{
    Agent, Ending, Enrolment, GossipChoice, Identity, JobLine, Memory, Setup, Stage, View,
};
use mesh_net::{CaTrust, EnrolProof};
use mesh_proto::facts::HardwareFacts;
use mesh_proto::message::Secret;
use mesh_proto::message::boot::HelperReport;
use mesh_proto::message::command::{Command, Order};
use mesh_proto::message::enrol::KeyKind;
use mesh_proto::message::link::Habitat;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::site::{NOW, SECRET, Site, at};

pub(crate) const BOOT: &str = "5f1c7f2e-5d0c-4a39-8f0e-0d8a6b1f0c11";

/// What was done to the machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Lamp(bool),
    Wake([u8; 6]),
}

/// A machine that is none.
pub(crate) struct Paper {
    pub(crate) facts: Mutex<HardwareFacts>,
    deeds: mpsc::UnboundedSender<Deed>,
}

impl Paper {
    fn write(&self, deed: Deed) -> io::Result<()> {
        self.deeds.send(deed).map_err(io::Error::other)
    }
}

impl Effects for Paper {
    fn facts(&self) -> HardwareFacts {
        self.facts.lock().unwrap().clone()
    }

    fn restart(&self) -> io::Result<()> {
        unreachable!("going down is the work of whoever runs the agent, after its end")
    }

    fn power_off(&self) -> io::Result<()> {
        self.restart()
    }

    fn lamp(&self, on: bool) -> io::Result<()> {
        self.write(Deed::Lamp(on))
    }

    fn wake(&self, mac: [u8; 6]) -> io::Result<()> {
        self.write(Deed::Wake(mac))
    }
}

/// An agent that lives.
pub(crate) struct Living {
    pub(crate) machine: Arc<Paper>,
    pub(crate) deeds: mpsc::UnboundedReceiver<Deed>,
    pub(crate) journal: Journal,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) jobs: JobLine,
    pub(crate) helping: watch::Receiver<Option<HelperReport>>,
    pub(crate) stop: CancellationToken,
    pub(crate) life: JoinHandle<Ending>,
}

/// The boot that the kernel was told of.
pub(crate) const NONCE: &str = "00112233445566778899aabbccddeeff";

/// How an agent begins.
pub(crate) struct Start {
    pub(crate) proof: EnrolProof,
    pub(crate) trust: CaTrust,
    pub(crate) memory: Memory,
    pub(crate) identity: Option<Identity>,
    pub(crate) gossip: GossipChoice,
    pub(crate) helper: Option<Place>,
}

impl Start {
    /// The management OS with its boot's secret.
    pub(crate) fn boot(site: &Site) -> Self {
        Self {
            proof: EnrolProof::Boot {
                mac: "52:54:00:77:00:01".into(),
                secret: Secret::new(SECRET),
            },
            trust: CaTrust::Sha256(site.ca_sha256()),
            memory: Memory::Ram,
            identity: None,
            gossip: GossipChoice::Leaf,
            helper: None,
        }
    }

    pub(crate) fn live(self, controller: SocketAddr) -> Living {
        let (deeds, record) = mpsc::unbounded_channel();
        let machine = Arc::new(Paper {
            facts: Mutex::new(facts()),
            deeds,
        });
        let journal = Journal::new(0, |_| {});
        let installed = matches!(self.proof, EnrolProof::Token(_));
        let agent = Agent::new(Setup {
            effects: Arc::clone(&machine),
            habitat: if installed {
                Habitat::InstalledOs
            } else {
                Habitat::ManagementOs
            },
            boot_id: BOOT.into(),
            nonce: Some(NONCE.into()),
            has_power: true,
            facts: facts(),
            journal: journal.clone(),
            memory: self.memory,
            identity: self.identity,
            enrolment: Some(Enrolment {
                key: if installed {
                    KeyKind::Installed
                } else {
                    KeyKind::Boot
                },
                proof: self.proof,
                trust: self.trust,
            }),
            controllers: vec![controller],
            helper: self.helper,
            watch: Arc::new(|_| {}),
            bind: None,
            gossip: self.gossip,
            clock: at(NOW),
        })
        .unwrap();
        let (view, jobs, stop) = (agent.view(), agent.jobs(), CancellationToken::new());
        let helping = agent.helping();
        let life = tokio::spawn(agent.run(stop.clone()));
        Living {
            machine,
            deeds: record,
            journal,
            view,
            jobs,
            helping,
            stop,
            life,
        }
    }
}

impl Living {
    /// Waits until people see this.
    pub(crate) async fn until(&mut self, holds: impl Fn(&View) -> bool) -> View {
        self.view
            .wait_for(|view| holds(view))
            .await
            .unwrap()
            .clone()
    }

    pub(crate) async fn member(&mut self) -> View {
        self.until(|view| view.stage == Stage::Member).await
    }

    pub(crate) async fn stop(self) -> Ending {
        self.stop.cancel();
        self.life.await.unwrap()
    }
}

pub(crate) fn facts() -> HardwareFacts {
    serde_json::from_str(
        r#"{"v":1,"arch":"x86_64","firmware":"uefi","smbios":{"serial":"LAB-7"},"cpu":{"threads":1},
            "memory":{"bytes":1,"usable_bytes":1},"nics":[],"disks":[]}"#,
    )
    .unwrap()
}

pub(crate) fn order(id: &str, command: Command) -> Order {
    Order {
        id: id.into(),
        boot_id: BOOT.into(),
        ttl_ms: 30_000,
        command,
    }
}
