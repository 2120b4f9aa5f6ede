//! A peer's questions, answered. What it may know and have is decided in `state::ops`; what it sends is parsed here.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use ipxe::BootPlan;
use ipxe_net::BootFile;
use mesh_net::{Flow, PeerLink, PeerResponder};
use mesh_proto::message::{
    Refusal, RefusalCode,
    peer::{BASE, MAX_HOPS, PeerAsk, PeerReply, Question},
};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::{Federation, Inner, LookedUp, lock, question::arch_of};
use crate::{
    assets::Sha256Hex,
    state::{
        activation::{Activation, Nonce},
        boot::{BootRequest, decide},
        config::Asset,
        ops::{GrantBoot, TakeEvidence, TakeMacs, granted_file, offered},
        peer::{NamedMacs, Peers, SiteName, Trail},
    },
};

/// Longest session that a peer may name, characters.
const MAX_SESSION: usize = 64;
/// Sites on a question's way; more cannot be with so few hops.
const MAX_VISITED: usize = MAX_HOPS as usize + 1;
/// Pieces in which a file is read, bytes, and how many of them wait for the link.
const PIECE: usize = 128 << 10;
const PIECES: usize = 4;

fn refused(code: RefusalCode, text: &str) -> PeerReply {
    PeerReply::Refused(Refusal::new(code, text))
}

fn nothing(why: impl Into<String>) -> PeerReply {
    PeerReply::Nothing { why: why.into() }
}

impl Federation {
    /// Answers one question of the peer behind `link`.
    pub(super) async fn answer(
        &self,
        site: &SiteName,
        link: &PeerLink,
        ask: PeerAsk,
        to: PeerResponder,
    ) {
        // Whatever came before the close counts, nothing after.
        if link.end().is_some() || !self.0.is_joined(site) {
            return self.0.unanswered(site);
        }
        let reply = match ask {
            PeerAsk::Peek(question) => self.owned(site, question, false).await,
            PeerAsk::Claim(question) => self.owned(site, question, true).await,
            PeerAsk::Evidence(evidence) => {
                let take = TakeEvidence {
                    site: site.clone(),
                    evidence,
                };
                match self.0.store.apply(take).await {
                    Ok(true) => PeerReply::Noted,
                    Ok(false) => refused(RefusalCode::NotAllowed, "you were granted no such boot"),
                    Err(error) => refused(RefusalCode::Busy, &error.to_string()),
                }
            }
            PeerAsk::Macs { macs } => self.0.named(site, &macs).await,
            PeerAsk::File { nonce, index, from } => match self.file(site, &nonce, index).await {
                Ok(file) if from <= file.size() => {
                    let len = file.size() - from;
                    self.0.answered(site, &PeerReply::Follows { len });
                    return send(file, from, to, Arc::clone(&self.0)).await;
                }
                Ok(_) => refused(RefusalCode::Protocol, "the file is not so long"),
                Err(why) => refused(RefusalCode::NotAllowed, &why),
            },
            PeerAsk::Machines { after, limit } => {
                let shown = self.0.machines_for(site, after.as_deref(), limit);
                shown.unwrap_or_else(PeerReply::Refused)
            }
            PeerAsk::Events { after } => return self.tell_events(site, link, after, to).await,
            PeerAsk::Image { name, version } => {
                let shown = self.image(site, (&name, version)).await;
                shown.unwrap_or_else(PeerReply::Refused)
            }
            PeerAsk::Manifest { name, version } => {
                match self.manifest(site, (&name, Some(version))).await {
                    Ok(flow) => return to.follow(flow.len.unwrap_or_default(), flow).await,
                    Err(refusal) => PeerReply::Refused(refusal),
                }
            }
            PeerAsk::Chunks { name, version, ids } => {
                match self.chunks(site, (&name, Some(version)), &ids).await {
                    Ok(flow) => return to.follow(0, flow).await,
                    Err(refusal) => PeerReply::Refused(refusal),
                }
            }
        };
        self.0.answered(site, &reply);
        to.reply(&reply).await;
    }

    /// What we have for a machine that asks at a peer.
    async fn owned(&self, site: &SiteName, question: Question, claim: bool) -> PeerReply {
        let mut request = match self.0.request(site, &question) {
            Ok(request) => request,
            Err(why) => return nothing(why),
        };
        let view = self.0.store.view();
        let machine = view.machine_by_mac(request.mac);
        let may_ask = |m| view.peer(site).is_some_and(|p| p.may_ask_for(m));
        let decision = decide(&request, &view, self.0.store.now());
        if decision.plan == BootPlan::AskPeers && machine.is_some_and(|m| may_ask(m)) {
            match self.look_up(&request, claim).await {
                LookedUp::Offered(_, config) => {
                    return PeerReply::Offer {
                        config,
                        writes_disk: false,
                    };
                }
                other => request.peers = Peers::Asked(other.into_answers()),
            }
        }
        match claim {
            true => self.0.grant(site, request).await,
            false => self.0.offer(site, &request),
        }
    }

    async fn file(&self, site: &SiteName, nonce: &str, index: u32) -> Result<BootFile, String> {
        let unknown = || "you were granted no such file".to_owned();
        let nonce: Nonce = nonce.parse().map_err(|_| unknown())?;
        let (activation, asset) = {
            let view = self.0.store.view();
            let found = granted_file(&view, site, &nonce, index).ok_or_else(unknown)?;
            (Activation::clone(found.0), Asset::clone(found.1))
        };
        // It may be another site's, and on its way to us.
        if activation.taken.is_some() {
            let opened = self.open(&activation, &asset).await;
            return opened.map_err(|e| e.to_string());
        }
        let gone = || "the file is missing here".to_owned();
        let sum = asset.sha256.as_deref().unwrap_or_default();
        let sum: Sha256Hex = sum.parse().map_err(|_| gone())?;
        BootFile::open(&self.0.assets.path(&sum)).map_err(|_| gone())
    }
}

impl Inner {
    pub(super) fn is_joined(&self, site: &SiteName) -> bool {
        self.store.view().peer(site).is_some_and(|p| p.is_joined())
    }

    async fn named(&self, site: &SiteName, macs: &[String]) -> PeerReply {
        let Some(named) = NamedMacs::parse(site.clone(), macs) else {
            return refused(
                RefusalCode::Protocol,
                "these are too many, or no MAC addresses",
            );
        };
        let count = named.macs.len();
        match self.store.apply(TakeMacs(named)).await {
            Ok(true) => {
                debug!(%site, count, "a peer has named machines");
                lock(&self.cache).forget();
                PeerReply::Noted
            }
            Ok(false) => refused(RefusalCode::Revoked, "this site was revoked"),
            Err(error) => refused(RefusalCode::Busy, &error.to_string()),
        }
    }

    /// A peer's question as ours.
    fn request(&self, site: &SiteName, question: &Question) -> Result<BootRequest, String> {
        let mac = question.mac.parse().map_err(|_| "this is no MAC address")?;
        if question.visited.len() > MAX_VISITED {
            return Err("the question has come too far".to_owned());
        }
        let visited: Result<Vec<SiteName>, _> =
            question.visited.iter().map(|s| s.parse()).collect();
        let mut visited = visited.map_err(|_| "the question names no sites")?;
        if visited.contains(&self.site) {
            return Err("the question has come back to this site".to_owned());
        }
        // Who asks is who its certificate says, whatever it says itself.
        if !visited.contains(site) {
            visited.push(site.clone());
        }
        let named = question.session.as_deref().unwrap_or("peek").chars();
        let session: String = named
            .filter(char::is_ascii_alphanumeric)
            .take(MAX_SESSION)
            .collect();
        Ok(BootRequest {
            mac,
            arch: question.arch.as_deref().and_then(arch_of),
            session: Some(format!("{site}-{session}")),
            // A management OS is its own site's affair.
            after_management: true,
            base: BASE.to_owned(),
            known_address: None,
            controller: None,
            peers: Peers::Ask(Trail {
                visited,
                hops: MAX_HOPS - question.hops.min(MAX_HOPS - 1),
            }),
        })
    }

    fn offer(&self, site: &SiteName, request: &BootRequest) -> PeerReply {
        let view = self.store.view();
        match offered(&view, site, request, self.store.now()) {
            Ok(due) => PeerReply::Offer {
                config: due.config.name.to_string(),
                writes_disk: due.config.writes_disk,
            },
            Err(why) => nothing(why),
        }
    }

    async fn grant(&self, site: &SiteName, request: BootRequest) -> PeerReply {
        let mac = request.mac;
        let grant = GrantBoot {
            site: site.clone(),
            request,
        };
        match self.store.apply(grant).await {
            Ok(Ok(grant)) => {
                info!(%site, %mac, config = %grant.config, "a boot is granted to a peer");
                PeerReply::Grant(grant)
            }
            Ok(Err(why)) => nothing(why),
            Err(error) => refused(RefusalCode::Busy, &error.to_string()),
        }
    }
}

/// Sends a file from a place on, piece by piece: one that is still on its way to us as it comes.
async fn send(file: BootFile, from: u64, to: PeerResponder, inner: Arc<Inner>) {
    let len = file.size() - from;
    let (pieces, bytes) = mpsc::channel(PIECES);
    let reading = tokio::spawn(
        async move {
            let mut at = from;
            while at < file.size() {
                // Cut short, the other side sees that bytes are missing.
                let Ok(piece) = read(&file, at).await else {
                    return;
                };
                at += piece.len() as u64;
                inner.file_bytes("files-out", piece.len());
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
        }
        .boxed(),
    );
    let flow = Flow {
        len: Some(len),
        bytes,
    };
    to.follow(len, flow).await;
    reading.abort();
}

/// The next piece, read on a thread that may wait for the disk.
async fn read(file: &BootFile, at: u64) -> io::Result<Bytes> {
    let there = file.readable_behind(at).await? - at;
    let len = usize::try_from(there).map_or(PIECE, |n| n.min(PIECE));
    let file = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; len];
        let n = file.read_at(&mut piece, at)?;
        piece.truncate(n);
        match n {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(Bytes::from(piece)),
        }
    });
    read.await?
}
