//! Having a key certified: round after round over the known controllers until one says yes, or a word that is final.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_net::{
    AgentEndpoint, Backoff, CaTrust, EnrolAs, EnrolError, EnrolEvent, EnrolProof, NodeKey,
};
use mesh_proto::facts::HardwareFacts;
use mesh_proto::message::enrol::KeyKind;
use tokio::time::sleep;

use super::cure::{EnrolCure, after_enrol};
use super::identity::Identity;
use super::shared::Shared;
use super::view::Stage;
use crate::effects::Effects;

/// How this agent gets its certificate.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Which kind of key.
    pub key: KeyKind,
    /// Why a controller should take it.
    pub proof: EnrolProof,
    /// What is known about the site's CA.
    pub trust: CaTrust,
}

/// Who asks, and about what machine.
#[derive(Clone, Copy)]
pub struct EnrolRound<'a> {
    /// The agent's socket.
    pub endpoint: &'a AgentEndpoint,
    /// The key to certify; the same in every round, so that the pairing queue holds one entry.
    pub key: &'a NodeKey,
    /// This boot.
    pub boot_id: &'a str,
    /// The machine.
    pub facts: &'a HardwareFacts,
}

/// Asks each controller once, in turn, until one certifies the key.
///
/// # Errors
/// The last controller's failure, or the first one that names no mere trouble with the network.
pub async fn enrol_round(
    round: EnrolRound<'_>,
    enrolment: &Enrolment,
    controllers: &[SocketAddr],
    mut event: impl FnMut(SocketAddr, EnrolEvent),
) -> Result<(mesh_net::Enrolled, SocketAddr), (SocketAddr, EnrolError)> {
    let who = EnrolAs {
        key: enrolment.key,
        proof: enrolment.proof.clone(),
        trust: enrolment.trust.clone(),
        boot_id: round.boot_id.to_owned(),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        facts: round.facts.identity_part(),
    };
    let mut last = None;
    for &controller in controllers {
        let told = |what| event(controller, what);
        match mesh_net::enrol(round.endpoint, controller, round.key, &who, told).await {
            Ok(enrolled) => return Ok((enrolled, controller)),
            Err(error @ EnrolError::Link(_)) => last = Some((controller, error)),
            Err(error) => return Err((controller, error)),
        }
    }
    Err(last.unwrap_or_else(|| {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let text = "no controller is known".to_owned();
        (nobody, mesh_net::LinkError::Broken(text).into())
    }))
}

/// Tries until there is an identity.
///
/// # Errors
/// The word that is final, for people.
pub(super) async fn until_certified<E: Effects>(
    shared: &Shared<E>,
    endpoint: &AgentEndpoint,
    mut enrolment: Enrolment,
    controllers: &[SocketAddr],
) -> Result<Identity, String> {
    let key = Arc::new(NodeKey::generate().map_err(|error| error.to_string())?);
    let mut backoff = Backoff::default();
    loop {
        shared.show(|view| view.stage = Stage::Enrolling);
        let facts = shared.facts();
        let round = EnrolRound {
            endpoint,
            key: &key,
            boot_id: &shared.boot_id,
            facts: &facts,
        };
        let told = |controller, what| note(shared, controller, what);
        match enrol_round(round, &enrolment, controllers, told).await {
            Ok((enrolled, by)) => {
                shared.show(|view| view.error = None);
                return Ok(Identity::issued(key, enrolled, by));
            }
            Err((controller, error)) => {
                shared.complain(&format!("enrolment at {controller}: {error}"));
                match after_enrol(&error, &enrolment.proof) {
                    EnrolCure::Again => sleep(backoff.next_wait(jitter())).await,
                    EnrolCure::After(wait) => sleep(wait + backoff.next_wait(jitter())).await,
                    EnrolCure::WithoutProof => enrolment.proof = EnrolProof::None,
                    EnrolCure::GiveUp => return Err(error.to_string()),
                }
            }
        }
    }
}

fn note<E: Effects>(shared: &Shared<E>, controller: SocketAddr, what: EnrolEvent) {
    shared.show(|view| {
        view.controller = Some(controller);
        match &what {
            EnrolEvent::Code(code) => view.code = Some(code.to_string()),
            EnrolEvent::Pending(text) => {
                view.stage = Stage::Waiting(text.clone());
                view.error = None;
            }
        }
    });
    if let EnrolEvent::Pending(text) = what {
        shared.journal.say(&format!("waiting for a person: {text}"));
    }
}

/// Spreads waits; no secret.
fn jitter() -> u32 {
    rand::random()
}
