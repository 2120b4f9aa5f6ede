//! What a peer's people look at, shown: machines, events as they happen, versions of images. What they may see is decided in
//! [`state::shown`](crate::state::shown), anew for each answer: a permission that is taken back ends with the next one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::image::{ChunkId, parcel::MAX_PARCELS};
use mesh_net::{Flow, PeerLink, PeerResponder};
use mesh_proto::message::{
    Refusal, RefusalCode,
    peer::{MAX_ROWS, PeerReply, ShownImage},
};
use tracing::debug;

use super::{Federation, Inner, lock};
use crate::{
    images::{Images, ImagesError},
    state::{
        peer::{Peer, SiteName},
        shown::{Told, given_image, rows, told},
    },
};

/// Subscriptions of one peer at once: half of a link's streams, so that questions always find one.
const MAX_WATCHING: usize = 8;
/// How often a subscriber is told that nothing happened.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Who has not taken an answer after this does not read: it comes back with its number.
const TAKES: Duration = Duration::from_secs(10);

/// A version of an image, as a peer names it.
pub(super) type Named<'a> = (&'a str, Option<u32>);

/// How many subscriptions each peer has.
pub(super) type Watching = HashMap<SiteName, usize>;

/// One of them, until it is dropped.
struct Watches<'a>(&'a Inner, SiteName);

impl Drop for Watches<'_> {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.0.watching).get_mut(&self.1) {
            *count -= 1;
        }
    }
}

fn not_allowed(text: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::NotAllowed, text)
}

impl Inner {
    fn asker(&self, site: &SiteName) -> Result<Arc<Peer>, Refusal> {
        let view = self.store.view();
        let peer = view.peer(site).filter(|p| p.is_joined());
        peer.cloned()
            .ok_or_else(|| Refusal::new(RefusalCode::Revoked, "this site was revoked"))
    }

    pub(super) fn machines_for(
        &self,
        site: &SiteName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<PeerReply, Refusal> {
        let peer = self.asker(site)?;
        let limit = usize::try_from(limit).map_or(MAX_ROWS, |l| l.clamp(1, MAX_ROWS));
        let view = self.store.view();
        let (rows, more) = rows(&view, &peer, (after, limit), self.store.now());
        Ok(PeerReply::Machines { rows, more })
    }

    fn watch(&self, site: &SiteName) -> Result<Watches<'_>, Refusal> {
        let mut all = lock(&self.watching);
        let count = all.entry(site.clone()).or_default();
        if *count >= MAX_WATCHING {
            let text = "too many subscriptions of this site stand";
            return Err(Refusal::new(RefusalCode::Busy, text));
        }
        *count += 1;
        Ok(Watches(self, site.clone()))
    }

    fn image_for(&self, site: &SiteName, (name, number): Named<'_>) -> Result<Given, Refusal> {
        let images = self.images.clone();
        let images = images.ok_or_else(|| not_allowed("this site keeps no images"))?;
        let peer = self.asker(site)?;
        let view = self.store.view();
        let (_, version) = given_image(&view, &peer, name, number).map_err(not_allowed)?;
        Ok(Given {
            images,
            version: version.number,
            manifest: version.content.manifest,
            size: version.content.size,
            note: version.note.clone(),
        })
    }
}

/// A version that may be given.
pub(super) struct Given {
    images: Images,
    version: u32,
    manifest: ChunkId,
    size: u64,
    note: Option<String>,
}

fn failed(error: &ImagesError) -> Refusal {
    tracing::error!("an image cannot be given to a peer: {error}");
    Refusal::new(RefusalCode::Failed, "the image cannot be read there")
}

impl Federation {
    /// A version of an image.
    pub(super) async fn image(
        &self,
        site: &SiteName,
        named: Named<'_>,
    ) -> Result<PeerReply, Refusal> {
        let given = self.0.image_for(site, named)?;
        let flow = given.images.manifest(given.manifest).await;
        let flow = flow.map_err(|e| failed(&e))?;
        Ok(PeerReply::Image(ShownImage {
            version: given.version,
            manifest: given.manifest.to_string(),
            manifest_bytes: flow.len.unwrap_or_default(),
            size: given.size,
            note: given.note,
        }))
    }

    /// Its manifest.
    pub(super) async fn manifest(
        &self,
        site: &SiteName,
        named: Named<'_>,
    ) -> Result<Flow, Refusal> {
        let given = self.0.image_for(site, named)?;
        let flow = given.images.manifest(given.manifest).await;
        flow.map_err(|e| failed(&e))
    }

    /// Chunks of it.
    pub(super) async fn chunks(
        &self,
        site: &SiteName,
        named: Named<'_>,
        ids: &[String],
    ) -> Result<Flow, Refusal> {
        let given = self.0.image_for(site, named)?;
        if ids.len() > MAX_PARCELS {
            let text = format!("at most {MAX_PARCELS} chunks at once");
            return Err(Refusal::new(RefusalCode::Protocol, text));
        }
        let parsed: Result<Vec<ChunkId>, _> = ids.iter().map(|id| id.parse()).collect();
        let ids = parsed.map_err(|_| Refusal::new(RefusalCode::Protocol, "no chunk's name"))?;
        let its = given.images.has_all(given.manifest, &ids).await;
        if !its.map_err(|e| failed(&e))? {
            return Err(not_allowed("these chunks are not that image's"));
        }
        Ok(given.images.parcels(ids))
    }

    /// Tells a peer what happens until either side has enough of it.
    pub(super) async fn tell_events(
        &self,
        site: &SiteName,
        link: &PeerLink,
        after: Option<u64>,
        mut to: PeerResponder,
    ) {
        let _watches = match self.0.watch(site) {
            Ok(watches) => watches,
            Err(refusal) => return to.reply(&PeerReply::Refused(refusal)).await,
        };
        let ended = self.events(site, link, after, &mut to).await;
        match ended {
            Ok(()) => {}
            Err(Ended::Refused(refusal)) => to.reply(&PeerReply::Refused(refusal)).await,
            Err(Ended::Cut(error)) => debug!(%site, "a subscriber is cut off: {error}"),
        }
    }

    async fn events(
        &self,
        site: &SiteName,
        link: &PeerLink,
        after: Option<u64>,
        to: &mut PeerResponder,
    ) -> Result<(), Ended> {
        let mut grown = self.0.store.subscribe();
        let now = || self.0.store.view().next_event() - 1;
        let mut seen = after.unwrap_or_else(now);
        // The first answer says where it stands, also when nothing happened.
        let mut due = true;
        let mut sign = tokio::time::interval(SIGN_OF_LIFE);
        sign.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        sign.tick().await;
        loop {
            grown.borrow_and_update();
            let peer = self.0.asker(site)?;
            let Told {
                events,
                seen: looked_at,
                lost,
            } = told(&self.0.store.view(), &peer, seen);
            let goes_on = looked_at != seen;
            seen = looked_at;
            if due || lost || !events.is_empty() {
                due = false;
                let reply = PeerReply::Events { events, seen, lost };
                to.say(&reply, TAKES).await?;
            }
            if goes_on {
                continue;
            }
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { return Ok(()) },
                _ = sign.tick() => due = true,
                () = to.given_up() => return Ok(()),
                () = self.0.stop.cancelled() => return Ok(()),
            }
            if link.end().is_some() {
                return Ok(());
            }
        }
    }
}

/// Why nothing more is told.
enum Ended {
    Refused(Refusal),
    Cut(mesh_net::CallError),
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<mesh_net::CallError> for Ended {
    fn from(error: mesh_net::CallError) -> Self {
        Self::Cut(error)
    }
}
