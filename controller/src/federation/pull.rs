//! A version of another site's image, brought here: the manifest, then those of its chunks that the store lacks, each checked
//! by its name. It appears whole or not at all; what a pull that broke has brought is there when it is asked for again.

mod book;

use std::{sync::Arc, time::Duration};

use ::image::{ChunkId, Manifest, parcel::MAX_PARCELS};
use futures_util::FutureExt as _;
use mesh_net::{Body, CallError, PeerLink};
use mesh_proto::message::peer::{PeerAsk, PeerReply};
use tracing::{info, warn};

pub(super) use self::book::Pulls;
pub use self::book::{Pull, PullState};
use super::{Federation, Inner, counts::Rejected, lock, sites::in_words};
use crate::{
    images::{ImagesError, Incoming, IncomingId},
    state::{
        image::{ImageName, ImageSpec, VersionId},
        number::PullId,
        ops::{ImageError, NotYours, OnImage, SavePulled, may_change_image},
        peer::SiteName,
        shown::heard::OfferedImage,
        user::{Asker, UserName},
    },
    store::StoreError,
};

/// Bytes of chunks asked for at once: what a slow line brings within the time that one transfer may take.
const WINDOW_BYTES: u64 = 32 << 20;
/// Time until a peer begins to send.
const BEGIN: Duration = Duration::from_secs(5);
/// How often a window is asked for again without one new chunk, and the pause before: a link that broke is dialled anew after
/// a second, later after half a minute.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_secs(5);

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// At which site.
    pub site: SiteName,
    /// Which version there; without a number the newest.
    pub image: ImageSpec,
    /// What it is called here.
    pub name: ImageName,
    /// Who asks.
    pub asker: Asker,
    /// Whose a new image is.
    pub owner: Option<UserName>,
}

/// Why an image is not here.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The site is no peer, does not answer, or says no.
    #[error("{site}: {why}")]
    Site {
        /// Which.
        site: SiteName,
        /// In words.
        why: String,
    },
    /// Our store of images.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// The image here.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image here.
    #[error(transparent)]
    NotYours(#[from] NotYours),
    /// Our store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A person does not want it any more.
    #[error("it was cancelled; what has come is there when it is asked for again soon")]
    Cancelled,
    /// Too many run.
    #[error("too many pulls wait already; ask again when some are done")]
    Busy,
}

impl Federation {
    /// Begins to bring an image here; who asks for what is on its way already is told of that one.
    ///
    /// # Errors
    /// When it cannot begin.
    pub fn pull(&self, wanted: Wanted) -> Result<Pull, PullError> {
        if self.0.images.is_none() || !self.0.is_joined(&wanted.site) {
            let why = "no site of this name is joined, or this one keeps no images".to_owned();
            let site = wanted.site;
            return Err(PullError::Site { site, why });
        }
        may_change_image(&self.0.store.view(), &wanted.name, &wanted.asker)?;
        let (pull, begun) = self.0.pulls.begin(wanted, self.0.store.now())?;
        if let Some(cancelled) = begun {
            let (federation, pull) = (self.clone(), pull.clone());
            self.0.work.spawn(
                async move {
                    let brought = tokio::select! {
                        brought = federation.0.bring_in_turn(&pull) => brought,
                        () = cancelled.cancelled() => Err(PullError::Cancelled),
                        () = federation.0.stop.cancelled() => Err(ImagesError::Stopping.into()),
                    };
                    federation.0.settle_pull(&pull, brought);
                }
                .boxed(),
            );
        }
        Ok(pull)
    }

    /// The pulls that run, and the last that ended, oldest first.
    #[must_use]
    pub fn pulls(&self) -> Vec<Pull> {
        self.0.pulls.all()
    }

    /// Ends a pull; whether there is one of this number.
    #[must_use]
    pub fn cancel_pull(&self, id: PullId) -> bool {
        self.0.pulls.cancel(id)
    }
}

/// What is pulled, once the other site has named it.
struct Course<'a> {
    pull: &'a Pull,
    offered: OfferedImage,
    incoming: Incoming,
}

impl Inner {
    fn settle_pull(&self, pull: &Pull, brought: Result<VersionId, PullError>) {
        let (site, image) = (&pull.wanted.site, &pull.wanted.image);
        match &brought {
            Ok(id) => info!(%site, %image, %id, "an image came from another site"),
            Err(error) => warn!(%site, %image, "an image did not come from another site: {error}"),
        }
        let state = match brought {
            Ok(id) => PullState::Done(id),
            Err(error) => PullState::Failed(Arc::new(error)),
        };
        self.pulls.change(pull.id, |p| p.state = state);
    }

    async fn bring_in_turn(&self, pull: &Pull) -> Result<VersionId, PullError> {
        let _turn = self.pulls.turn().await;
        self.pulls.change(pull.id, |p| p.state = PullState::Running);
        let images = self.images.as_ref().ok_or(ImagesError::Stopped)?;
        let offered = self.offered(&pull.wanted).await?;
        let id = IncomingId::Pull(pull.wanted.site.clone(), offered.manifest);
        let course = Course {
            pull,
            incoming: images.incoming(&id)?,
            offered,
        };
        let saved = self.bring(&course).await?;
        images.arrived(&id);
        Ok(saved)
    }

    async fn offered(&self, wanted: &Wanted) -> Result<OfferedImage, PullError> {
        let ask = PeerAsk::Image {
            name: wanted.image.image.to_string(),
            version: wanted.image.number,
        };
        let told = self.say(&wanted.site, &ask, BEGIN).await;
        let told = told.map_err(|why| at(wanted, why))?;
        let offered = match told {
            PeerReply::Image(shown) => OfferedImage::parse(&shown),
            _ => None,
        };
        offered.ok_or_else(|| self.not_taken(wanted, "its answer makes no sense"))
    }

    async fn bring(&self, course: &Course<'_>) -> Result<VersionId, PullError> {
        let wanted = &course.pull.wanted;
        let bytes = self.manifest_of(course).await?;
        let manifest = Manifest::parse(&bytes).map_err(|_| ImagesError::Manifest)?;
        let all: Vec<ChunkId> = manifest.data().filter_map(|piece| piece.id).collect();
        self.pulls.change(course.pull.id, |p| {
            (p.version, p.chunks) = (Some(course.offered.version), (0, all.len() as u64));
        });
        let window = WINDOW_BYTES / manifest.chunk_size().bytes();
        let window = usize::try_from(window).map_or(1, |w| w.clamp(1, MAX_PARCELS));
        for ids in all.chunks(window) {
            self.window(course, ids).await?;
            let brought = course.incoming.new_bytes();
            self.pulls.change(course.pull.id, |p| {
                p.chunks.0 += ids.len() as u64;
                p.new_bytes = brought;
            });
        }
        let save = SavePulled {
            name: wanted.name.clone(),
            content: course.incoming.save(bytes).await?,
            site: wanted.site.clone(),
            version: VersionId {
                image: wanted.image.image.clone(),
                number: course.offered.version,
            },
            by: wanted.asker.caller.clone(),
            owner: wanted.owner.clone(),
            note: course.offered.note.clone(),
        };
        let saved = self.store.apply(OnImage {
            image: wanted.name.clone(),
            asker: wanted.asker.clone(),
            wants: save,
        });
        Ok(saved.await???)
    }

    /// The manifest's bytes: those that its digest names, or none.
    async fn manifest_of(&self, course: &Course<'_>) -> Result<Vec<u8>, PullError> {
        let (wanted, offered) = (&course.pull.wanted, &course.offered);
        let ask = PeerAsk::Manifest {
            name: wanted.image.image.to_string(),
            version: offered.version,
        };
        let (len, mut body) = self
            .fetch_from(&wanted.site, &ask)
            .await
            .map_err(|w| at(wanted, w))?;
        let nonsense = || self.not_taken(wanted, "its manifest is another than it named");
        if len != offered.manifest_bytes {
            return Err(nonsense());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| nonsense())?];
        let filled = body.fill(&mut bytes).await;
        filled.map_err(|e| at(wanted, e.to_string()))?;
        if ChunkId::of(&bytes) == offered.manifest {
            Ok(bytes)
        } else {
            Err(nonsense())
        }
    }

    /// Brings those of these chunks that are missing. A link that breaks is waited for, as long as something comes at all.
    async fn window(&self, course: &Course<'_>, ids: &[ChunkId]) -> Result<(), PullError> {
        let wanted = &course.pull.wanted;
        let (mut tries, mut before) = (0, usize::MAX);
        loop {
            let missing = missing(&course.incoming, ids).await?;
            if missing.is_empty() {
                return Ok(());
            }
            tries = if missing.len() < before { 0 } else { tries + 1 };
            before = missing.len();
            let why = match self.ask_chunks(course, &missing).await {
                Ok(mut body) => match course.incoming.put_asked(&mut body, &missing).await {
                    Ok(()) => continue,
                    Err(ImagesError::Broken(broken)) => broken.to_string(),
                    Err(error) => {
                        if is_its_fault(&error) {
                            self.rejected(&wanted.site, Rejected::Image, &error.to_string());
                        }
                        return Err(error.into());
                    }
                },
                Err(Asked::No(why)) => return Err(at(wanted, why)),
                Err(Asked::Later(why)) => why,
            };
            if tries >= TRIES {
                return Err(at(wanted, why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_chunks(&self, course: &Course<'_>, ids: &[ChunkId]) -> Result<Body, Asked> {
        let wanted = &course.pull.wanted;
        let ask = PeerAsk::Chunks {
            name: wanted.image.image.to_string(),
            version: course.offered.version,
            ids: ids.iter().map(ToString::to_string).collect(),
        };
        let link = self.link(&wanted.site).map_err(Asked::Later)?;
        match link.fetch(&ask, BEGIN).await {
            Ok((_, body)) => Ok(body),
            Err(error @ (CallError::Refused(_) | CallError::Protocol(_))) => {
                Err(Asked::No(in_words(&error, BEGIN)))
            }
            Err(error) => Err(Asked::Later(in_words(&error, BEGIN))),
        }
    }

    /// What the site sent of an image is not what it named.
    fn not_taken(&self, wanted: &Wanted, why: &str) -> PullError {
        self.rejected(&wanted.site, Rejected::Image, why);
        at(wanted, why)
    }

    async fn fetch_from(&self, site: &SiteName, ask: &PeerAsk) -> Result<(u64, Body), String> {
        let fetched = self.link(site)?.fetch(ask, BEGIN).await;
        fetched.map_err(|e| in_words(&e, BEGIN))
    }

    /// The newest link with a site.
    pub(super) fn link(&self, site: &SiteName) -> Result<PeerLink, String> {
        let link = lock(&self.links).with(site).last().cloned();
        link.ok_or_else(|| "there is no link with it now".to_owned())
    }
}

/// Whether the chunks that came are not those that they were called.
fn is_its_fault(error: &ImagesError) -> bool {
    use image_store::StoreError::{Unpack, WrongChunk};
    matches!(error, ImagesError::Store(WrongChunk { .. } | Unpack(_)))
}

/// Why no chunks come.
enum Asked {
    /// Asking again helps nothing.
    No(String),
    /// The link may come back.
    Later(String),
}

/// Those that the store lacks, each once.
async fn missing(incoming: &Incoming, ids: &[ChunkId]) -> Result<Vec<ChunkId>, ImagesError> {
    let mut each = ids.to_vec();
    each.sort_unstable();
    each.dedup();
    let places = incoming.missing(each.clone()).await?;
    let at = |place: u32| each.get(usize::try_from(place).ok()?).copied();
    Ok(places.into_iter().filter_map(at).collect())
}

fn at(wanted: &Wanted, why: impl Into<String>) -> PullError {
    PullError::Site {
        site: wanted.site.clone(),
        why: why.into(),
    }
}
