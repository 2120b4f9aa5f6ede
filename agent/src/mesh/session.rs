//! One link, from its welcome to its end.

use std::sync::Arc;
use std::time::Duration;

use mesh_net::{AgentLink, Incoming, Link, LinkEnd};
use mesh_proto::message::link::{AgentReply, FromAgent, ToAgent};
use mesh_proto::message::{Refusal, RefusalCode};
use tokio::task::JoinSet;
use tokio::time::Instant;
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
    /// The controller did not answer when it was asked for a sign of life.
    Silent,
}

/// How a link came to its end.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// It broke, or the controller closed it.
    Lost(LinkEnd),
    /// A new link is better than this one: the controller does not hear us, we lack a key, or have a new one.
    Anew(&'static str),
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
    let linked = Instant::now();
    start_upkeep(shared, identity, &link, linked, &mut tasks);
    let hints = shared.gossip.hints();
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
                        break SessionEnd::Anew("the key is a new one");
                    }
                    restart_renewal(shared, identity, &link, linked, &mut tasks);
                }
                Ok(Outcome::Silent) => break SessionEnd::Anew("the controller does not hear this machine"),
                Ok(Outcome::Nothing) => {}
                // A panic in one task is a mistake of ours; the machine stays reachable.
                Err(error) => shared.journal.say(&format!("a task failed: {error}")),
            },
            () = hints.knock.notified() => {
                tasks.spawn(upkeep::sign_of_life(Arc::clone(shared), handle.clone()));
            }
            () = hints.stale.notified() => break SessionEnd::Anew("the gossip has a key this machine lacks"),
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
    linked: Instant,
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
    let (a, b) = handle();
    tasks.spawn(upkeep::report_boot(a, b));
    restart_renewal(shared, identity, link, linked, tasks);
}

/// By the controller's clock, as the welcome told it and the time since.
fn restart_renewal<E: Effects>(
    shared: &Arc<Shared<E>>,
    identity: &Arc<Identity>,
    link: &Link,
    linked: Instant,
    tasks: &mut JoinSet<Outcome>,
) {
    let since = i64::try_from(linked.elapsed().as_secs()).unwrap_or(i64::MAX);
    let now = link.welcome.now_unix_s.saturating_add(since);
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
    if let ToAgent::Command(order) = ask {
        let identity = Arc::clone(identity);
        tasks.spawn(obey(shared, link.clone(), identity, order, responder));
        return;
    }
    tasks.spawn(async move {
        let reply = answer(&shared, ask).await;
        // The controller sees for itself when it does not get its answer.
        let _gone = responder.finish(&reply).await;
        Outcome::Nothing
    });
}

async fn answer<E: Effects>(shared: &Shared<E>, ask: ToAgent) -> AgentReply {
    match ask {
        ToAgent::Facts => AgentReply::Facts(shared.facts_report()),
        ToAgent::Verdicts { verdicts } => {
            shared.gossip.apply(verdicts).await;
            AgentReply::Ok
        }
        ToAgent::Ring(ring) => match shared.gossip.set_ring(&ring).await {
            Ok(()) => AgentReply::Ok,
            Err(refusal) => AgentReply::Refused(refusal),
        },
        ToAgent::Jobs => {
            shared.jobs.nudge();
            AgentReply::Ok
        }
        ToAgent::Helper { duty } => match shared.helper.set_duty(duty) {
            true => AgentReply::Ok,
            false => AgentReply::Refused(Refusal::new(
                RefusalCode::Unsupported,
                "this agent cannot serve boot here",
            )),
        },
        ToAgent::Command(_) => AgentReply::Refused(Refusal::new(
            RefusalCode::Protocol,
            "an order is no question",
        )),
    }
}

/// Who goes on purpose says so, or it would be taken for a failure.
async fn goodbye<E: Effects>(shared: &Shared<E>, link: &AgentLink, end: &SessionEnd) {
    let reason = match end {
        SessionEnd::Lost(_) => return,
        SessionEnd::Anew(_) | SessionEnd::Slept => return link.close("dialling anew"),
        SessionEnd::Stopped => "the agent stops",
        SessionEnd::Power(Power::Restart) => "restarting",
        SessionEnd::Power(Power::Kernel) => "starting another kernel",
        SessionEnd::Power(Power::Off) => "powering off",
    };
    shared.show(|view| view.stage = Stage::GoingDown);
    shared.gossip.leave().await;
    let bye = FromAgent::Bye {
        reason: reason.to_owned(),
    };
    let _unheard = link.call(&bye, BYE).await;
    link.close(reason);
}
