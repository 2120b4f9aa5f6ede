//! What goes on beside the requests as long as a link stands: log lines to the controller, our status, state swaps, a
//! look at the hardware now and then, a new certificate in time.

use std::sync::Arc;
use std::time::Duration;

use mesh_net::{AgentLink, CallError};
use mesh_proto::message::link::{FromAgent, Habitat, LogChunk, Report};
use tokio::time::sleep;

use super::identity::Identity;
use super::orders::{certify, send_facts};
use super::session::Outcome;
use super::shared::{Shared, lock};
use crate::effects::Effects;

/// Time for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Time for an answer when it is doubted that there will be one: the controller counts down from 4.5 s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// Lines that come together travel together.
const GATHER: Duration = Duration::from_millis(100);
/// After the controller refused, or did not answer in time.
const REST: Duration = Duration::from_secs(5);
/// Disks of slow buses come late: the management OS looks for drivers for 14 s after its start.
const LATE_DRIVERS: Duration = Duration::from_secs(20);
/// Hardware that changes while it runs: a stick, a card that died.
const LOOK: Duration = Duration::from_secs(15 * 60);
/// Between attempts to renew; two thirds of a life are over, so there is time.
const RENEW_AGAIN: Duration = Duration::from_secs(600);

/// Sends log lines as they come, until the link ends.
pub(super) async fn ship_logs<E: Effects>(shared: Arc<Shared<E>>, link: AgentLink) -> Outcome {
    loop {
        shared.journal.chunk().await;
        sleep(GATHER).await;
        let (first, lines) = shared.journal.chunk().await;
        let after = first + lines.len() as u64;
        let ask = FromAgent::Log(LogChunk {
            boot_id: shared.boot_id.clone(),
            first,
            lines,
        });
        match link.call(&ask, ANSWER).await {
            Ok(_) => shared.journal.acknowledge(after),
            Err(CallError::Link(_)) => return Outcome::Nothing,
            // The lines stay; should nobody ever want them, the buffer drops the oldest.
            Err(_) => sleep(REST).await,
        }
    }
}

/// Somebody says that the controller does not hear us: anybody in the mesh can, so the link itself is asked.
pub(super) async fn sign_of_life<E: Effects>(shared: Arc<Shared<E>>, link: AgentLink) -> Outcome {
    let status = shared.view.borrow().status();
    match link.call(&FromAgent::Status(status), SIGN_OF_LIFE).await {
        Err(CallError::TimedOut) => Outcome::Silent,
        _ => Outcome::Nothing,
    }
}

/// Tells, once in a boot, that the boot config this machine was given came up: the evidence that nobody else can give.
pub(super) async fn report_boot<E: Effects>(shared: Arc<Shared<E>>, link: AgentLink) -> Outcome {
    loop {
        let Some(nonce) = lock(&shared.unreported).clone() else {
            return Outcome::Nothing;
        };
        let report = Report {
            nonce,
            failure: None,
        };
        match link.call(&FromAgent::Report(report), ANSWER).await {
            Ok(_) => shared.journal.say("this boot is reported: it came up"),
            Err(CallError::Refused(refusal)) => {
                shared
                    .journal
                    .say(&format!("this boot cannot be reported: {refusal}"));
            }
            Err(CallError::Link(_)) => return Outcome::Nothing,
            Err(_) => {
                sleep(REST).await;
                continue;
            }
        }
        lock(&shared.unreported).take();
    }
}

/// Tells what the agent is doing whenever that changes.
pub(super) async fn tell_status<E: Effects>(shared: Arc<Shared<E>>, link: AgentLink) -> Outcome {
    let mut views = shared.view.subscribe();
    let mut told = None;
    loop {
        let status = views.borrow_and_update().status();
        if told.as_ref() != Some(&status) {
            match link.call(&FromAgent::Status(status.clone()), ANSWER).await {
                Ok(_) => told = Some(status),
                Err(CallError::Link(_)) => return Outcome::Nothing,
                Err(_) => {
                    sleep(REST).await;
                    continue;
                }
            }
        }
        if views.changed().await.is_err() {
            return Outcome::Nothing;
        }
    }
}

/// Looks at the hardware again now and then, and sends the facts when they are others.
pub(super) async fn watch_hardware<E: Effects>(shared: Arc<Shared<E>>, link: AgentLink) -> Outcome {
    let mut wait = match shared.habitat {
        Habitat::ManagementOs => LATE_DRIVERS,
        Habitat::InstalledOs => LOOK,
    };
    loop {
        sleep(wait).await;
        wait = LOOK;
        if shared.look_again().await && send_facts(&shared, &link).await.is_err() {
            wait = REST;
        }
    }
}

/// Has the same key certified anew when two thirds of the certificate's life are over.
pub(super) async fn renew_in_time<E: Effects>(
    shared: Arc<Shared<E>>,
    link: AgentLink,
    identity: Arc<Identity>,
    now_unix_s: i64,
) -> Outcome {
    let own = &identity.link.own;
    sleep(until_renewal(own.not_before, own.not_after, now_unix_s)).await;
    loop {
        match certify(&shared, &link, &identity, Arc::clone(&identity.key)).await {
            Ok(renewed) => {
                shared.journal.say("the certificate is renewed");
                return Outcome::Identity(Box::new(renewed));
            }
            Err(error) => shared
                .journal
                .say(&format!("the certificate is not renewed yet: {error}")),
        }
        sleep(RENEW_AGAIN).await;
    }
}

/// From `now`, by the controller's clock: ours may be anything.
fn until_renewal(not_before: i64, not_after: i64, now: i64) -> Duration {
    let life = not_after.saturating_sub(not_before).max(0);
    let at = not_before.saturating_add(life / 3 * 2);
    Duration::from_secs(u64::try_from(at.saturating_sub(now)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        let day = 24 * 3600;
        for (now, want) in [
            (1_000, Duration::from_secs(16 * 3600)),
            (1_000 + 16 * 3600 - 1, Duration::from_secs(1)),
            (1_000 + day * 400, Duration::ZERO),
        ] {
            assert_eq!(until_renewal(1_000, 1_000 + day, now), want);
        }
        // A certificate that makes no sense must not make us renew in a circle before its life is over.
        assert_eq!(
            until_renewal(i64::MAX, i64::MIN, 0).as_secs(),
            i64::MAX.unsigned_abs()
        );
    }
}
