//! Serf, over the RPC of one of its agents: all members now and then, what changes as it happens, a query that asks one to restart.

mod message;
mod scan;
mod session;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

pub use self::{
    message::MemberList,
    session::{Garbled, Request, Session, Told},
};
use super::{ACKNOWLEDGED_WITHIN, Provider, ProviderError, hearing::Hearing, read_secret};
use crate::{
    ordered::Gather as _,
    state::{ops::CommandWord, provider::NodeName},
};

/// How long things may take; tests have less patience.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the agent to accept a connection, and for each answer.
    pub(super) answer: Duration,
    /// All members are asked for this often: the agent drops events when it is busy, and says so only in its own log. Also how a
    /// connection that died without a word is noticed.
    pub(super) list_every: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            list_every: Duration::from_secs(30),
        }
    }
}

/// Bytes read at once.
const PIECE: usize = 16 * 1024;
/// The query that a member's handler answers by restarting.
pub const REBOOT_QUERY: &str = "reboot";

/// A Serf agent.
pub(super) struct Serf {
    host: String,
    port: u16,
    key_file: Option<PathBuf>,
    pub(super) patience: Patience,
}

impl Serf {
    pub(super) fn new(host: &str, port: u16, key_file: Option<PathBuf>) -> Self {
        Self {
            host: host.to_owned(),
            port,
            key_file,
            patience: Patience::default(),
        }
    }

    /// A connection on which the agent takes commands.
    async fn connect(&self) -> Result<Line, ProviderError> {
        let key = match &self.key_file {
            Some(path) => Some(read_secret(path).await?),
            None => None,
        };
        let at = format!("{}:{}", self.host, self.port);
        let answer = self.patience.answer;
        let opening = timeout(answer, TcpStream::connect((self.host.as_str(), self.port)));
        let stream = opening.await.map_err(|_| ProviderError::Late(answer))?;
        let stream = stream.map_err(|source| ProviderError::Connect { at, source })?;
        let mut line = Line {
            stream,
            session: Session::default(),
            answer,
        };
        let hello = line.session.handshake();
        line.agree(&hello).await?;
        if let Some(key) = key {
            let auth = line.session.auth(&key);
            line.agree(&auth).await?;
        }
        Ok(line)
    }

    async fn talk(&self, hearing: &mut Hearing) -> Result<std::convert::Infallible, ProviderError> {
        let mut line = self.connect().await?;
        // Events first: what changes while the list is made is not missed.
        let stream = line.session.stream();
        line.send(&stream).await?;
        let mut waits = Waits::begin(self.patience);
        let members = line.session.members();
        line.send(&members).await?;
        loop {
            match line.told_until(waits.next()).await {
                Ok(told) => waits.heard(take(told, hearing).await?),
                Err(ProviderError::Late(_)) if !waits.listing => {
                    waits = Waits::begin(self.patience);
                    let members = line.session.members();
                    line.send(&members).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask(&self, node: &NodeName) -> Result<CommandWord, ProviderError> {
        let mut line = self.connect().await?;
        let query = line
            .session
            .query(node.as_str(), REBOOT_QUERY, ACKNOWLEDGED_WITHIN);
        line.send(&query).await?;
        let until = Instant::now() + ACKNOWLEDGED_WITHIN + self.patience.answer;
        loop {
            match line.told_until(until).await? {
                Told::Acknowledged(from) if from == node.as_str() => {
                    return Ok(CommandWord::Done(format!("{node} has the query")));
                }
                Told::QueryOver => return Ok(CommandWord::Expired),
                Told::Refused(_, words) => return Ok(CommandWord::Refused(words)),
                // Another's word settles nothing.
                Told::Acknowledged(_)
                | Told::Asking
                | Told::Welcome
                | Told::Streams
                | Told::All(_)
                | Told::Changed(_)
                | Told::Reaped(_) => {}
            }
        }
    }
}

impl Provider for Serf {
    fn follow<'a>(&'a self, hearing: &'a mut Hearing) -> BoxFuture<'a, ProviderError> {
        Box::pin(async move {
            match self.talk(hearing).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }

    fn reboot<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, CommandWord> {
        Box::pin(async move {
            let asked = self.ask(node).await;
            asked.unwrap_or_else(|error| CommandWord::Lost(error.to_string()))
        })
    }
}

/// Writes down what the agent told. Whether that was the list.
async fn take(told: Told, hearing: &mut Hearing) -> Result<bool, ProviderError> {
    match told {
        Told::All(list) => {
            hearing.all(list.heard, list.passed).await?;
            return Ok(true);
        }
        Told::Changed(list) => {
            hearing.some(list.heard).await?;
        }
        Told::Reaped(list) => {
            let nodes: BTreeSet<NodeName> = list.heard.into_iter().map(|h| h.node).gather();
            hearing.gone(nodes).await?;
        }
        Told::Refused(request, words) => return Err(refused(request, words)),
        Told::Welcome | Told::Streams | Told::Asking | Told::Acknowledged(_) | Told::QueryOver => {}
    }
    Ok(false)
}

fn refused(request: Request, words: String) -> ProviderError {
    let what = match request {
        Request::Handshake => "the handshake",
        Request::Auth => "our key",
        Request::Stream => "its events",
        Request::Members => "its members",
        Request::Query => "the query",
    };
    ProviderError::Refused(what, words)
}

/// What the conversation waits for: the list, or the time to ask for it again.
struct Waits {
    listing: bool,
    since: Instant,
    patience: Patience,
}

impl Waits {
    fn begin(patience: Patience) -> Self {
        Self {
            listing: true,
            since: Instant::now(),
            patience,
        }
    }

    fn next(&self) -> Instant {
        if self.listing {
            self.since + self.patience.answer
        } else {
            self.since + self.patience.list_every
        }
    }

    /// Something came. Events do not make the list come later than it should.
    fn heard(&mut self, list: bool) {
        if list {
            self.listing = false;
        }
    }
}

/// A connection with its session.
struct Line {
    stream: TcpStream,
    session: Session,
    /// How long an answer may take.
    answer: Duration,
}

impl Line {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), ProviderError> {
        let sent = timeout(self.answer, self.stream.write_all(bytes)).await;
        let sent = sent.map_err(|_| ProviderError::Late(self.answer))?;
        sent.map_err(ProviderError::Broken)
    }

    /// Sends what the agent has to agree to.
    async fn agree(&mut self, bytes: &[u8]) -> Result<(), ProviderError> {
        self.send(bytes).await?;
        match self.told_until(Instant::now() + self.answer).await? {
            Told::Welcome => Ok(()),
            Told::Refused(request, words) => Err(refused(request, words)),
            // Nothing else was asked for, so the session lets nothing else through.
            _ => Err(Garbled::NotSerf.into()),
        }
    }

    /// The next thing told.
    async fn told_until(&mut self, until: Instant) -> Result<Told, ProviderError> {
        let mut piece = vec![0; PIECE];
        loop {
            if let Some(told) = self.session.next_told()? {
                return Ok(told);
            }
            // One that never stops to send is late, too, when what it sends is not what was asked for.
            if Instant::now() >= until {
                return Err(ProviderError::Late(self.answer));
            }
            let read = timeout_at(until, self.stream.read(&mut piece)).await;
            match read.map_err(|_| ProviderError::Late(self.answer))? {
                Ok(0) => return Err(ProviderError::Closed),
                Ok(count) => self.session.push(&piece[..count]),
                Err(error) => return Err(ProviderError::Broken(error)),
            }
        }
    }
}
