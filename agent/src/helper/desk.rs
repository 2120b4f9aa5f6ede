//! Answers a helper's sockets: by asking the controller, and while that is away, by sending machines to their own disks.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ipxe::{BootPlan, LocalBoot, MacAddr, Surroundings};
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, CallbackReply, HttpAuthority, LeaseAnswer,
    LeaseAsk, NonceAsk, NonceReceived, NonceReply, ScriptAsk,
};
use mesh_net::AgentLink;
use mesh_proto::message::boot::{BootAnswer, BootAsk, NonceFile, Program, StoredFile};
use tokio::{
    sync::{oneshot, watch},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    cache::{Cache, at_once},
    line::{Line, NoAnswer},
    outbox::Outbox,
    programs::Programs,
    words,
};

/// Time for an offer: iPXE waits two seconds for one, and a turn at the controller lasts three.
const OFFER: Duration = Duration::from_secs(1);
/// Time for a script: the general script gives it five seconds, of which notes before it may take one; peers take 1.5 s.
const SCRIPT: Duration = Duration::from_secs(3);
/// Time for other answers.
const ANSWER: Duration = Duration::from_secs(10);
/// Notes that come together travel together.
const GATHER: Duration = Duration::from_millis(200);
/// How often the list of boot programs is looked at, and after a failure.
const LOOK: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// Largest file made for one activation, bytes: it is held in memory.
const MOST_MADE: usize = 32 << 20;

/// The authority that the sockets ask.
#[derive(Debug)]
pub struct Desk {
    line: Arc<Line>,
    cache: Cache,
    outbox: Arc<Outbox>,
    programs: Mutex<Programs>,
    has_programs: watch::Sender<bool>,
}

impl Desk {
    pub(super) fn new(
        link: watch::Receiver<Option<AgentLink>>,
        cache: Cache,
        outbox: Outbox,
    ) -> Self {
        Self {
            line: Arc::new(Line::new(link)),
            cache,
            outbox: Arc::new(outbox),
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

    /// Keeps what is served up to date, and tells what happened, until `stop`.
    pub(super) async fn keep_up(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = self.keep_programs() => {}
            () = self.keep_telling() => {}
            () = self.keep_sending() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep_programs(&self) {
        loop {
            let rest = match self.look_for_programs().await {
                true => LOOK,
                false => LOOK_AGAIN,
            };
            tokio::select! { () = sleep(rest) => {} () = self.line.changed() => {} }
        }
    }

    /// Gets the programs that are not here yet. Says whether all are.
    async fn look_for_programs(&self) -> bool {
        let asked = self.line.ask(BootAsk::Programs, ANSWER).await;
        let Ok(BootAnswer::Programs { programs }) = asked else {
            return false;
        };
        let (mut have, mut all) = (Programs::default(), true);
        for Program { name, file } in programs {
            match self.cache.file(&file, self.line.link().as_ref()).await {
                Ok(file) => drop(have.0.insert(name, file)),
                Err(_) => all = false,
            }
        }
        *self.programs() = have;
        self.has_programs.send_replace(true);
        all
    }

    async fn keep_telling(&self) {
        loop {
            self.line.noted().await;
            sleep(GATHER).await;
            self.line.tell().await;
        }
    }

    /// Sends what was kept while the controller was away.
    async fn keep_sending(&self) {
        loop {
            while !self.outbox.is_empty()
                && let Some((number, piece)) = self.outbox.oldest()
            {
                match self.line.ask(piece, ANSWER).await {
                    // What the controller will never take must not hold up the rest.
                    Ok(_) => {}
                    Err(NoAnswer::Refused(no))
                        if no.code != mesh_proto::message::RefusalCode::Busy => {}
                    Err(_) => break,
                }
                if self.outbox.told(number).is_err() {
                    break;
                }
            }
            tokio::select! { () = sleep(LOOK_AGAIN) => {} () = self.line.changed() => {} }
        }
    }

    /// Tells the controller, or keeps it for when it is back: then there is no answer yet.
    async fn surely(&self, piece: BootAsk) -> Result<Option<BootAnswer>, NoAnswer> {
        // Nothing overtakes what waits already.
        if self.outbox.is_empty() {
            match self.line.ask(piece.clone(), ANSWER).await {
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
    fn offer(&self, _: &ipxe::PxeClient) -> BootOffer {
        BootOffer::Silent
    }

    fn offer_later(&self, client: &ipxe::PxeClient) -> Option<oneshot::Receiver<BootOffer>> {
        let (tell, told) = oneshot::channel();
        let (line, ask) = (
            Arc::clone(&self.line),
            BootAsk::Offer(words::client(client)),
        );
        tokio::spawn(async move {
            if let Ok(BootAnswer::Offer(offer)) = line.ask(ask, OFFER).await {
                let _gone = tell.send(words::offer(offer));
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
        let base = base_url(ask.at);
        // Whose address it is decides whether a boot gets its secret: that is told first.
        self.line.tell().await;
        if let Some(link) = self.line.link() {
            let question = BootAsk::Script(words::script(ask, link.controller()));
            if let Ok(BootAnswer::Script { text }) = self.line.ask(question, SCRIPT).await {
                return text;
            }
        }
        local_disk(&base)
    }

    fn note(&self, note: BootNote) {
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
        self.line.tell().await;
        let question = BootAsk::NonceFile(words::nonce(ask));
        match self.line.ask(question, ANSWER).await {
            Ok(BootAnswer::NonceFile(file)) => self.nonce_answer(file).await,
            _ => NonceReply::Unavailable,
        }
    }

    async fn nonce_received(&self, file: NonceReceived) {
        // Neither told nor kept, the machine is served again.
        let _again = self.surely(BootAsk::Received(words::received(file))).await;
    }

    async fn callback(&self, nonce: String, failure: Option<String>) -> CallbackReply {
        match self.surely(BootAsk::Callback { nonce, failure }).await {
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

/// The script that sends a machine to its own disk.
fn local_disk(base: &str) -> String {
    let local = LocalBoot::Auto;
    let around = Surroundings {
        base,
        machine: "",
        local,
    };
    ipxe::render(&BootPlan::LocalDisk(local), around)
}
