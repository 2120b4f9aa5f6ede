//! A machine from its boot script into the mesh: the secret that the script had, over mesh-net's real wire.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "mesh/agent.rs"]
#[expect(dead_code, reason = "shared with the tests of the mesh")]
mod agent;
#[path = "mesh/foreign/process.rs"]
mod process;
mod site;

use std::{net::SocketAddr, sync::Arc};

use agent::{Agent, Served};
use enforcer::{
    ca::Ca,
    mesh::{Bound, Mesh, MeshConfig},
    metrics::Metrics,
    state::{
        machine::Standing,
        ops::{ConfirmClock, CreateToken},
        policy::{Discovery, MeshPolicy, Policy},
        trust::{
            Digest,
            token::{TokenId, TokenText},
        },
    },
};
use ipxe::MacAddr;
use ipxe_net::{BootAuthority as _, BootNote};
use mesh_net::{AgentEndpoint, EnrolError, EnrolProof};
use mesh_proto::message::{
    RefusalCode, Secret,
    command::Command,
    enrol::Level,
    link::{Habitat, ToAgent},
};
use process::Foreign;
use site::{Site, ipxe_config, management};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);

/// A site whose mesh runs, too.
struct Room {
    site: Site,
    mesh: Mesh,
    links: SocketAddr,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Room {
    async fn start() -> Self {
        let site = Site::new(Policy {
            discovery: Discovery::Registered,
            management: vec![management()],
            ..Policy::default()
        });
        Self::of(site).await
    }

    async fn of(site: Site) -> Self {
        let ca = Ca::open(site.state.path(), "home").unwrap();
        let ca_sha256 = Digest(ca.sha256());
        let config = MeshConfig {
            state: site.state.path().to_owned(),
            listen: [127, 0, 0, 1].into(),
            port: 0,
            gossip_port: 0,
        };
        let bound = Bound::bind(&config, ca, &site.store).unwrap();
        let links = bound.link_addr();
        let mut tasks = JoinSet::new();
        let desk = Arc::clone(&site.desk);
        let known_as = Arc::new(move |ip| desk.station_at(ip));
        let metrics = Arc::new(Metrics::default());
        let stop = CancellationToken::new();
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

    /// The controller starts again, on other ports.
    async fn restarted(mut self) -> Self {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        Self::of(self.site).await
    }

    /// The machine asks DHCP for 127.0.0.1 and then for its script; the secret in that.
    async fn boot(&self, session: &str) -> Secret {
        let ip = [127, 0, 0, 1].into();
        self.site
            .desk
            .note(BootNote::AddressRequested { mac: MAC, ip });
        let script = self.site.script(MAC, session).await;
        let (_, rest) = script
            .split_once("enforcer.secret=")
            .unwrap_or_else(|| panic!("{script}"));
        Secret::new(
            rest.chars()
                .take_while(char::is_ascii_hexdigit)
                .collect::<String>(),
        )
    }

    /// A management OS's agent that dials from `from`, on a board with this serial.
    fn agent(&self, from: &str, serial: &str, boot_id: &str) -> Agent {
        let now = self.site.store.now().as_second();
        let endpoint = AgentEndpoint::bind(from.parse().unwrap(), Arc::new(move || now)).unwrap();
        let mut agent = Agent::on(endpoint, self.links, &MAC.to_string(), serial);
        agent.habitat = Habitat::ManagementOs;
        agent.boot_id = boot_id.to_owned();
        agent
    }

    /// An installed OS on a board with this serial that joined by a token.
    async fn installed(&self, serial: &str) -> Agent {
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
        // Its clock stands still: it is a board without a battery.
        let now = self.site.store.now().as_second();
        let here = "127.0.0.1:0".parse().unwrap();
        let endpoint = AgentEndpoint::bind(here, Arc::new(move || now)).unwrap();
        let mac = format!("52:54:00:00:01:{serial}");
        let mut agent = Agent::on(endpoint, self.links, &mac, serial);
        agent.join(&text.reveal()).await;
        agent
    }
}

fn by(secret: &Secret) -> EnrolProof {
    EnrolProof::Boot {
        mac: MAC.to_string(),
        secret: secret.clone(),
    }
}

fn refused(result: Result<(), EnrolError>) -> RefusalCode {
    match result {
        Err(EnrolError::Refused(no)) => no.code,
        other => panic!("{other:?}"),
    }
}

async fn order(served: &mut Served) -> Command {
    let order = |ask| match ask {
        ToAgent::Command(order) => Some(order.command),
        _ => None,
    };
    served.asked(order).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_machine_enrols_by_its_boots_secret_and_goes_on_into_its_config() {
    let room = Room::start().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot("a").await;
    let mut agent = room.agent("127.0.0.1:0", "S1", "aa");
    agent.enrol(by(&secret), |_| {}).await.unwrap();
    let served = agent.connect().await.unwrap();
    assert_eq!(
        (served.welcome.level, served.welcome.accepted),
        (Level::T1, true)
    );
    assert_eq!(
        room.site.view().machine_by_mac(MAC).unwrap().standing,
        Standing::Accepted
    );
    drop(served);

    // The next time it starts, something is due for it.
    room.site.set(ipxe_config("shell", "shell")).await;
    room.site.activate("web1", "shell").await;
    let mut served = agent.connect().await.unwrap();
    assert_eq!(order(&mut served).await, Command::Reboot);
    assert_eq!(room.mesh.links(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_good_once_and_from_its_own_address_only() {
    let room = Room::start().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot("a").await;
    let mut elsewhere = room.agent("127.0.0.2:0", "S9", "ee");
    assert_eq!(
        refused(elsewhere.enrol(by(&secret), |_| {}).await),
        RefusalCode::WrongAddress
    );
    let wrong = Secret::new("0".repeat(32));
    let mut guesser = room.agent("127.0.0.1:0", "S9", "ee");
    assert_eq!(
        refused(guesser.enrol(by(&wrong), |_| {}).await),
        RefusalCode::BadProof
    );
    let mut agent = room.agent("127.0.0.1:0", "S1", "aa");
    agent.enrol(by(&secret), |_| {}).await.unwrap();
    let mut late = room.agent("127.0.0.1:0", "S1", "bb");
    assert_eq!(
        refused(late.enrol(by(&secret), |_| {}).await),
        RefusalCode::BadProof
    );
}

/// The second agent, in Python, as the agent of a management OS: a proof is made of its own TLS session's keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_shows_its_boots_secret_without_sending_it() {
    let room = Room::start().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot("a").await;
    let folder = tempfile::tempdir().unwrap();
    let facts = folder.path().join("facts.json");
    let like = room.agent("127.0.0.1:0", "S1", "aa");
    std::fs::write(&facts, serde_json::to_vec(&like.facts).unwrap()).unwrap();
    let (folder, facts) = (
        folder.path().display().to_string(),
        facts.display().to_string(),
    );
    let (links, mac) = (room.links.to_string(), MAC.to_string());
    let now = room.site.store.now().as_second().to_string();
    let ca = Digest(room.mesh.ca().sha256()).to_string();
    let boots = |secret: &str| {
        let words = [
            &folder,
            "--controller",
            &links,
            "--facts",
            &facts,
            "--boot-id",
            "aa",
            "--now",
            &now,
        ];
        Foreign::start(
            "agent.py",
            &[&words[..], &["--boot", secret, &mac, &ca]].concat(),
        )
    };
    assert_eq!(boots(&"0".repeat(32)).says("refused")[0], "bad-proof");
    let mut agent = boots(secret.expose());
    assert_eq!(agent.says("enrolled"), "web1");
    assert_eq!(agent.is_welcome()["level"], "T1");
    assert!(agent.succeeds());
    assert_eq!(
        room.site.view().machine_by_mac(MAC).unwrap().standing,
        Standing::Accepted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_board_with_its_mac_is_refused_while_the_first_lives() {
    let room = Room::start().await;
    room.site.register(MAC, "web1").await;
    let secret = room.boot("a").await;
    let mut first = room.agent("127.0.0.1:0", "S1", "aa");
    first.enrol(by(&secret), |_| {}).await.unwrap();
    let served = first.connect().await.unwrap();
    let known = || {
        room.site
            .view()
            .facts(&room.site.view().machine_by_mac(MAC).unwrap().id)
            .is_some()
    };
    let mut grown = room.site.store.subscribe();
    while !known() {
        grown.changed().await.unwrap();
    }
    let mut copy = room.agent("127.0.0.1:0", "S2", "bb");
    assert_eq!(
        refused(copy.enrol(EnrolProof::None, |_| {}).await),
        RefusalCode::Disputed
    );
    assert!(
        room.site
            .view()
            .machine_by_mac(MAC)
            .unwrap()
            .disputed
            .is_some()
    );
    served.say("still here", "aa", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_was_off_for_more_than_a_year_comes_back_by_its_old_keys() {
    let room = Room::start().await;
    let fleet = [
        room.installed("11").await,
        room.installed("22").await,
        room.installed("33").await,
    ];
    let mut generations = Vec::new();
    for agent in &fleet {
        generations.push(agent.connect().await.unwrap().welcome.generation);
    }
    room.site
        .clock
        .advance(std::time::Duration::from_secs(400 * 86_400));
    let room = room.restarted().await;
    for (mut agent, before) in fleet.into_iter().zip(generations) {
        agent.controller = room.links;
        let expired = agent.connect().await.err().unwrap();
        assert!(expired.to_string().contains("expired"), "{expired}");
        agent.renew().await;
        let served = agent.connect().await.unwrap();
        assert!(served.welcome.accepted && served.welcome.generation > before);
        assert_eq!(served.welcome.level, Level::T2);
    }
    let view = room.site.store.view();
    assert_eq!(view.machines().count(), 3, "no machine came twice");
    let jumps = view
        .events_after(0)
        .filter(|e| e.draft.kind == "clock.jumped")
        .count();
    assert_eq!(jumps, 1, "a jump is told once");
    assert!(room.site.store.apply(ConfirmClock).await.unwrap());
}
