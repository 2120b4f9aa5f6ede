//! The controller as the authority that links ask.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use futures_util::FutureExt as _;
use mesh_net::{
    Answer, Body, CloseCode, Csr, EnrolAnswer, EnrolAsk, LinkEnd, LinkHandle, MeshAuthority,
    MeshNote, PeerCert, PeerLink,
};
use mesh_proto::message::{
    Refusal, RefusalCode,
    job::Ability,
    link::{
        ControllerReply, FactsReport, FromAgent, Hello, LogChunk, Report, Swap, SwapAnswer,
        VerdictState, Welcome,
    },
    peer::{FromInviter, ToInviter},
};
use tracing::{info, warn};

use super::{Inner, enrol::unavailable, life::Step, links::Link, lock};
use crate::{
    ca::fresh_serial,
    metrics::Counter,
    state::{
        machine::MachineId,
        member::MemberState,
        ops::{
            CallbackAnswer, LinkOpened, LinkVerdict, OpenLink, RecordFacts, RenewKey, ReportBoot,
        },
        trust::{Digest, admit::admit, key::Serial},
    },
};

/// Longest reason of a goodbye that is kept, characters.
const MAX_REASON: usize = 200;

/// The authority that a server is given: a handle, so that its answers can start work that outlives them.
pub(super) struct Authority(pub(super) Arc<Inner>);

impl MeshAuthority for Authority {
    fn admit(&self, peer: &PeerCert) -> Result<(), Refusal> {
        let (view, now) = (self.0.store.view(), self.0.store.now());
        let (serial, key) = (Serial::new(&peer.serial), Digest(peer.spki_sha256));
        admit(&view, &serial, &key, now).map(drop)
    }

    async fn enrol(&self, ask: EnrolAsk) -> EnrolAnswer {
        self.0.enrolled(ask).await
    }

    async fn hello(&self, link: &LinkHandle, hello: Hello) -> Result<Welcome, Refusal> {
        self.0.welcome(link, hello).await
    }

    async fn request(&self, link: &LinkHandle, ask: FromAgent, body: Body) -> Answer {
        let answered = self.0.answer(link, ask, body).await;
        answered.unwrap_or_else(|refusal| ControllerReply::Refused(refusal).into())
    }

    async fn renew(&self, peer: &PeerCert, csr: Csr, _from: SocketAddr) -> Result<String, Refusal> {
        let renew = RenewKey {
            serial: Serial::new(&peer.serial),
            shown: Digest(peer.spki_sha256),
            key: Digest(csr.spki_sha256),
            fresh: Serial::new(&fresh_serial()),
            boot_id: None,
        };
        let grant = self.0.apply(renew).await??;
        info!(machine = %grant.machine.name, "a key was renewed");
        Ok(self.0.issue(&grant, &csr.spki)?.certificate)
    }

    fn closed(&self, link: &LinkHandle, end: LinkEnd) {
        let newest = lock(&self.0.links).remove(link);
        let (node, newest) = (link.peer().node, newest.is_some());
        tracing::debug!(%node, newest, "a link ended: {end}");
    }

    async fn peer(&self, link: PeerLink) {
        self.0.federation.attend(link).await;
    }

    async fn peer_join(&self, join: ToInviter, from: SocketAddr) -> FromInviter {
        self.0.federation.admit(join, from).await
    }

    fn note(&self, note: MeshNote) {
        match note {
            MeshNote::Refused { why, .. } => {
                self.0.metrics.count(Counter::MeshRefusals, why.label());
            }
        }
    }
}

impl Inner {
    /// Applies a transition for somebody on a link.
    pub(super) async fn apply<T: crate::state::Transition>(
        &self,
        transition: T,
    ) -> Result<T::Outcome, Refusal> {
        let applied = self.store.apply(transition).await;
        applied.map_err(|error| unavailable(&error))
    }

    async fn welcome(
        self: &Arc<Self>,
        link: &LinkHandle,
        hello: Hello,
    ) -> Result<Welcome, Refusal> {
        let peer = link.peer();
        let opened = self
            .apply(OpenLink {
                serial: Serial::new(&peer.serial),
                key: Digest(peer.spki_sha256),
                boot_id: hello.boot_id,
                address: link.remote(),
                gossip_port: hello.gossip_port,
                agent: hello.agent,
                habitat: hello.habitat,
                facts_digest: hello.facts_digest,
                last_generation: hello.last_generation,
                abilities: Ability::known(&hello.abilities),
            })
            .await??;
        let generation = opened.member.generation;
        let gossips = hello.gossip_port.is_some();
        let newest = {
            let mut links = lock(&self.links);
            links.close(
                &opened.superseded,
                CloseCode::Superseded,
                "a newer key of this machine is used",
            );
            links.insert(Link {
                handle: link.clone(),
                generation,
                gossips,
                swapped: false,
                status: None,
                helping: None,
            })
        };
        if !newest {
            let text = "a newer link of this node stands";
            return Err(Refusal::new(RefusalCode::Busy, text));
        }
        lock(&self.life).linked(Instant::now(), peer.node, generation);
        self.after_hello(link, &opened);
        Ok(self.greeting(link, &opened, gossips))
    }

    fn greeting(&self, link: &LinkHandle, opened: &LinkOpened, gossips: bool) -> Welcome {
        let ring = gossips.then(|| self.store.view().ring().on_the_wire());
        Welcome {
            site: self.ca.site().to_owned(),
            controller: self.ca.node(),
            name: opened.machine.name.to_string(),
            level: opened.member.level,
            accepted: opened.accepted,
            generation: opened.member.generation,
            seen_as: link.remote(),
            ring,
            seeds: if gossips {
                self.gossip.seeds()
            } else {
                Vec::new()
            },
            controllers: self.controllers.clone(),
            now_unix_s: self.store.now().as_second(),
            helper: self.duty_of(&opened.machine.id),
        }
    }

    /// What the hello makes due: facts that we do not have, and a config that waits for the machine.
    fn after_hello(self: &Arc<Self>, link: &LinkHandle, opened: &LinkOpened) {
        let (inner, link) = (Arc::clone(self), link.clone());
        let (machine, wanted) = (opened.machine.id.clone(), opened.facts_wanted);
        self.work.spawn(
            async move {
                if wanted {
                    inner.pull_facts(&link).await;
                }
                inner.go_on(&machine).await;
            }
            .boxed(),
        );
    }

    async fn swap(&self, link: &LinkHandle, swap: Swap) -> SwapAnswer {
        let joining = lock(&self.links).is_joining(link);
        let answer = self.gossip.swap(swap, joining).await;
        if joining && !matches!(answer, SwapAnswer::Later { .. }) {
            lock(&self.links).has_swapped(link);
        }
        answer
    }

    async fn answer(
        self: &Arc<Self>,
        link: &LinkHandle,
        ask: FromAgent,
        body: Body,
    ) -> Result<Answer, Refusal> {
        match ask {
            FromAgent::Facts(report) => self.take_facts(link, *report).await?,
            FromAgent::Swap(swap) => {
                return Ok(ControllerReply::Swap(self.swap(link, swap).await).into());
            }
            FromAgent::Report(report) => self.take_report(link, report).await?,
            FromAgent::Log(chunk) => self.take_log(link, chunk).await?,
            FromAgent::Status(status) => lock(&self.links).set_status(link.peer().node, &status),
            FromAgent::Bye { reason } => self.take_leave(link, &reason).await?,
            FromAgent::Job => return self.give_job(link).await.map(Answer::from),
            FromAgent::JobProgress(progress) => self.take_progress(link, progress).await?,
            FromAgent::JobEnd(end) => self.take_end(link, *end).await?,
            FromAgent::Boot { ask } => return self.boot(link, ask).await.map(Answer::from),
            FromAgent::BootFile { sha256 } => return self.boot_file(link, &sha256),
            FromAgent::Helper(report) => self.take_helping(link, &report),
            FromAgent::Fetch(fetch) => return self.fetch(link, fetch).await,
            FromAgent::Have { job, ids } => {
                return self.have(link, job, &ids).await.map(Answer::from);
            }
            FromAgent::Put { job, parcels } => self.put(link, job, parcels, body).await?,
            FromAgent::Save { job, len } => {
                return self.save(link, job, len, body).await.map(Answer::from);
            }
            FromAgent::Hello(_) | FromAgent::Renew { .. } => {
                let text = "this request has no place here";
                return Err(Refusal::new(RefusalCode::Protocol, text));
            }
        }
        Ok(ControllerReply::Ok.into())
    }

    pub(super) async fn take_facts(
        self: &Arc<Self>,
        link: &LinkHandle,
        report: FactsReport,
    ) -> Result<(), Refusal> {
        let told = self
            .apply(RecordFacts {
                serial: Serial::new(&link.peer().serial),
                boot_id: report.boot_id,
                facts: report.facts,
            })
            .await?;
        if let Err(refusal) = &told {
            // A copied disk: this link is the copy's. The original's stays.
            warn!(node = %link.peer().node, "facts were refused: {refusal}");
            return told.map(drop);
        }
        let (inner, machine) = (Arc::clone(self), Self::machine_of(link.peer().node));
        self.work
            .spawn(async move { inner.go_on(&machine).await }.boxed());
        Ok(())
    }

    /// An agent's word on a boot counts for its own machine only.
    async fn take_report(&self, link: &LinkHandle, report: Report) -> Result<(), Refusal> {
        let unknown = || Refusal::new(RefusalCode::NotAllowed, "this machine has no such boot");
        let report = ReportBoot {
            serial: Serial::new(&link.peer().serial),
            nonce: report.nonce.parse().map_err(|_| unknown())?,
            failure: report.failure,
        };
        match self.apply(report).await? {
            CallbackAnswer::Closed | CallbackAnswer::Ignored => Ok(()),
            CallbackAnswer::Unknown => Err(unknown()),
        }
    }

    async fn take_log(&self, link: &LinkHandle, chunk: LogChunk) -> Result<(), Refusal> {
        let (logs, machine) = (self.logs.clone(), Self::machine_of(link.peer().node));
        let written = tokio::task::spawn_blocking(move || logs.append(&machine, &chunk)).await;
        let failed = |text: String| Refusal::new(RefusalCode::Failed, text);
        let written = written.map_err(|e| failed(e.to_string()))?;
        written.map_err(|e| failed(format!("the log cannot be kept: {e}")))
    }

    async fn take_leave(self: &Arc<Self>, link: &LinkHandle, reason: &str) -> Result<(), Refusal> {
        let node = link.peer().node;
        let Some(generation) = lock(&self.links).generation_of(link) else {
            return Ok(());
        };
        let step = lock(&self.life).left(node, generation);
        if let Some(Step::Is(..)) = step {
            let why: String = reason
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_REASON)
                .collect();
            self.apply(LinkVerdict {
                machine: MachineId::from(node),
                generation,
                state: MemberState::Left,
                why,
            })
            .await?;
            self.spread(&[(node, generation, VerdictState::Left)]);
        }
        Ok(())
    }
}
