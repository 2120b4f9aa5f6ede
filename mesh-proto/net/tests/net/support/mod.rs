//! A site for tests: a CA, an authority that does what it is told, agents.

#[macro_use]
pub(crate) mod authority;
pub(crate) mod raw;
pub(crate) mod wire;

use std::{net::SocketAddr, sync::Arc};

use mesh_net::{
    AgentEndpoint, CaTrust, Clock, EnrolAs, EnrolProof, LinkIdentity, MeshServer, NodeKey,
    ServerConfig, ServerHandle, ServerLimits, SiteIdentity,
    cert::{ca_sha256, controller_name, node_uri},
    keys::certificate_der,
};
use mesh_proto::{
    identity::{NodeId, Role},
    message::{
        enrol::KeyKind,
        link::{Habitat, Hello},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    SubjectPublicKeyInfo, date_time_ymd,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::peers::Believed;
use authority::Court;

/// Noon of a summer day, by every clock of a test that does not say otherwise.
pub(crate) const NOW: i64 = 1_782_561_600; // 2026-06-27
pub(crate) const DAY: i64 = 24 * 3600;
pub(crate) const SITE: &str = "home";

pub(crate) fn at(now: i64) -> Clock {
    Arc::new(move || now)
}

/// What a certificate is for and when.
pub(crate) struct Leaf {
    pub(crate) role: Role,
    pub(crate) node: NodeId,
    pub(crate) years: (i32, i32),
    pub(crate) usage: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) site: &'static str,
}

impl Leaf {
    pub(crate) fn agent(node: u64) -> Self {
        let usage = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self {
            role: Role::Agent,
            node: NodeId(node),
            years: (2026, 2027),
            usage,
            site: SITE,
        }
    }

    pub(crate) fn controller() -> Self {
        let usage = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Self {
            role: Role::Controller,
            node: NodeId(0xc0),
            usage,
            ..Self::agent(0)
        }
    }
}

/// A certificate authority.
pub(crate) struct Ca {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new() -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).unwrap().pem();
        Arc::new(Self {
            pem,
            issuer: Issuer::new(params, key),
        })
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        ca_sha256(&certificate_der(&self.pem).unwrap())
    }

    /// A join token of this site.
    pub(crate) fn token(&self) -> String {
        let ca: String = self.sha256()[..16]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("enforcer-01234567-{}-{ca}", "5".repeat(32))
    }

    pub(crate) fn issue(&self, spki: &[u8], leaf: &Leaf) -> String {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(leaf.years.0, 1, 1);
        params.not_after = date_time_ymd(leaf.years.1, 1, 1);
        params.extended_key_usages.clone_from(&leaf.usage);
        let uri = node_uri(leaf.site, leaf.role, leaf.node);
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        if leaf.role == Role::Controller {
            let name = controller_name(leaf.site).try_into().unwrap();
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let key = SubjectPublicKeyInfo::from_der(spki).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().pem()
    }

    pub(crate) fn agent(&self, leaf: &Leaf) -> LinkIdentity {
        let key = NodeKey::generate().unwrap();
        self.agent_with(leaf, &key)
    }

    pub(crate) fn agent_with(&self, leaf: &Leaf, key: &NodeKey) -> LinkIdentity {
        LinkIdentity::from_pem(&self.pem, &self.issue(&key.spki(), leaf), key).unwrap()
    }

    /// A certificate and its key, as TLS shows them.
    pub(crate) fn shown(&self, leaf: &Leaf) -> raw::Shown {
        let key = NodeKey::generate().unwrap();
        (
            certificate_der(&self.issue(&key.spki(), leaf)).unwrap(),
            key.to_der(),
        )
    }

    pub(crate) fn controller(&self, leaf: &Leaf) -> SiteIdentity {
        let key = NodeKey::generate().unwrap();
        SiteIdentity::from_pem(&self.pem, &self.issue(&key.spki(), leaf), &key).unwrap()
    }
}

/// A running server.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: ServerHandle,
    /// The CAs of other sites that it believes.
    pub(crate) peers: Believed,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(ca: &Ca, court: &Arc<Court>) -> Self {
        Self::start_with(
            ca,
            court,
            "127.0.0.1:0",
            ServerLimits {
                enrols_per_minute: 1000,
                ..Default::default()
            },
        )
    }

    pub(crate) fn start_with(
        ca: &Ca,
        court: &Arc<Court>,
        listen: &str,
        limits: ServerLimits,
    ) -> Self {
        Self::start_beside(ca, court, (listen, true), limits)
    }

    /// With TCP beside links, or without.
    pub(crate) fn start_beside(
        ca: &Ca,
        court: &Arc<Court>,
        (listen, beside): (&str, bool),
        limits: ServerLimits,
    ) -> Self {
        let identity = ca.controller(&Leaf::controller());
        let peers = Believed::default();
        let believed = Arc::clone(&peers);
        let config = ServerConfig {
            limits,
            beside,
            peers: Arc::new(move |site| {
                let believed = believed.lock().unwrap();
                let known = believed.iter().find(|(name, _)| name == site);
                known.map(|(_, ca)| ca.clone())
            }),
            ..ServerConfig::new(listen.parse().unwrap(), identity, at(NOW))
        };
        let server = MeshServer::bind(config).unwrap();
        let (addr, handle, stop) = (
            server.local_addr().unwrap(),
            server.handle(),
            CancellationToken::new(),
        );
        let task = tokio::spawn(server.run(Arc::clone(court), stop.clone()));
        Self {
            addr,
            handle,
            peers,
            stop,
            task,
        }
    }

    /// With a key for telling who is not known any more.
    pub(crate) fn start_telling(ca: &Ca, court: &Arc<Court>, listen: &str, key: [u8; 32]) -> Self {
        let identity = ca.controller(&Leaf::controller());
        let mut config = ServerConfig::new(listen.parse().unwrap(), identity, at(NOW));
        config.reset_key = Some(key);
        let server = MeshServer::bind(config).unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(Arc::clone(court), stop.clone()));
        Self {
            addr,
            handle,
            peers: Believed::default(),
            stop,
            task,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

pub(crate) fn endpoint() -> AgentEndpoint {
    endpoint_at(NOW)
}

pub(crate) fn endpoint_at(now: i64) -> AgentEndpoint {
    AgentEndpoint::bind("127.0.0.1:0".parse().unwrap(), at(now)).unwrap()
}

pub(crate) fn hello() -> Hello {
    Hello {
        boot_id: "5f1c7f2e-5d0c-4a39-8f0e-0d8a6b1f0c11".into(),
        agent: "0.1.0".into(),
        habitat: Habitat::ManagementOs,
        gossip_port: None,
        facts_digest: "0".repeat(32),
        last_generation: 0,
        abilities: Vec::new(),
    }
}

pub(crate) fn enrol_as(proof: EnrolProof, trust: CaTrust) -> EnrolAs {
    EnrolAs {
        key: KeyKind::Boot,
        proof,
        trust,
        boot_id: hello().boot_id,
        agent: "0.1.0".into(),
        facts: facts(),
    }
}

pub(crate) fn facts() -> mesh_proto::facts::HardwareFacts {
    serde_json::from_str(include_str!("facts.json")).unwrap()
}
