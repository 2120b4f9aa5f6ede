//! A helper's way to the controller: questions with a limit, and what happened on the sockets, in order.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mesh_net::{AgentLink, CallError};
use mesh_proto::message::Refusal;
use mesh_proto::message::boot::{BootAnswer, BootAsk, MAX_NOTES, Note};
use mesh_proto::message::link::{ControllerReply, FromAgent};
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

/// Notes that wait while the controller is away; the oldest makes room, as what it tells fades.
const NOTES: usize = 4096;
/// Time for notes to be taken.
const TELL: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// No link stands, or nothing came over it in time.
    Away,
    /// The controller said no.
    Refused(Refusal),
}

/// The way.
#[derive(Debug)]
pub(super) struct Line {
    link: watch::Receiver<Option<AgentLink>>,
    notes: Mutex<VecDeque<Note>>,
    noted: Notify,
    /// Held while notes are on their way: what is asked afterwards comes after them.
    telling: AsyncMutex<()>,
}

impl Line {
    pub(super) fn new(link: watch::Receiver<Option<AgentLink>>) -> Self {
        Self {
            link,
            notes: Mutex::default(),
            noted: Notify::new(),
            telling: AsyncMutex::default(),
        }
    }

    /// The link that stands now.
    pub(super) fn link(&self) -> Option<AgentLink> {
        self.link.borrow().clone()
    }

    /// Waits until another link stands, or none any more.
    pub(super) async fn changed(&self) {
        let mut link = self.link.clone();
        link.mark_unchanged();
        if link.changed().await.is_err() {
            // The agent goes down; so does who waits here.
            std::future::pending::<()>().await;
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// When there is no answer within `within`.
    pub(super) async fn ask(&self, ask: BootAsk, within: Duration) -> Result<BootAnswer, NoAnswer> {
        let link = self.link().ok_or(NoAnswer::Away)?;
        match link.call(&FromAgent::Boot { ask }, within).await {
            Ok(ControllerReply::Boot { answer }) => Ok(answer),
            Err(CallError::Refused(refusal)) => Err(NoAnswer::Refused(refusal)),
            Ok(_) | Err(_) => Err(NoAnswer::Away),
        }
    }

    /// Remembers what happened, to be told soon.
    pub(super) fn note(&self, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == NOTES {
            notes.pop_front();
        }
        notes.push_back(note);
        self.noted.notify_one();
    }

    /// Waits until there is something to tell.
    pub(super) async fn noted(&self) {
        self.noted.notified().await;
    }

    /// Tells all that happened so far. What the controller does not take stays, for the next time.
    pub(super) async fn tell(&self) {
        let _one_after_another = self.telling.lock().await;
        loop {
            let notes = self.first_notes();
            if notes.is_empty() {
                return;
            }
            let ask = BootAsk::Notes {
                notes: notes.clone(),
            };
            if self.ask(ask, TELL).await == Err(NoAnswer::Away) {
                return self.put_back(notes);
            }
        }
    }

    fn first_notes(&self) -> Vec<Note> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let many = notes.len().min(MAX_NOTES);
        notes.drain(..many).collect()
    }

    fn put_back(&self, told: Vec<Note>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        for note in told.into_iter().rev() {
            if notes.len() == NOTES {
                return;
            }
            notes.push_front(note);
        }
    }
}
