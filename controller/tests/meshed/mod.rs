//! A site whose mesh runs, too, and agents that come to it by their boots.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by test programs, which may panic"
)]

use std::{net::SocketAddr, sync::Arc};

use enforcer::{
    ca::Ca,
    mesh::{Bound, Mesh, MeshConfig},
    metrics::Metrics,
    state::{
        ops::CreateToken,
        policy::{Discovery, MeshPolicy, Policy},
        trust::{
            Digest,
            token::{TokenId, TokenText},
        },
    },
};
use ipxe::MacAddr;
use ipxe_net::{BootAuthority as _, BootNote};
use mesh_net::{AgentEndpoint, EnrolProof};
use mesh_proto::message::{Secret, link::Habitat};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::Agent,
    site::{Site, management},
};

/// See the module.
pub(crate) struct Meshed {
    pub(crate) site: Site,
    pub(crate) mesh: Mesh,
    pub(crate) links: SocketAddr,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// The mesh of such a site.
pub(crate) async fn room() -> Meshed {
    Meshed::of(site(), |bound| bound).await
}

/// A site that serves the management OS to machines that are registered.
pub(crate) fn site() -> Site {
    Site::new(Policy {
        discovery: Discovery::Registered,
        management: vec![management()],
        ..Policy::default()
    })
}

impl Meshed {
    /// The site's mesh, with what `more` adds to it.
    pub(crate) async fn of(site: Site, more: impl FnOnce(Bound) -> Bound) -> Self {
        let ca = Ca::open(site.state.path(), "home").unwrap();
        let ca_sha256 = Digest(ca.sha256());
        let config = MeshConfig {
            state: site.state.path().to_owned(),
            listen: [127, 0, 0, 1].into(),
            port: 0,
            gossip_port: 0,
        };
        let bound = more(Bound::bind(&config, ca, &site.store).unwrap());
        let bound = bound.with_desk(Arc::clone(&site.desk));
        let links = bound.link_addr();
        let mut tasks = JoinSet::new();
        let desk = Arc::clone(&site.desk);
        let known_as = Arc::new(move |ip| desk.station_at(ip));
        let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
        let mesh = bound.start(&site.store, metrics, known_as, &mut tasks, &stop);
        let policy = MeshPolicy {
            site: "home".to_owned(),
            ca_sha256,
            port: links.port(),
        };
        site.policy(|p| p.mesh = Some(policy)).await;
        Self {
            site,
            mesh,
            links,
            tasks,
            stop,
        }
    }

    /// The same, whose API knows the mesh.
    pub(crate) fn with_api(mut self) -> Self {
        self.site = self.site.with_mesh(&self.mesh);
        self
    }

    /// The controller starts again, on other ports.
    pub(crate) async fn restarted(mut self) -> Self {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        Self::of(self.site, |bound| bound).await
    }

    /// The machine asks DHCP for 127.0.0.1 and then for its script; the secret in that.
    pub(crate) async fn boot(&self, mac: MacAddr, session: &str) -> Secret {
        let ip = [127, 0, 0, 1].into();
        let asked = BootNote::AddressRequested { mac, ip };
        self.site.desk.note(asked);
        let script = self.site.script(mac, session).await;
        let (_, rest) = script
            .split_once("enforcer.secret=")
            .unwrap_or_else(|| panic!("{script}"));
        let secret = rest.chars().take_while(char::is_ascii_hexdigit);
        Secret::new(secret.collect::<String>())
    }

    /// A management OS's agent that dials from `from`, on a board with this serial.
    pub(crate) fn agent(&self, mac: MacAddr, from: &str, serial: &str, boot_id: &str) -> Agent {
        let mut agent = self.dials(from, &mac.to_string(), serial);
        agent.habitat = Habitat::ManagementOs;
        agent.boot_id = boot_id.to_owned();
        agent
    }

    /// An agent of an installed OS that joined by a token, on a board with this serial.
    pub(crate) async fn installed(&self, serial: &str) -> Agent {
        let id = TokenId::from_random(rand::random());
        let text = TokenText::fresh(id.clone(), rand::random(), &Digest(self.mesh.ca().sha256()));
        let create = CreateToken {
            id,
            secret_sha256: text.digest(),
            machine: None,
            lives: None,
            by: "test".to_owned(),
        };
        self.site.store.apply(create).await.unwrap().unwrap();
        let mut agent = self.dials("127.0.0.1:0", &format!("52:54:00:00:01:{serial}"), serial);
        agent.join(&text.reveal()).await;
        agent
    }

    /// An agent that dials from `from`. Its clock stands still: it is a board without a battery.
    pub(crate) fn dials(&self, from: &str, mac: &str, serial: &str) -> Agent {
        let now = self.site.store.now().as_second();
        let endpoint = AgentEndpoint::bind(from.parse().unwrap(), Arc::new(move || now)).unwrap();
        Agent::on(endpoint, self.links, mac, serial)
    }
}

/// The proof of who has the secret of a machine's boot.
pub(crate) fn by(mac: MacAddr, secret: &Secret) -> EnrolProof {
    EnrolProof::Boot {
        mac: mac.to_string(),
        secret: secret.clone(),
    }
}
