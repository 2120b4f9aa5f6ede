//! Obeying: an order from the link, through [`dispatch`](crate::dispatch), to the effects, and the replies on the way.

use std::sync::Arc;
use std::time::Duration;

use mesh_net::{AgentLink, CallError, NodeKey, Responder};
use mesh_proto::identity::Role;
use mesh_proto::message::command::Order;
use mesh_proto::message::link::{AgentReply, ControllerReply, FromAgent};
use mesh_proto::message::{Refusal, RefusalCode};
use tokio::time::{Instant, sleep, sleep_until};

use super::identity::Identity;
use super::session::Outcome;
use super::shared::{Shared, lock};
use crate::dispatch::{Action, Receipt};
use crate::effects::Effects;

/// Time for a certificate: the controller's store has to have it first.
const CERTIFY: Duration = Duration::from_secs(15);
/// On and off.
const BLINK: Duration = Duration::from_millis(500);

/// How the machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It comes back.
    Restart,
    /// The kernel that was loaded beside the running one starts, without the firmware.
    Kernel,
    /// It stays off.
    Off,
}

/// One order and its replies.
pub(super) async fn obey<E: Effects>(
    shared: Arc<Shared<E>>,
    link: AgentLink,
    identity: Arc<Identity>,
    order: Order,
    responder: Responder,
) -> Outcome {
    let name = order.command.name();
    let now = std::time::Instant::now();
    let receipt = Receipt {
        // Only a controller's certificate makes a link: TLS has seen to it.
        from: Role::Controller,
        received: now,
        now,
    };
    let action = lock(&shared.node).dispatch(&order, &receipt);
    let done = match action {
        Ok(action) => {
            shared.journal.say(&format!("order {}: {name}", order.id));
            shared.touch();
            act(&shared, &link, &identity, action).await
        }
        Err(refusal) => {
            shared
                .journal
                .say(&format!("order {} refused ({name}): {refusal}", order.id));
            Err(refusal)
        }
    };
    let (reply, outcome) = match done {
        Ok((text, outcome)) => (AgentReply::Done { text }, outcome),
        Err(refusal) => (AgentReply::Refused(refusal), Outcome::Nothing),
    };
    match (responder.finish(&reply).await, outcome) {
        // Nobody knows that we would go down: then we do not.
        (Err(error), Outcome::Power(_)) => {
            shared.journal.say(&format!(
                "order {}: not done, its reply could not be sent: {error}",
                order.id
            ));
            Outcome::Nothing
        }
        (_, outcome) => outcome,
    }
}

type Acted = Result<(String, Outcome), Refusal>;

async fn act<E: Effects>(
    shared: &Arc<Shared<E>>,
    link: &AgentLink,
    identity: &Identity,
    action: Action,
) -> Acted {
    let quietly = |text: &str| Ok((text.to_owned(), Outcome::Nothing));
    match action {
        Action::Reboot => Ok(("restarting".into(), Outcome::Power(Power::Restart))),
        Action::PowerOff => Ok(("powering off".into(), Outcome::Power(Power::Off))),
        Action::Identify(time) => {
            let until = (!time.is_zero()).then(|| Instant::now() + time);
            shared.identify.send_replace(until);
            quietly(&format!("showing itself for {} s", time.as_secs()))
        }
        Action::Inventory => {
            let changed = shared.look_again().await;
            send_facts(shared, link).await.map_err(failed)?;
            quietly(if changed {
                "the hardware has changed"
            } else {
                "the hardware is the same"
            })
        }
        Action::Wake(mac) => {
            let effects = Arc::clone(&shared.effects);
            let sent = tokio::task::spawn_blocking(move || effects.wake(mac)).await;
            sent.map_err(failed)?.map_err(failed)?;
            quietly("magic packet sent")
        }
        Action::RotateKeys => {
            let key = Arc::new(NodeKey::generate().map_err(failed)?);
            let renewed = certify(shared, link, identity, key).await.map_err(failed)?;
            Ok((
                "a new key is certified".into(),
                Outcome::Identity(Box::new(renewed)),
            ))
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Failed, error.to_string())
}

/// Sends the facts as they are now.
pub(super) async fn send_facts<E: Effects>(
    shared: &Shared<E>,
    link: &AgentLink,
) -> Result<(), CallError> {
    let ask = FromAgent::Facts(shared.facts_report());
    link.call(&ask, CERTIFY).await.map(drop)
}

/// Has a key certified over the link, in place of the one that holds it. Durable when it returns.
pub(super) async fn certify<E: Effects>(
    shared: &Shared<E>,
    link: &AgentLink,
    identity: &Identity,
    key: Arc<NodeKey>,
) -> Result<Identity, String> {
    let ask = FromAgent::Renew {
        csr: key.csr_pem().map_err(|error| error.to_string())?,
    };
    let answer = link
        .call(&ask, CERTIFY)
        .await
        .map_err(|error| error.to_string())?;
    let ControllerReply::Renewed { certificate } = answer else {
        return Err("the controller answered something else".into());
    };
    let renewed = identity
        .renewed(key, certificate)
        .map_err(|error| error.to_string())?;
    shared
        .memory
        .keep(&renewed)
        .map_err(|error| error.to_string())?;
    Ok(renewed)
}

/// Blinks whenever somebody looks for this machine; never returns.
pub(super) async fn blink<E: Effects>(shared: &Shared<E>) {
    let mut wanted = shared.identify.subscribe();
    loop {
        let until = *wanted.borrow_and_update();
        let Some(until) = until.filter(|until| *until > Instant::now()) else {
            shared.show(|view| view.identify = false);
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        shared.show(|view| view.identify = true);
        for on in [true, false] {
            let effects = Arc::clone(&shared.effects);
            // A machine without a lamp still has its screen.
            let _dark = tokio::task::spawn_blocking(move || effects.lamp(on)).await;
            tokio::select! {
                () = sleep(BLINK) => {}
                () = sleep_until(until) => {}
            }
        }
    }
}
