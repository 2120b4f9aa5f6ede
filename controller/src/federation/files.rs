//! Files that a peer granted, brought here and served while they come. Each is brought once, whoever asks; a transfer that broke
//! goes on where it was; and its last bytes leave only when the sum in the grant is the sum of what came.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use ipxe_net::{Arrivals, Arriving, BootFile, HELD_BACK};
use mesh_net::{Body, BodyError, CallError};
use mesh_proto::message::peer::PeerAsk;
use tracing::{info, warn};

use super::{Federation, Inner, counts::Rejected, kept::NoRoom, lock};
use crate::{
    assets::{AssetError, Sha256Hex, Upload},
    ordered::Gather as _,
    state::{activation::Activation, config::Asset, event::Draft, peer::SiteName},
};

/// Time until a peer begins to send.
const BEGIN: Duration = Duration::from_secs(5);
/// How often a transfer that broke is begun again without one new byte, and the pause before: a machine waits meanwhile.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);

/// Why a file is not here.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nobody's, or of no sum.
    #[error("it is no peer's file")]
    NotAPeers,
    /// No link with its owner.
    #[error("there is no link with {0} now")]
    NoLink(SiteName),
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The bytes stopped.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Another length than granted.
    #[error("{got} bytes were sent, {of} were granted")]
    Length {
        /// Sent, or announced.
        got: u64,
        /// Granted.
        of: u64,
    },
    /// No room.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The folder, or another sum.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// It was on its way for somebody else, and broke.
    #[error("it did not come: {0}")]
    Broke(#[from] io::Error),
}

/// What is on its way. A lock per file that begins: who comes second waits for the first, and finds it coming.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    turns: Mutex<HashMap<Sha256Hex, Arc<tokio::sync::Mutex<()>>>>,
    coming: Mutex<HashMap<Sha256Hex, Arriving>>,
}

impl InFlight {
    fn turn(&self, sum: &Sha256Hex) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = lock(&self.turns);
        // Nobody else holds those that are over.
        all.retain(|_, held| Arc::strong_count(held) > 1);
        Arc::clone(all.entry(sum.clone()).or_default())
    }
}

/// A file of a grant, as it is asked for.
struct Granted {
    site: SiteName,
    nonce: String,
    index: u32,
    size: u64,
    sum: Sha256Hex,
}

impl Granted {
    fn of(activation: &Activation, asset: &Asset) -> Option<Self> {
        let index = activation
            .config
            .program
            .assets()
            .position(|a| a == asset)?;
        Some(Self {
            site: activation.taken.as_ref()?.site.clone(),
            nonce: activation.nonce.to_string(),
            index: u32::try_from(index).ok()?,
            size: asset.size,
            sum: asset.sha256.as_deref()?.parse().ok()?,
        })
    }

    fn wrong(&self, got: u64) -> FileError {
        let of = self.size;
        FileError::Length { got, of }
    }
}

impl Federation {
    /// A file of a granted activation: here, or on its way here. A short one is waited for: it is served whole or not at all.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(
        &self,
        activation: &Activation,
        asset: &Asset,
    ) -> Result<BootFile, FileError> {
        let granted = Granted::of(activation, asset).ok_or(FileError::NotAPeers)?;
        let turn = self.0.in_flight.turn(&granted.sum);
        let _turn = turn.lock().await;
        if let Some(here) = self.0.here(&granted.sum) {
            return Ok(here);
        }
        let coming = lock(&self.0.in_flight.coming).get(&granted.sum).cloned();
        let arriving = match coming {
            Some(arriving) => arriving,
            None => self.begin(activation, asset, granted).await?,
        };
        if arriving.size() <= HELD_BACK {
            arriving.whole().await?;
        }
        Ok(BootFile::Arriving(arriving))
    }

    /// A file of a granted activation; it is in a folder of ours, and right, when this returns.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn fetch(&self, activation: &Activation, asset: &Asset) -> Result<(), FileError> {
        match self.open(activation, asset).await? {
            BootFile::Arriving(arriving) => Ok(arriving.whole().await?),
            BootFile::Memory(_) | BootFile::Disk { .. } => Ok(()),
        }
    }

    /// Asks for the file, and has it come.
    async fn begin(
        &self,
        activation: &Activation,
        asset: &Asset,
        granted: Granted,
    ) -> Result<Arriving, FileError> {
        let body = self.0.ask_file(&granted, 0).await?;
        self.0.make_room(granted.size)??;
        let upload = self.0.kept.folder().begin(granted.size).await?;
        let (arriving, arrivals) = Arriving::new(upload.reader()?, granted.size);
        let sum = granted.sum.clone();
        lock(&self.0.in_flight.coming).insert(sum.clone(), arriving.clone());
        let about = Draft::new("peer.file-broken", String::new())
            .machine(&activation.machine)
            .field("site", granted.site.as_str())
            .field("file", asset.name.clone());
        let federation = self.clone();
        self.0.work.spawn(async move {
            let inner = &federation.0;
            let ended = tokio::select! {
                ended = inner.bring_file(&granted, body, upload, &arrivals) => ended,
                () = inner.stop.cancelled() => Err(io::Error::other("the controller stops").into()),
            };
            inner.settle_file(&granted, about, ended, arrivals);
            lock(&inner.in_flight.coming).remove(&sum);
        }.boxed());
        Ok(arriving)
    }
}

impl Inner {
    /// A file that is here: brought for this, or one of our own.
    fn here(&self, sum: &Sha256Hex) -> Option<BootFile> {
        let own = || BootFile::open(&self.assets.path(sum)).ok();
        self.kept.find(sum).or_else(own)
    }

    fn make_room(&self, size: u64) -> Result<Result<(), NoRoom>, AssetError> {
        let view = self.store.view();
        let taken = view
            .activations()
            .filter(|a| a.is_open() && a.taken.is_some());
        let needed: BTreeSet<Sha256Hex> = taken
            .flat_map(|a| a.config.program.assets())
            .filter_map(|asset| asset.sha256.as_deref()?.parse().ok())
            .gather();
        let coming = lock(&self.in_flight.coming)
            .values()
            .map(Arriving::size)
            .sum();
        self.kept.make_room(size, coming, &needed)
    }

    async fn ask_file(&self, granted: &Granted, from: u64) -> Result<Body, FileError> {
        let link = self.link(&granted.site);
        let link = link.map_err(|_| FileError::NoLink(granted.site.clone()))?;
        let ask = PeerAsk::File {
            nonce: granted.nonce.clone(),
            index: granted.index,
            from,
        };
        let (len, body) = self.asked(link.fetch(&ask, BEGIN).await)?;
        match len == granted.size - from {
            true => Ok(body),
            false => Err(granted.wrong(from.saturating_add(len))),
        }
    }

    /// Writes what comes; a link that broke is waited for, as long as something comes at all.
    async fn bring_file(
        &self,
        granted: &Granted,
        body: Body,
        mut upload: Upload,
        arrivals: &Arrivals,
    ) -> Result<(), FileError> {
        let (mut got, mut tries) = (0, 0);
        let mut next = Ok(body);
        loop {
            let before = got;
            let broke = match next {
                Ok(body) => {
                    match pour(self, body, granted, (&mut upload, &mut got), arrivals).await {
                        Ok(()) => break,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            tries = if got > before { 0 } else { tries + 1 };
            if !may_come_back(&broke) || tries >= TRIES {
                return Err(broke);
            }
            tokio::time::sleep(PAUSE).await;
            next = self.ask_file(granted, got).await;
        }
        upload.finish(Some(&granted.sum)).await?;
        Ok(())
    }

    fn settle_file(
        &self,
        granted: &Granted,
        about: Draft,
        ended: Result<(), FileError>,
        arrivals: Arrivals,
    ) {
        let site = &granted.site;
        let Err(error) = ended else {
            info!(%site, sha256 = %granted.sum, "a peer's file came");
            return arrivals.whole();
        };
        let file = about.fields.get("file").cloned().unwrap_or_default();
        warn!(%site, %file, "a peer's file did not come: {error}");
        if is_its_fault(&error) {
            self.rejected(site, Rejected::File, &error.to_string());
        }
        let text = match &error {
            FileError::Asset(AssetError::WrongSum { found }) => format!(
                "{site} sent other bytes for {file} than it granted, with the SHA-256 {found}; nothing of it is kept"
            ),
            other => format!("{file} did not come from {site}: {other}"),
        };
        arrivals.broken(text.clone());
        self.store.note(Draft { text, ..about });
    }
}

/// Writes a transfer to its end, and tells how far it has come.
async fn pour(
    inner: &Inner,
    mut body: Body,
    granted: &Granted,
    (upload, got): (&mut Upload, &mut u64),
    arrivals: &Arrivals,
) -> Result<(), FileError> {
    while let Some(bytes) = body.next().await? {
        let more = *got + bytes.len() as u64;
        if more > granted.size {
            return Err(granted.wrong(more));
        }
        upload.write(&bytes).await?;
        upload.flush().await?;
        inner.file_bytes("files-in", bytes.len());
        *got = more;
        arrivals.came(more);
    }
    match *got == granted.size {
        true => Ok(()),
        false => Err(BodyError::Cut.into()),
    }
}

/// Whether the peer sent other bytes than it granted.
fn is_its_fault(error: &FileError) -> bool {
    let wrong_sum = matches!(error, FileError::Asset(AssetError::WrongSum { .. }));
    wrong_sum || matches!(error, FileError::Length { .. })
}

/// Whether asking again may help.
fn may_come_back(error: &FileError) -> bool {
    match error {
        FileError::NoLink(_) | FileError::Body(_) => true,
        FileError::Call(CallError::Refused(_) | CallError::Protocol(_)) => false,
        FileError::Call(CallError::TimedOut | CallError::Link(_) | CallError::Dropped) => true,
        FileError::NotAPeers
        | FileError::Length { .. }
        | FileError::NoRoom(_)
        | FileError::Asset(_)
        | FileError::Broke(_) => false,
    }
}
