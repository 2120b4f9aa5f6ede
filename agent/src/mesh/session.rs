//! One link, from its welcome to its end.

use std::sync::Arc;
use std::time::Duration;

use mesh_net::{AgentLink, Incoming, Link, LinkEnd};
use mesh_proto::message::link::{AgentReply, FromAgent, ToAgent};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::orders::{Power, obey};
use super::shared::Shared;
use super::view::Stage;
use super::{lookout, upkeep};
use crate::effects::Effects;

/// Time for a goodbye.
const BYE: Duration = Duration::from_secs(1);

/// What a task of a link leaves behind.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing to be done.
    Nothing,
    /// The machine goes down; everybody who should know it knows.
    Power(Power),
    /// A new certificate, already kept.
    Identity(Box<Identity>),
}

/// How a link came to its end.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// It broke, or the controller closed it.
    Lost(LinkEnd),
    /// The controller does not hear us, as it says by a knock: we begin anew at once.
    Knocked,
    /// The machine slept.
    Slept,
    /// The process stops.
    Stopped,
    /// The machine goes down.
    Power(Power),
}

/// Serves a link until it ends. A new certificate is used from the next link on.
pub(super) async fn serve<E: Effects>(
    shared: &Arc<Shared<E>>,
    identity: &mut Arc<Identity>,
    mut link: Link,
    stop: &CancellationToken,
) -> SessionEnd {
    let handle = link.link.clone();
    let mut tasks = JoinSet::new();
    start_upkeep(shared, identity, &link, &mut tasks);
    let slept = lookout::slept();
    tokio::pin!(slept);
    let end = loop {
        tokio::select! {
            next = link.next() => match next {
                Ok(incoming) => receive(shared, identity, &handle, incoming, &mut tasks),
                Err(end) => break SessionEnd::Lost(end),
            },
            Some(done) = tasks.join_next() => match done {
                Ok(Outcome::Power(power)) => break SessionEnd::Power(power),
                Ok(Outcome::Identity(renewed)) => {
                    let rekeyed = renewed.link.own.spki_sha256 != identity.link.own.spki_sha256;
                    *identity = Arc::from(renewed);
                    if rekeyed {
                        break SessionEnd::Knocked;
                    }
                    restart_renewal(shared, identity, &link, &mut tasks);
                }
                Ok(Outcome::Nothing) => {}
                // A panic in one task is a mistake of ours; the machine stays reachable.
                Err(error) => shared.journal.say(&format!("a task failed: {error}")),
            },
            () = shared.gossip.knocked() => break SessionEnd::Knocked,
            () = &mut slept => break SessionEnd::Slept,
            () = stop.cancelled() => break SessionEnd::Stopped,
        }
    };
    goodbye(shared, &handle, &end).await;
    end
}

fn start_upkeep<E: Effects>(
    shared: &Arc<Shared<E>>,
    identity: &Arc<Identity>,
    link: &Link,
    tasks: &mut JoinSet<Outcome>,
) {
    let handle = || (Arc::clone(shared), link.link.clone());
    let (a, b) = handle();
    tasks.spawn(upkeep::ship_logs(a, b));
    let (a, b) = handle();
    tasks.spawn(upkeep::tell_status(a, b));
    let (a, b) = handle();
    tasks.spawn(upkeep::watch_hardware(a, b));
    let (a, b) = handle();
    tasks.spawn(super::gossip::swap(a, b));
    restart_renewal(shared, identity, link, tasks);
}

fn restart_renewal<E: Effects>(
    shared: &Arc<Shared<E>>,
    identity: &Arc<Identity>,
    link: &Link,
    tasks: &mut JoinSet<Outcome>,
) {
    let now = link.welcome.now_unix_s;
    tasks.spawn(upkeep::renew_in_time(
        Arc::clone(shared),
        link.link.clone(),
        Arc::clone(identity),
        now,
    ));
}

/// Each request is answered by a task of its own; QUIC bounds how many there are.
fn receive<E: Effects>(
    shared: &Arc<Shared<E>>,
    identity: &Arc<Identity>,
    link: &AgentLink,
    incoming: Incoming,
    tasks: &mut JoinSet<Outcome>,
) {
    let Incoming { ask, responder } = incoming;
    let shared = Arc::clone(shared);
    let reply = match ask {
        ToAgent::Command(order) => {
            tasks.spawn(obey(
                shared,
                link.clone(),
                Arc::clone(identity),
                order,
                responder,
            ));
            return;
        }
        ToAgent::Facts => AgentReply::Facts(shared.facts_report()),
        ToAgent::Verdicts { verdicts } => {
            shared.gossip.apply(verdicts);
            AgentReply::Ok
        }
        ToAgent::Ring(ring) => match shared.gossip.set_ring(&ring) {
            Ok(()) => AgentReply::Ok,
            Err(refusal) => AgentReply::Refused(refusal),
        },
    };
    tasks.spawn(async move {
        // The controller sees for itself when it does not get its answer.
        let _gone = responder.finish(&reply).await;
        Outcome::Nothing
    });
}

/// Who goes on purpose says so, or it would be taken for a failure.
async fn goodbye<E: Effects>(shared: &Shared<E>, link: &AgentLink, end: &SessionEnd) {
    let reason = match end {
        SessionEnd::Lost(_) => return,
        SessionEnd::Knocked | SessionEnd::Slept => return link.close("dialling anew"),
        SessionEnd::Stopped => "the agent stops",
        SessionEnd::Power(Power::Restart) => "restarting",
        SessionEnd::Power(Power::Off) => "powering off",
    };
    shared.show(|view| view.stage = Stage::GoingDown);
    shared.gossip.leave();
    let bye = FromAgent::Bye {
        reason: reason.to_owned(),
    };
    let _unheard = link.call(&bye, BYE).await;
    link.close(reason);
}
