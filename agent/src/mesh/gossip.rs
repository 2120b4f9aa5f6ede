//! The agent's part in the gossip: nothing of it in leaf mode, or while no key ring was given.
//!
//! What is heard here authorises nothing. A knock or a key we lack is a reason to look whether the link still stands, or
//! to dial anew, now and then.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_net::{
    AgentLink, CallError, GossipAs, GossipEvent, GossipEvents, GossipHandle, GossipSocket,
    GossipTask, SwapError, Swapped,
};
use mesh_proto::identity::{NodeId, Role};
use mesh_proto::membership::{Event, SwapClock};
use mesh_proto::message::link::{Verdict, Welcome};
use mesh_proto::message::ring::Ring;
use mesh_proto::message::{Refusal, RefusalCode};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::session::Outcome;
use super::shared::{Shared, lock};
use crate::effects::Effects;
use crate::hex;

/// Lives that wait to be started: one, unless the machine is enrolled anew at that very moment.
const STARTS: usize = 4;

/// A name of a key we lack is no proof of anything, so it makes us dial anew at most so often.
const KEY_REST: Duration = Duration::from_secs(60);

/// Whether and where to gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GossipChoice {
    /// Only a link: no gossip and no gossip key (a tenant's own OS).
    Leaf,
    /// On this UDP port; another one when it is taken, any for 0.
    Port(u16),
}

/// Is told of members that come and go, as this agent hears it.
pub type MemberWatch = Arc<dyn Fn(&Event) + Send + Sync>;

/// Reasons to look after the link, as gossip brings them.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// A controller does not hear us, or somebody says so.
    pub(super) knock: Notify,
    /// The link's hello would bring what we lack: a key, a generation.
    pub(super) stale: Notify,
}

/// The agent's gossip.
pub(super) struct Gossip {
    choice: GossipChoice,
    from: IpAddr,
    port: Option<u16>,
    bound: Mutex<Option<GossipSocket>>,
    alive: Mutex<Option<Alive>>,
    starts: mpsc::Sender<Start>,
    inbox: Mutex<Option<mpsc::Receiver<Start>>>,
    hints: Arc<Hints>,
    watch: MemberWatch,
}

/// The task of one node id.
#[derive(Clone)]
struct Alive {
    node: NodeId,
    handle: GossipHandle,
    stop: CancellationToken,
}

struct Start {
    task: GossipTask,
    events: GossipEvents,
    stop: CancellationToken,
}

impl Gossip {
    /// Binds the port, so that the first hello can name it.
    pub(super) fn bind(choice: GossipChoice, from: IpAddr, watch: MemberWatch) -> io::Result<Self> {
        let (starts, inbox) = mpsc::channel(STARTS);
        let bound = match choice {
            GossipChoice::Leaf => None,
            GossipChoice::Port(port) => Some(socket(from, port)?),
        };
        let port = bound.as_ref().map(GossipSocket::local_addr).transpose()?;
        Ok(Self {
            choice,
            from,
            port: port.map(|addr| addr.port()),
            bound: Mutex::new(bound),
            alive: Mutex::new(None),
            starts,
            inbox: Mutex::new(Some(inbox)),
            hints: Arc::default(),
            watch,
        })
    }

    /// Runs what [`Gossip::begin`] starts; never returns.
    pub(super) async fn run(&self) {
        let Some(mut inbox) = lock(&self.inbox).take() else {
            return std::future::pending().await;
        };
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                Some(start) = inbox.recv() => {
                    tasks.spawn(start.task.run(start.stop));
                    let (hints, watch) = (Arc::clone(&self.hints), Arc::clone(&self.watch));
                    tasks.spawn(listen(start.events, hints, watch));
                }
                Some(_ended) = tasks.join_next() => {}
            }
        }
    }

    /// The UDP port for the hello; `None` in leaf mode.
    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    pub(super) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// A welcome came: gossip from now on as it says.
    pub(super) async fn begin(
        &self,
        node: NodeId,
        welcome: &Welcome,
        digest: &str,
    ) -> Result<(), String> {
        let (Some(ring), Some(port)) = (&welcome.ring, self.port) else {
            return Ok(());
        };
        let who = GossipAs {
            site: welcome.site.clone(),
            node,
            role: Role::Agent,
            generation: welcome.generation,
            addr: SocketAddr::new(welcome.seen_as.ip(), port),
        };
        let handle = self
            .handle_for(&who)
            .await
            .map_err(|error| error.to_string())?;
        let greeted = async {
            handle.hello(who.generation, who.addr).await?;
            handle.set_ring(ring).await?;
            handle.join(&welcome.seeds).await
        };
        greeted.await.map_err(|error| error.to_string())?;
        self.announce(digest).await;
        Ok(())
    }

    /// The task of this node; the one of another node (this machine was enrolled as another) ends first.
    async fn handle_for(&self, who: &GossipAs) -> io::Result<GossipHandle> {
        let before = lock(&self.alive).take();
        if let Some(alive) = before {
            if alive.node == who.node {
                let handle = alive.handle.clone();
                *lock(&self.alive) = Some(alive);
                return Ok(handle);
            }
            alive.stop.cancel();
        }
        let bound = lock(&self.bound).take();
        let socket = match (bound, self.choice) {
            (Some(socket), _) => socket,
            (None, GossipChoice::Port(_)) => socket(self.from, self.port.unwrap_or(0))?,
            (None, GossipChoice::Leaf) => return Err(io::Error::other("a leaf has no socket")),
        };
        let (task, handle, events) = socket.start(who);
        let stop = CancellationToken::new();
        let alive = Alive {
            node: who.node,
            handle: handle.clone(),
            stop: stop.clone(),
        };
        *lock(&self.alive) = Some(alive);
        let start = Start { task, events, stop };
        self.starts
            .send(start)
            .await
            .map_err(|_| io::Error::other("the gossip has stopped"))?;
        Ok(handle)
    }

    fn handle(&self) -> Option<GossipHandle> {
        lock(&self.alive).as_ref().map(|alive| alive.handle.clone())
    }

    /// Our facts have this digest now.
    pub(super) async fn announce(&self, digest: &str) {
        if let (Some(handle), Some(digest)) = (self.handle(), hex::decode(digest)) {
            let _stopped = handle.announce_facts(digest).await;
        }
    }

    /// What a controller found out about members.
    pub(super) async fn apply(&self, verdicts: Vec<Verdict>) {
        if let Some(handle) = self.handle() {
            let _stopped = handle.verdicts(verdicts).await;
        }
    }

    /// The key ring has changed.
    pub(super) async fn set_ring(&self, ring: &Ring) -> Result<(), Refusal> {
        let Some(handle) = self.handle() else {
            return Err(Refusal::new(
                RefusalCode::Unsupported,
                "this agent does not gossip",
            ));
        };
        let set = handle.set_ring(ring).await;
        set.map_err(|error| Refusal::new(RefusalCode::Failed, error.to_string()))
    }

    /// We go on purpose.
    pub(super) async fn leave(&self) {
        if let Some(handle) = self.handle() {
            let _stopped = handle.leave().await;
        }
    }
}

/// The port; when somebody else has it, any: the hello tells the others which.
fn socket(from: IpAddr, port: u16) -> io::Result<GossipSocket> {
    let at = |port| GossipSocket::bind(SocketAddr::new(from, port));
    at(port).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse => at(0),
        _ => Err(error),
    })
}

/// Turns what gossip brings into hints; members come and go without our doing.
async fn listen(mut events: GossipEvents, hints: Arc<Hints>, watch: MemberWatch) {
    let mut rested: Option<Instant> = None;
    while let Some(event) = events.recv().await {
        if let GossipEvent::Member(event) = &event {
            watch(event);
        }
        match event {
            GossipEvent::Knocked { .. } => hints.knock.notify_one(),
            GossipEvent::KeyMissed { .. } | GossipEvent::Member(Event::Expelled) => {
                if rested.is_none_or(|at| at.elapsed() >= KEY_REST) {
                    rested = Some(Instant::now());
                    hints.stale.notify_one();
                }
            }
            GossipEvent::Member(_) => {}
        }
    }
}

/// Swaps state with the controller for as long as the link stands.
pub(super) async fn swap<E: Effects>(shared: Arc<Shared<E>>, link: AgentLink) -> Outcome {
    let Some(handle) = shared.gossip.handle() else {
        return Outcome::Nothing;
    };
    let mut clock = SwapClock::new(std::time::Instant::now(), rand::random());
    loop {
        sleep_until(clock.next().into()).await;
        let swapped = mesh_net::swap(&handle, &link).await;
        let now = std::time::Instant::now();
        match swapped {
            Ok(Swapped::Later(after)) => clock.later(now, after),
            Err(SwapError::Call(CallError::Link(_)) | SwapError::Gossip(_)) => {
                return Outcome::Nothing;
            }
            Ok(_) | Err(_) => clock.done(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_does_not_keep_a_machine_out_of_the_mesh() {
        let bind =
            |choice| Gossip::bind(choice, IpAddr::from([127, 0, 0, 1]), Arc::new(|_| {})).unwrap();
        let first = bind(GossipChoice::Port(0));
        let port = first.port().unwrap();
        let second = bind(GossipChoice::Port(port));
        assert!(second.port().is_some_and(|other| other != port));
        assert_eq!(bind(GossipChoice::Leaf).port(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_named_again_and_again_makes_us_dial_once_a_minute() {
        let (tell, events) = mpsc::channel(100);
        let hints = Arc::new(Hints::default());
        let listening = tokio::spawn(listen(events, Arc::clone(&hints), Arc::new(|_| {})));
        let mut dialled = 0;
        for epoch in 0..15 {
            tell.send(GossipEvent::KeyMissed { epoch }).await.unwrap();
            let dial = hints.stale.notified();
            dialled += u32::from(
                tokio::time::timeout(Duration::from_secs(10), dial)
                    .await
                    .is_ok(),
            );
        }
        drop(tell);
        listening.await.unwrap();
        assert_eq!(dialled, 3, "at 0, 60 and 120 s");
    }
}
