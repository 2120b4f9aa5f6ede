//! Answers a helper's sockets: by asking the controller, and while that is away, by what it delegated.
//!
//! What this helper alone serves it serves by its own ledger, with the controller and without; and nothing is asked of the
//! controller about boots before it knows what happened here.

mod held;
mod upkeep;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ipxe::{MacAddr, PxeClient};
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, CallbackReply, HttpAuthority, LeaseAnswer,
    LeaseAsk, NonceAsk, NonceReceived, NonceReply, ReceivedFiles, ScriptAsk,
};
use mesh_net::{AgentLink, LinkIdentity};
use mesh_proto::message::boot::{BootAnswer, BootAsk, NonceFile, StoredFile};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, oneshot, watch},
    task::spawn_blocking,
    time::Instant,
};

use super::{
    Kept,
    away::{Away, AwayFile},
    cache::{Cache, at_once},
    heard::Heard,
    line::{Line, NoAnswer},
    offers,
    outbox::Outbox,
    programs::Programs,
    words,
};

/// Time for a script, all that is told before it included: iPXE waits three seconds for it, and only once more for two. Peers
/// take 1.5 s.
const SCRIPT: Duration = Duration::from_millis(2500);
/// Time for other answers.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest file made for one activation, bytes: it is held in memory.
const MOST_MADE: usize = 32 << 20;

/// The authority that the sockets ask.
#[derive(Debug)]
pub struct Desk {
    line: Arc<Line>,
    cache: Cache,
    outbox: Arc<Outbox>,
    /// Held while what was kept is told: each piece after the one before.
    sending: AsyncMutex<()>,
    away: Arc<Away>,
    own: watch::Receiver<Option<LinkIdentity>>,
    heard: Arc<Heard>,
    received: Mutex<ReceivedFiles>,
    /// Somebody wants it looked at what there is to serve.
    look: Arc<Notify>,
    programs: Mutex<Programs>,
    has_programs: watch::Sender<bool>,
}

impl Desk {
    pub(super) fn new(
        link: watch::Receiver<Option<AgentLink>>,
        own: watch::Receiver<Option<LinkIdentity>>,
        kept: Kept,
        look: Arc<Notify>,
    ) -> Self {
        Self {
            line: Arc::new(Line::new(link)),
            cache: kept.cache,
            outbox: Arc::new(kept.outbox),
            sending: AsyncMutex::default(),
            away: Arc::new(kept.away),
            own,
            heard: Arc::default(),
            received: Mutex::default(),
            look,
            programs: Mutex::default(),
            has_programs: watch::Sender::new(false),
        }
    }

    /// Waits until there are boot programs to serve.
    pub(super) async fn has_programs(&self) {
        let mut has = self.has_programs.subscribe();
        // We hold the sender ourselves: it does not go.
        let _held = has.wait_for(|has| *has).await;
    }

    /// Tells the controller, or keeps it for when it is back: then there is no answer yet.
    async fn surely(
        &self,
        piece: BootAsk,
        within: Duration,
    ) -> Result<Option<BootAnswer>, NoAnswer> {
        // Nothing overtakes what waits already.
        if self.outbox.is_empty() {
            match self.line.ask(piece.clone(), within).await {
                Err(NoAnswer::Away) => {}
                Ok(answer) => return Ok(Some(answer)),
                Err(refused) => return Err(refused),
            }
        }
        let outbox = Arc::clone(&self.outbox);
        let kept = spawn_blocking(move || outbox.keep(&piece)).await;
        match kept {
            Ok(Ok(())) => Ok(None),
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Away),
        }
    }

    fn programs(&self) -> std::sync::MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stored(&self, file: &StoredFile) -> Option<BootFile> {
        self.cache.file(file, self.line.link().as_ref()).await.ok()
    }

    /// A file of what was delegated: from the cache, or over the link if that stands.
    async fn file_here(&self, file: AwayFile, session: String) -> NonceReply {
        match file {
            AwayFile::Text(text) => NonceReply::Text(text),
            AwayFile::Stored(file) => match self.stored(&file).await {
                Some(file) => NonceReply::File { file, session },
                None => NonceReply::Unavailable,
            },
        }
    }

    async fn nonce_answer(&self, file: NonceFile) -> NonceReply {
        match file {
            NonceFile::Stored { file, session } => match self.stored(&file).await {
                Some(file) => NonceReply::File { file, session },
                None => NonceReply::Unavailable,
            },
            NonceFile::Text { text } => NonceReply::Text(text),
            NonceFile::Made { file } => {
                let Some(link) = self.line.link() else {
                    return NonceReply::Unavailable;
                };
                match at_once(&link, &file, MOST_MADE).await {
                    Ok(bytes) => NonceReply::Data(Bytes::from(bytes)),
                    Err(_) => NonceReply::Unavailable,
                }
            }
            NonceFile::Gone { why } => NonceReply::Gone(why),
            NonceFile::Refused { why } => NonceReply::Refused(why),
            NonceFile::Unknown => NonceReply::Unknown,
        }
    }
}

impl BootAuthority for Desk {
    fn offer(&self, _: &PxeClient) -> BootOffer {
        BootOffer::Silent
    }

    fn offer_later(&self, client: &PxeClient) -> Option<oneshot::Receiver<BootOffer>> {
        let (tell, told) = oneshot::channel();
        let (line, away) = (Arc::clone(&self.line), Arc::clone(&self.away));
        let (heard, client) = (Arc::clone(&self.heard), client.clone());
        tokio::spawn(async move {
            if let Some(offer) = offers::offer(&line, &away, &heard, &client).await {
                let _gone = tell.send(offer);
            }
        });
        Some(told)
    }

    async fn lease(&self, _: LeaseAsk) -> LeaseAnswer {
        // Addresses are another server's business.
        LeaseAnswer::Silent
    }

    fn tftp_file(&self, name: &str, from: IpAddr) -> Option<BootFile> {
        self.programs().file(name, from)
    }

    async fn script(&self, ask: ScriptAsk) -> String {
        let (base, began) = (base_url(ask.at), Instant::now());
        // Whose address it is decides whether a boot gets its secret: that is told first.
        self.line.tell().await;
        if let Some(script) = self.held_script(&ask, &base).await {
            return script;
        }
        let mac = ask.mac;
        if self.caught_up().await
            && let Some(link) = self.line.link()
        {
            let question = BootAsk::Script(words::script(ask, link.controller()));
            let left = SCRIPT.saturating_sub(began.elapsed());
            if let Ok(BootAnswer::Script { text }) = self.line.ask(question, left).await {
                return text;
            }
        }
        self.away.script(mac, &base)
    }

    fn note(&self, note: BootNote) {
        if let BootNote::ForeignServer {
            boots: true,
            client: Some(station),
            ..
        } = &note
        {
            self.heard.note(*station, Instant::now());
        }
        if let Some(note) = words::note(note) {
            self.line.note(note);
        }
    }
}

impl HttpAuthority for Desk {
    fn general_script(&self, at: SocketAddr) -> String {
        ipxe::general_script(&base_url(at), &format!("{:016x}", rand::random::<u64>()))
    }

    async fn http_file(&self, path: &str) -> Option<BootFile> {
        if let Some(name) = path.strip_prefix("firmware/")
            && let Some(file) = self.programs().0.get(name)
        {
            return Some(file.clone());
        }
        let ask = BootAsk::File {
            path: path.to_owned(),
        };
        match self.line.ask(ask, ANSWER).await {
            Ok(BootAnswer::File { file: Some(file) }) => self.stored(&file).await,
            _ => None,
        }
    }

    async fn nonce_file(&self, ask: NonceAsk) -> NonceReply {
        if let Some(reply) = self.held_file(&ask).await {
            return reply;
        }
        self.line.tell().await;
        let base = base_url(ask.at);
        let question = BootAsk::NonceFile(words::nonce(ask.clone()));
        match self.line.ask(question, ANSWER).await {
            Ok(BootAnswer::NonceFile(file)) => self.nonce_answer(file).await,
            Err(NoAnswer::Away) => match self.away.file(&ask.nonce, &ask.name, &base) {
                Some(file) => self.file_here(file, ask.session.unwrap_or_default()).await,
                None => NonceReply::Unavailable,
            },
            Ok(_) | Err(NoAnswer::Refused(_)) => NonceReply::Unavailable,
        }
    }

    async fn nonce_received(&self, file: NonceReceived) {
        self.held_received(&file).await;
        // Neither told nor kept, the machine is served again.
        let piece = BootAsk::Received(words::received(file));
        let _again = self.surely(piece, ANSWER).await;
    }

    async fn callback(&self, nonce: String, failure: Option<String>) -> CallbackReply {
        if !self.held_callback(&nonce, failure.as_deref()).await {
            return CallbackReply::Unavailable;
        }
        let piece = BootAsk::Callback { nonce, failure };
        match self.surely(piece, ANSWER).await {
            Ok(Some(BootAnswer::Callback { known: false })) => CallbackReply::Unknown,
            Ok(_) => CallbackReply::Taken,
            Err(_) => CallbackReply::Unavailable,
        }
    }

    fn pixiecore(&self, _: MacAddr, _: SocketAddr) -> Option<String> {
        // pixiecore asks the controller itself.
        None
    }

    fn metrics(&self) -> String {
        String::new()
    }
}

/// `http://host:port` of our boot HTTP as a machine reaches it.
fn base_url(at: SocketAddr) -> String {
    format!("http://{at}")
}
