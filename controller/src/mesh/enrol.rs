//! Enrolment: what the socket has checked becomes a transition; what that decided becomes a certificate, a wait or a no.

use std::sync::Arc;

use futures_util::FutureExt as _;
use mesh_net::CloseCode;
use mesh_net::{EnrolAnswer, EnrolAsk, EnrolOutcome as Word};
use mesh_proto::message::{
    Refusal, RefusalCode,
    enrol::{Issued, Proof},
};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{Inner, lock};
use crate::{
    boot::fresh_machine_id,
    ca::{Leaf, Subject, fresh_serial},
    metrics::Counter,
    state::{
        ops::{Claim, Enrol, EnrolOutcome, Grant, Withdraw},
        trust::{Digest, key::Serial, pending::Pending},
    },
    store::StoreError,
};

impl Inner {
    pub(super) async fn enrolled(self: &Arc<Self>, ask: EnrolAsk) -> EnrolAnswer {
        let (spki, from) = (ask.csr.spki.clone(), ask.from);
        let answer = match self.store.apply(self.request(ask)).await {
            Ok(EnrolOutcome::Granted(grant)) => self.granted(&grant, &spki),
            Ok(EnrolOutcome::Pending(pending)) => self.wait(&pending, spki),
            Ok(EnrolOutcome::Refused(refusal)) => EnrolAnswer::Refused(refusal),
            Err(error) => EnrolAnswer::Refused(unavailable(&error)),
        };
        let label = match &answer {
            EnrolAnswer::Issued(issued) => {
                info!(machine = %issued.name, %from, level = ?issued.level, "a key was enrolled");
                "issued"
            }
            EnrolAnswer::Pending { text, .. } => {
                info!(%from, why = text, "a key waits for a person");
                "pending"
            }
            EnrolAnswer::Refused(refusal) => {
                warn!(%from, code = ?refusal.code, "a key was refused: {refusal}");
                "refused"
            }
        };
        self.metrics.count(Counter::Enrolments, label);
        answer
    }

    fn request(&self, ask: EnrolAsk) -> Enrol {
        let claim = self.claim(&ask);
        let from = ask.from.ip().to_canonical();
        Enrol {
            key: Digest(ask.csr.spki_sha256),
            serial: Serial::new(&fresh_serial()),
            kind: ask.enrol.key,
            claim,
            boot_id: ask.enrol.boot_id,
            agent: ask.enrol.agent,
            facts: ask.enrol.facts,
            code: ask.code.to_string(),
            from,
            known_as: (self.known_as)(from),
            fresh_id: fresh_machine_id(),
        }
    }

    fn claim(&self, ask: &EnrolAsk) -> Claim {
        match &ask.enrol.proof {
            Proof::Boot { mac, hmac } => {
                let Ok(mac) = mac.parse() else {
                    return Claim::None;
                };
                let view = self.store.view();
                let boot = view.machine_by_mac(mac).and_then(|m| m.discovery.as_ref());
                let secret = boot.and_then(|b| b.secret.as_ref()).map(|s| &s.secret);
                let shown = secret.filter(|s| ask.shows_secret(hmac, s.expose()));
                Claim::Boot {
                    mac,
                    shown: shown.cloned(),
                }
            }
            Proof::Token { token } => Claim::Token(token.clone()),
            Proof::None => Claim::None,
        }
    }

    fn granted(&self, grant: &Grant, spki: &[u8]) -> EnrolAnswer {
        match self.issue(grant, spki) {
            Ok(issued) => EnrolAnswer::Issued(issued),
            Err(refusal) => EnrolAnswer::Refused(refusal),
        }
    }

    /// Signs what was written down, and ends what it took the place of.
    pub(super) fn issue(&self, grant: &Grant, spki: &[u8]) -> Word {
        let (key, machine) = (&grant.key, &grant.machine);
        let superseded = "a newer key of this machine was enrolled";
        lock(&self.links).close(&grant.superseded, CloseCode::Superseded, superseded);
        let certificate = self.ca.issue(&Leaf {
            subject: Subject::Agent(machine.id.node()),
            spki,
            serial: key.serial.as_str(),
            issued: key.issued.as_second(),
            expires: key.expires.as_second(),
        });
        let certificate = certificate.map_err(|error| {
            error!(%error, machine = %machine.name, "a certificate could not be signed");
            Refusal::new(
                RefusalCode::Failed,
                "the controller could not sign; its log says why",
            )
        })?;
        Ok(Box::new(Issued {
            certificate,
            ca: self.ca.pem().to_owned(),
            site: self.ca.site().to_owned(),
            machine: machine.id.node(),
            name: machine.name.to_string(),
            level: key.level,
            controllers: self.controllers.iter().map(ToString::to_string).collect(),
        }))
    }

    /// Keeps the stream until a person decides or its agent goes away.
    fn wait(self: &Arc<Self>, pending: &Pending, spki: Vec<u8>) -> EnrolAnswer {
        let key = pending.key;
        let (ticket, told) = lock(&self.waiting).add(key, spki);
        let (tell, decided) = oneshot::channel();
        let inner = Arc::clone(self);
        self.work.spawn(inner.hold(key, ticket, told, tell).boxed());
        let view = self.store.view();
        let name = view.machine_name(&pending.machine);
        EnrolAnswer::Pending {
            text: format!(
                "{}; on the controller: enforcer machines accept {name} --code {}",
                pending.why, "<the code on this screen>"
            ),
            decided,
        }
    }

    async fn hold(
        self: Arc<Self>,
        key: Digest,
        ticket: u64,
        told: oneshot::Receiver<Word>,
        mut tell: oneshot::Sender<Word>,
    ) {
        tokio::select! {
            word = told => {
                // Without a word a newer stream of the same key took over, or we stop.
                if let Ok(word) = word {
                    let _gone = tell.send(word);
                }
            }
            () = tell.closed() => {
                if lock(&self.waiting).let_go(&key, ticket)
                    && let Err(error) = self.store.apply(Withdraw(key)).await
                {
                    warn!(%error, "a key that waits no more could not be taken off the list");
                }
            }
        }
    }
}

pub(super) fn unavailable(error: &StoreError) -> Refusal {
    Refusal::new(
        RefusalCode::Busy,
        format!("the controller cannot write now: {error}"),
    )
}
