//! The agent on an installed OS: join once, then stay a member for as long as the system runs.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mesh_net::{
    AgentEndpoint, BadToken, CaTrust, EnrolError, EnrolEvent, EnrolProof, NodeKey, ServiceManager,
    TlsError, tls,
};
use mesh_proto::facts::HardwareFacts;
use mesh_proto::identity::Role;
use mesh_proto::membership::Event;
use mesh_proto::message::Secret;
use mesh_proto::message::enrol::KeyKind;
use mesh_proto::message::link::{FromAgent, Habitat, Hello};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{DaemonArgs, JoinArgs};
use crate::cmdline;
use crate::effects::{self, Effects, Machine, Pretence};
use crate::fingerprint::Fingerprint;
use crate::helper;
use crate::journal::{self, Journal};
use crate::keystore::{Found, Join, KeyStore, KeyStoreError};
use crate::mesh::{
    Agent, Ending, EnrolRound, Enrolment, GossipChoice, Identity, MemberWatch, Memory, Power,
    Setup, enrol_round, local_address,
};
use crate::{boot_id, cidata, facts};

/// Time for a goodbye before the key goes.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why the agent cannot do as it was told; for people.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] KeyStoreError),
    /// A socket or a signal.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What was kept does not belong together.
    #[error("the kept key cannot be used; join again")]
    Identity(#[from] TlsError),
    /// Not a token.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// `join` on a machine that has a key.
    #[error(
        "this machine is {name} of site {site} already; `enforcer-agent leave` makes it forget"
    )]
    Joined {
        /// Its name there.
        name: String,
        /// The site.
        site: String,
    },
    /// `join` came to nothing.
    #[error("no certificate from {controller}")]
    Enrol {
        /// The controller that was asked last.
        controller: SocketAddr,
        /// Why.
        source: EnrolError,
    },
    /// Nothing to join with.
    #[error(
        "this machine has not joined a site: run `enforcer-agent join TOKEN --controller ADDRESS`"
    )]
    NotJoined,
    /// The disk came from another machine.
    #[error(
        "this disk was enrolled on another board, as machine {machine}; that key has been deleted here. Join this machine with a \
         token of its own: `enforcer-agent join TOKEN --controller ADDRESS`"
    )]
    OtherBoard {
        /// Whose key it was.
        machine: mesh_proto::identity::NodeId,
    },
    /// The site does not take this machine.
    #[error("{0}")]
    Refused(String),
}

impl DaemonError {
    /// Whether starting again changes nothing: systemd should leave it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Io(_) | Self::State(KeyStoreError::File { .. } | KeyStoreError::Busy(_))
        )
    }
}

/// `enforcer-agent join`.
///
/// # Errors
/// Why the machine has not joined.
pub async fn join(args: &JoinArgs) -> Result<(), DaemonError> {
    let facts = facts::gather(&args.lab.root);
    let store = KeyStore::open(&args.state.state)?;
    let board = Fingerprint::of(&facts);
    if let Found::Own(kept) = store.find(&board)? {
        return Err(DaemonError::Joined {
            name: kept.name,
            site: kept.site,
        });
    }
    let join = Join {
        token: args.token.clone(),
        controllers: args.controllers.clone(),
    };
    let enrolment = enrolment(join.token.as_ref())?;
    if args.later {
        store.keep_join(&join)?;
        println!("the daemon will enrol when it starts: systemctl enable --now enforcer-agent");
        return Ok(());
    }
    let from = local_address(args.lab.bind, &join.controllers);
    let own = enrol_now(from, &enrolment, &join.controllers, &facts).await?;
    println!(
        "this machine is {} ({}) of site {}",
        own.name, own.machine, own.link.own.site
    );
    println!("start the daemon: systemctl enable --now enforcer-agent");
    Memory::Folder { store, board }.keep_first(&own)?;
    Ok(())
}

fn enrolment(token: Option<&Secret>) -> Result<Enrolment, BadToken> {
    let (proof, trust) = match token {
        Some(token) => (
            EnrolProof::Token(token.clone()),
            CaTrust::from_token(token)?,
        ),
        None => (EnrolProof::None, CaTrust::Shown),
    };
    Ok(Enrolment {
        key: KeyKind::Installed,
        proof,
        trust,
    })
}

async fn enrol_now(
    from: SocketAddr,
    enrolment: &Enrolment,
    controllers: &[SocketAddr],
    facts: &HardwareFacts,
) -> Result<Identity, DaemonError> {
    let endpoint = AgentEndpoint::bind(from, tls::system_clock())?;
    let key = Arc::new(NodeKey::generate().map_err(TlsError::from)?);
    let boot_id = boot_id();
    let round = EnrolRound {
        endpoint: &endpoint,
        key: &key,
        boot_id: &boot_id,
        facts,
    };
    let told = |_, event| match event {
        EnrolEvent::Code(code) => println!("pairing code {code}"),
        EnrolEvent::Pending(text) => println!("waiting for a person: {text}"),
    };
    match enrol_round(round, enrolment, controllers, told).await {
        Ok((enrolled, by)) => Ok(Identity::issued(key, enrolled, by)),
        Err((controller, source)) => Err(DaemonError::Enrol { controller, source }),
    }
}

/// `enforcer-agent daemon`: until a signal, or an order to go down.
///
/// # Errors
/// Why the machine cannot be a member.
pub async fn run(args: &DaemonArgs) -> Result<(), DaemonError> {
    if args.pretend {
        live(args, Arc::new(Pretence::of(&args.lab.root))).await
    } else {
        live(args, Arc::new(Machine::new(Habitat::InstalledOs))).await
    }
}

async fn live<E: Effects>(args: &DaemonArgs, effects: Arc<E>) -> Result<(), DaemonError> {
    let setup = setup(args, Arc::clone(&effects))?;
    let journal = setup.journal.clone();
    let stop = CancellationToken::new();
    let agent = Agent::new(setup)?;
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let signalled = async {
        tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let manager = ServiceManager::of_this_process()?;
    let ending = tokio::select! {
        ending = agent.run(stop.clone()) => ending,
        () = signalled => Ending::Stopped,
        () = give_signs(manager.as_ref()) => Ending::Stopped,
    };
    if let Some(manager) = &manager {
        manager.stopping().ok();
    }
    match ending {
        Ending::Stopped => Ok(()),
        Ending::Power(Power::Restart) => Ok(effects.restart()?),
        Ending::Power(Power::Kernel) => Ok(effects.start_kernel()?),
        Ending::Power(Power::Off) => Ok(effects.power_off()?),
        Ending::Refused(text) => {
            journal.say(&text);
            Err(DaemonError::Refused(text))
        }
    }
}

/// Tells the service manager that the agent runs, and then that its only thread still comes round. Ready is: set up; a
/// controller that is away must not keep a system from starting. Never ends.
async fn give_signs(manager: Option<&ServiceManager>) {
    if let Some(manager) = manager {
        // A manager that does not listen is its own trouble: it restarts us.
        manager.ready().ok();
        if let Some(every) = manager.sign_every() {
            loop {
                tokio::time::sleep(every).await;
                manager.alive().ok();
            }
        }
    }
    std::future::pending::<()>().await;
}

/// The boot that this system was started by, as its kernel was told; a lab's machines have command lines of their own.
fn boot_nonce(root: &Path) -> Option<String> {
    let cmdline = std::fs::read_to_string(root.join("proc/cmdline")).ok()?;
    cmdline::parse(&cmdline).nonce
}

fn setup<E: Effects>(args: &DaemonArgs, effects: Arc<E>) -> Result<Setup<E>, DaemonError> {
    let facts = effects.facts();
    let board = Fingerprint::of(&facts);
    let store = KeyStore::open(&args.state.state)?;
    let found = store.find(&board)?;
    // A key of this board is better than any token; on another board, or new, a deployment may have left one.
    let left = || match &found {
        Found::Own(_) => None,
        Found::Nothing | Found::OtherBoard { .. } => cidata::join(&args.lab.root),
    };
    let join = store.join()?.or_else(left);
    let mut controllers = args.controllers.clone();
    controllers.extend(join.iter().flat_map(|join| join.controllers.clone()));
    let identity = match (found, &join) {
        (Found::Own(kept), _) => Some(Identity::kept(*kept)?),
        (Found::Nothing, Some(_)) => None,
        (
            Found::OtherBoard {
                controllers: known, ..
            },
            Some(_),
        ) => {
            controllers.extend(known);
            None
        }
        (Found::OtherBoard { machine, .. }, None) => {
            return Err(DaemonError::OtherBoard { machine });
        }
        (Found::Nothing, None) => return Err(DaemonError::NotJoined),
    };
    let enrolment = join
        .map(|join| enrolment(join.token.as_ref()))
        .transpose()?;
    Ok(Setup {
        has_power: args.pretend || effects::has_power(),
        effects,
        habitat: Habitat::InstalledOs,
        boot_id: boot_id(),
        nonce: boot_nonce(&args.lab.root),
        facts,
        // Numbers of a boot must not repeat when the service is started again.
        journal: Journal::new(journal::uptime_ms(), |line| eprintln!("{line}")),
        memory: Memory::Folder { store, board },
        identity,
        enrolment,
        controllers,
        gossip: if args.leaf {
            GossipChoice::Leaf
        } else {
            GossipChoice::Port(args.gossip_port)
        },
        helper: Some(helper::Place {
            folder: args.state.state.join("helper"),
            ports: helper::Ports::default(),
            tick: helper::Tick::now,
        }),
        watch: watch(args.say_members),
        bind: args.lab.bind,
        clock: tls::system_clock(),
    })
}

/// Says on standard error what the gossip tells of other agents, when somebody wants to measure it.
fn watch(wanted: bool) -> MemberWatch {
    if !wanted {
        return Arc::new(|_| {});
    }
    Arc::new(|event| match event {
        Event::Up(who) if who.role == Role::Agent => eprintln!("member {} is up", who.node),
        Event::Down(who) if who.role == Role::Agent => eprintln!("member {} is down", who.node),
        Event::Facts(note) => eprintln!("member {} has other facts", note.node),
        _ => {}
    })
}

/// `enforcer-agent leave`: the controller hears of it when one can be reached; the key goes in any case.
///
/// # Errors
/// When the folder cannot be used, or another agent uses it (the daemon: stop it first).
pub async fn leave(state: &Path) -> Result<(), DaemonError> {
    let store = KeyStore::open(state)?;
    let facts = facts::gather(Path::new("/"));
    if let Found::Own(kept) = store.find(&Fingerprint::of(&facts))? {
        let name = kept.name.clone();
        let heard = say_goodbye(Identity::kept(*kept)?, &facts).await;
        println!(
            "{name} has left{}",
            if heard {
                ""
            } else {
                "; no controller heard of it"
            }
        );
    }
    store.forget_join()?;
    Ok(store.forget()?)
}

async fn say_goodbye(own: Identity, facts: &HardwareFacts) -> bool {
    let Ok(endpoint) = AgentEndpoint::bind(([0u16; 8], 0).into(), tls::system_clock()) else {
        return false;
    };
    let hello = Hello {
        boot_id: boot_id(),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        habitat: Habitat::InstalledOs,
        gossip_port: None,
        facts_digest: facts.digest(),
        last_generation: own.last_generation,
        abilities: Vec::new(),
    };
    for &controller in &own.controllers {
        if let Ok(link) = endpoint.connect(controller, &own.link, &hello).await {
            let bye = FromAgent::Bye {
                reason: "left the site".into(),
            };
            return link.link.call(&bye, GOODBYE).await.is_ok();
        }
    }
    false
}
