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
        // Before the key is written down: a person's word may come as soon as it is.
        let stream = Listening::open(self, Digest(ask.csr.spki_sha256), &spki);
        let answer = match self.store.apply(self.request(ask)).await {
            Ok(EnrolOutcome::Granted(grant)) => self.granted(&grant, &spki),
            Ok(EnrolOutcome::Pending(pending)) => self.wait(&pending, stream),
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
    fn wait(self: &Arc<Self>, pending: &Pending, stream: Listening) -> EnrolAnswer {
        let (tell, decided) = oneshot::channel();
        self.work.spawn(stream.hold(tell).boxed());
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
}

/// A stream whose key may be decided about; dropped, nobody listens any more.
struct Listening {
    inner: Arc<Inner>,
    key: Digest,
    ticket: u64,
    told: oneshot::Receiver<Word>,
}

impl Listening {
    fn open(inner: &Arc<Inner>, key: Digest, spki: &[u8]) -> Self {
        let (ticket, told) = lock(&inner.waiting).add(key, spki.to_vec());
        let inner = Arc::clone(inner);
        Self {
            inner,
            key,
            ticket,
            told,
        }
    }

    async fn hold(mut self, mut tell: oneshot::Sender<Word>) {
        tokio::select! {
            word = &mut self.told => {
                // Without a word a newer stream of the same key took over, or we stop.
                if let Ok(word) = word {
                    let _gone = tell.send(word);
                }
            }
            () = tell.closed() => self.withdraw().await,
        }
    }

    /// The agent went away: its key is taken off the list, unless it waits on a newer stream.
    async fn withdraw(&self) {
        if lock(&self.inner.waiting).let_go(&self.key, self.ticket)
            && let Err(error) = self.inner.store.apply(Withdraw(self.key)).await
        {
            warn!(%error, "a key that waits no more could not be taken off the list");
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        lock(&self.inner.waiting).let_go(&self.key, self.ticket);
    }
}

pub(super) fn unavailable(error: &StoreError) -> Refusal {
    Refusal::new(
        RefusalCode::Busy,
        format!("the controller cannot write now: {error}"),
    )
}
