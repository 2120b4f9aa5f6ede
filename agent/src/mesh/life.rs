//! The loop of an agent's life: certify, dial, serve, and again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_net::{AgentEndpoint, Clock, Dialer, Link, LinkEnd, LinkError};
use mesh_proto::facts::HardwareFacts;
use mesh_proto::message::boot::HelperReport;
use mesh_proto::message::link::{Habitat, Hello};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cure::{LinkCure, after_dial};
use super::enrol::{Enrolment, until_certified};
use super::gossip::{Gossip, GossipChoice, MemberWatch};
use super::identity::{Identity, Memory};
use super::line::JobLine;
use super::orders::{Power, blink};
use super::session::{SessionEnd, serve};
use super::shared::Shared;
use super::view::{Stage, View};
use crate::dispatch::Node;
use crate::effects::Effects;
use crate::helper::{self, Helper};
use crate::journal::Journal;

/// A newer link with our key took over: a clone of this disk, or another process. Pushing each other off helps nobody.
const SUPERSEDED: Duration = Duration::from_secs(30);

/// All an agent begins with.
pub struct Setup<E> {
    /// What touches the world.
    pub effects: Arc<E>,
    /// What the agent runs in.
    pub habitat: Habitat,
    /// This boot.
    pub boot_id: String,
    /// It may restart and stop the machine.
    pub has_power: bool,
    /// The boot config's boot that this is, to be reported; `None`: no boot config's.
    pub nonce: Option<String>,
    /// The hardware, as just read.
    pub facts: HardwareFacts,
    /// The log of this boot.
    pub journal: Journal,
    /// Where identities are kept.
    pub memory: Memory,
    /// What was kept.
    pub identity: Option<Identity>,
    /// How to get an identity when there is none.
    pub enrolment: Option<Enrolment>,
    /// Controllers that are known beside those the identity names.
    pub controllers: Vec<SocketAddr>,
    /// Whether and where to gossip.
    pub gossip: GossipChoice,
    /// What it needs to be a boot helper; `None`: it is never one.
    pub helper: Option<helper::Place>,
    /// Hears of the other members.
    pub watch: MemberWatch,
    /// The address to speak from, where it matters; else the routes say.
    pub bind: Option<IpAddr>,
    /// The time certificates are judged by.
    pub clock: Clock,
}

/// Where to bind a socket that dials these: anywhere, unless something else is asked for.
#[must_use]
pub fn local_address(asked: Option<IpAddr>, controllers: &[SocketAddr]) -> SocketAddr {
    let any = match controllers.iter().any(SocketAddr::is_ipv6) {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(asked.unwrap_or(any), 0)
}

/// How a life ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// As asked.
    Stopped,
    /// The machine goes down now; the controller knows.
    Power(Power),
    /// No site takes this machine; for people.
    Refused(String),
}

/// An agent, ready to live.
pub struct Agent<E> {
    shared: Arc<Shared<E>>,
    endpoint: AgentEndpoint,
    controllers: Vec<SocketAddr>,
    identity: Option<Identity>,
    enrolment: Option<Enrolment>,
}

impl<E: Effects> Agent<E> {
    /// Binds the sockets. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When a socket cannot be bound.
    pub fn new(setup: Setup<E>) -> std::io::Result<Self> {
        let mut controllers: Vec<SocketAddr> = setup
            .identity
            .iter()
            .flat_map(|own| own.controllers.clone())
            .collect();
        controllers.extend(setup.controllers);
        let from = local_address(setup.bind, &controllers);
        let active = watch::Sender::new(Instant::now());
        Ok(Self {
            endpoint: AgentEndpoint::bind(from, setup.clock)?,
            shared: Arc::new(Shared {
                effects: setup.effects,
                habitat: setup.habitat,
                node: Mutex::new(Node::new(
                    setup.boot_id.clone(),
                    setup.habitat,
                    setup.has_power,
                )),
                helper: Helper::new(setup.helper, setup.journal.clone()),
                boot_id: setup.boot_id,
                unreported: Mutex::new(setup.nonce),
                journal: setup.journal,
                memory: setup.memory,
                gossip: Gossip::bind(setup.gossip, from.ip(), setup.watch)?,
                view: watch::Sender::default(),
                jobs: JobLine::new(active.clone()),
                active,
                identify: watch::Sender::new(None),
                facts: Mutex::new(Arc::new(setup.facts)),
            }),
            controllers,
            identity: setup.identity,
            enrolment: setup.enrolment,
        })
    }

    /// What people may know, as it changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.shared.view.subscribe()
    }

    /// When somebody last wanted something of this machine.
    #[must_use]
    pub fn active(&self) -> watch::Receiver<Instant> {
        self.shared.active.subscribe()
    }

    /// How its work as a boot helper goes; `None` before the first.
    #[must_use]
    pub fn helping(&self) -> watch::Receiver<Option<HelperReport>> {
        self.shared.helper.report()
    }

    /// The way to the controller for who does jobs.
    #[must_use]
    pub fn jobs(&self) -> JobLine {
        self.shared.jobs.clone()
    }

    /// Lives until it is stopped, the machine goes down, or no site takes it.
    pub async fn run(self, stop: CancellationToken) -> Ending {
        let shared = Arc::clone(&self.shared);
        let ending = tokio::select! {
            ending = self.live(&stop) => ending,
            () = blink(&shared) => Ending::Stopped,
            () = shared.gossip.run() => Ending::Stopped,
            () = shared.helper.run() => Ending::Stopped,
        };
        if let Ending::Refused(text) = &ending {
            shared.complain(text);
            shared.show(|view| view.stage = Stage::Refused);
        }
        ending
    }

    async fn live(mut self, stop: &CancellationToken) -> Ending {
        let mut dialer = Dialer::new(self.endpoint.clone(), &self.controllers);
        let mut identity = self.identity.take();
        loop {
            let own = match identity.take() {
                Some(own) => own,
                None => match stoppable(stop, self.certify(dialer.controllers())).await {
                    None => return Ending::Stopped,
                    Some(Err(text)) => return Ending::Refused(text),
                    Some(Ok(own)) => own,
                },
            };
            dialer.learn(&own.controllers);
            self.shared.helper.set_identity(&own.link);
            let linked = stoppable(stop, self.dial(&mut dialer, &own)).await;
            let Some(linked) = linked else {
                return Ending::Stopped;
            };
            identity = match linked {
                Ok(link) => match self.serve(own, link, &dialer, stop).await {
                    Ok(own) => Some(own),
                    Err(ending) => return ending,
                },
                Err(error) => match stoppable(stop, self.recover(&dialer, own, &error)).await {
                    Some(own) => own,
                    None => return Ending::Stopped,
                },
            };
        }
    }

    async fn certify(&self, controllers: &[SocketAddr]) -> Result<Identity, String> {
        let Some(enrolment) = self.enrolment.clone() else {
            return Err("this machine has no key and no token: run `enforcer-agent join TOKEN --controller ADDRESS`".into());
        };
        let own = until_certified(&self.shared, &self.endpoint, enrolment, controllers).await?;
        if let Err(error) = self.shared.memory.keep_first(&own) {
            self.shared
                .complain(&format!("the identity is not kept: {error}"));
        }
        Ok(own)
    }

    async fn dial(&self, dialer: &mut Dialer, own: &Identity) -> Result<Link, LinkError> {
        self.shared.show(|view| {
            view.stage = Stage::Dialling;
            view.name = Some(own.name.clone());
        });
        let hello = Hello {
            boot_id: self.shared.boot_id.clone(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            habitat: self.shared.habitat,
            gossip_port: self.shared.gossip.port(),
            facts_digest: self.shared.facts().digest(),
            last_generation: own.last_generation,
            abilities: self.shared.helper.abilities(),
        };
        let failed = |controller: SocketAddr, error: &LinkError| {
            self.shared
                .complain(&format!("controller {controller}: {error}"));
        };
        dialer
            .link(&own.link, &hello, &self.shared.gossip.hints().knock, failed)
            .await
    }

    async fn serve(
        &self,
        mut own: Identity,
        link: Link,
        dialer: &Dialer,
        stop: &CancellationToken,
    ) -> Result<Identity, Ending> {
        let welcome = link.welcome.clone();
        own.name.clone_from(&welcome.name);
        own.last_generation = welcome.generation;
        own.controllers = dialer.controllers().to_vec();
        self.keep(&own);
        let digest = self.shared.facts().digest();
        if let Err(error) = self
            .shared
            .gossip
            .begin(own.machine, &welcome, &digest)
            .await
        {
            self.shared.journal.say(&format!("no gossip: {error}"));
        }
        let controller = link.link.controller();
        self.shared.journal.say(&format!(
            "member {} of {} in generation {}, controller {controller}",
            welcome.name, welcome.site, welcome.generation
        ));
        self.shared.show(|view| {
            *view = View {
                stage: Stage::Member,
                name: Some(welcome.name.clone()),
                controller: Some(controller),
                generation: Some(welcome.generation),
                level: Some(welcome.level),
                accepted: welcome.accepted,
                code: view.code.take(),
                error: None,
                identify: view.identify,
            };
        });
        let mut own = Arc::new(own);
        self.shared.jobs.set(Some(link.link.clone()));
        self.shared.helper.set_link(Some(link.link.clone()));
        // Who cannot said so in its hello, and is given no duty.
        let _taken = self.shared.helper.set_duty(welcome.helper);
        let end = serve(&self.shared, &mut own, link, stop).await;
        self.shared.jobs.set(None);
        self.shared.helper.set_link(None);
        match end {
            SessionEnd::Stopped => return Err(Ending::Stopped),
            SessionEnd::Power(power) => return Err(Ending::Power(power)),
            SessionEnd::Slept => self.shared.journal.say("the machine slept: dialling anew"),
            SessionEnd::Anew(why) => self.shared.journal.say(&format!("dialling anew: {why}")),
            SessionEnd::Lost(end) => {
                self.shared.complain(&format!("the link has ended: {end}"));
                if is_superseded(&end) && stoppable(stop, sleep(SUPERSEDED)).await.is_none() {
                    return Err(Ending::Stopped);
                }
            }
        }
        Ok(Identity::clone(&own))
    }

    /// After a controller would not take the key: the identity to go on with, or none.
    async fn recover(&self, dialer: &Dialer, own: Identity, error: &LinkError) -> Option<Identity> {
        self.shared.complain(&error.to_string());
        match after_dial(error) {
            LinkCure::After(wait) => {
                sleep(wait).await;
                Some(own)
            }
            LinkCure::Renew => Some(self.renew(dialer, own).await),
            LinkCure::EnrolAnew => {
                self.shared.helper.lose();
                if let Err(error) = self.shared.memory.forget() {
                    self.shared.complain(&error.to_string());
                }
                None
            }
        }
    }

    /// A certificate that is out of date, on a connection of its own. Whatever goes wrong, the next dial shows it.
    async fn renew(&self, dialer: &Dialer, own: Identity) -> Identity {
        let Ok(csr) = own.key.csr_pem() else {
            return own;
        };
        for &controller in dialer.controllers() {
            match self.endpoint.renew(controller, &own.link, &csr).await {
                Ok(certificate) => match own.renewed(Arc::clone(&own.key), certificate) {
                    Ok(renewed) => {
                        self.keep(&renewed);
                        self.shared
                            .journal
                            .say("the certificate was out of date and is renewed");
                        return renewed;
                    }
                    Err(error) => self.shared.complain(&error.to_string()),
                },
                Err(error) => self
                    .shared
                    .complain(&format!("renewal at {controller}: {error}")),
            }
        }
        sleep(SUPERSEDED).await;
        own
    }

    fn keep(&self, own: &Identity) {
        if let Err(error) = self.shared.memory.keep(own) {
            self.shared
                .complain(&format!("the identity is not kept: {error}"));
        }
    }
}

fn is_superseded(end: &LinkEnd) -> bool {
    matches!(
        end,
        LinkEnd::ByPeer {
            code: mesh_net::CloseCode::Superseded,
            ..
        }
    )
}

/// `None` when it was stopped first.
async fn stoppable<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = stop.cancelled() => None,
    }
}
