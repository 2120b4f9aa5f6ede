//! Boot helpers on their links: told their duty, and answered what machines on their segments ask.
//!
//! Whether an agent may help is asked at every question: a role that ended, a key that was revoked or a machine that became
//! disputed counts from the next packet on.

mod words;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use ipxe_net::BootFile;
use mesh_net::{Answer, Flow, LinkHandle};
use mesh_proto::message::{
    Refusal, RefusalCode,
    boot::{BootAnswer, BootAsk, Duty, HelperReport, HelperState, MAX_NOTES},
    link::{ControllerReply, ToAgent},
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use self::words::{client, nonce_ask, note, offer, received, script_ask};
use super::{Inner, Mesh, links::short, lock, reports::serial};
use crate::{
    boot::{Desk, Through},
    state::{
        event::Draft,
        helper::may_help,
        machine::{Machine, MachineId},
    },
};

/// How long a helper may take to say that it heard.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a boot file read at a time.
const PIECE: usize = 256 << 10;
/// Pieces on their way to a link: one is sent while the next is read.
const PIECES: usize = 2;

impl Mesh {
    /// Tells a machine's agent what its role is now, if its link stands. One that has none hears it in its welcome.
    pub fn tell_helper(&self, machine: &MachineId) {
        let (inner, machine) = (Arc::clone(&self.0), machine.clone());
        let link = lock(&inner.links)
            .get(machine.node())
            .map(|l| l.handle.clone());
        let Some(link) = link else { return };
        self.0.work.spawn(
            async move {
                let duty = inner.duty_of(&machine);
                if let Err(error) = link.ask(&ToAgent::Helper { duty }, TELL_WITHIN).await {
                    warn!(%machine, "a helper was not told of its role: {error}");
                }
            }
            .boxed(),
        );
    }

    /// How a helper says it is doing; `None` while its link is down, or when it said nothing yet.
    #[must_use]
    pub fn helping(&self, machine: &MachineId) -> Option<HelperReport> {
        let links = lock(&self.0.links);
        links.get(machine.node())?.helping.clone()
    }
}

impl Inner {
    /// What a machine's agent is to serve.
    pub(super) fn duty_of(&self, machine: &MachineId) -> Option<Duty> {
        let view = self.store.view();
        let machine = view.machine(machine)?;
        let role = machine.helper.as_ref()?;
        may_help(&view, machine).ok()?;
        Some(Duty {
            interfaces: role.interfaces.clone(),
        })
    }

    /// A helper asks in the name of a machine on its segment.
    pub(super) async fn boot(
        &self,
        link: &LinkHandle,
        ask: BootAsk,
    ) -> Result<ControllerReply, Refusal> {
        let helper = self.helper(link)?;
        let answer = self.boot_answer(ask, &helper).await?;
        Ok(ControllerReply::Boot { answer })
    }

    async fn boot_answer(&self, ask: BootAsk, helper: &Through) -> Result<BootAnswer, Refusal> {
        let desk = self.desk()?;
        Ok(match ask {
            BootAsk::Offer(asked) => {
                let told = desk.offer_through(&client(&asked)?, helper);
                BootAnswer::Offer(offer(told))
            }
            BootAsk::Notes { notes } => {
                if notes.len() > MAX_NOTES {
                    let text = format!("at most {MAX_NOTES} notes in one message");
                    return Err(Refusal::new(RefusalCode::Protocol, text));
                }
                // What one of them says wrongly must not cost the others.
                for note in notes.into_iter().filter_map(|n| note(n).ok()) {
                    desk.note_through(note, helper);
                }
                BootAnswer::Noted
            }
            BootAsk::Script(question) => {
                let controller = question.controller;
                let ask = script_ask(question)?;
                let text = desk.script_through(ask, controller, helper).await;
                BootAnswer::Script { text }
            }
            BootAsk::File { path } => BootAnswer::File {
                file: desk.file_through(&path).await,
            },
            BootAsk::Programs => BootAnswer::Programs {
                programs: desk.programs(),
            },
            BootAsk::Delegation => {
                let delegation = desk.delegate(helper).await.map_err(|_| unwritten())?;
                let signed = self.ca.sign_delegation(&delegation);
                BootAnswer::Delegation(signed.map_err(|error| {
                    warn!("a delegation could not be signed: {error}");
                    Refusal::new(RefusalCode::Failed, "the delegation could not be signed")
                })?)
            }
            BootAsk::Served(served) => {
                let go = desk.served_through(served, helper).await;
                BootAnswer::Served {
                    go: go.map_err(|_| unwritten())?,
                }
            }
            BootAsk::NonceFile(question) => {
                let file = desk.nonce_through(nonce_ask(question)).await;
                BootAnswer::NonceFile(file.ok_or_else(unwritten)?)
            }
            BootAsk::Received(file) => match desk.received_through(received(file)).await {
                true => BootAnswer::Noted,
                false => return Err(unwritten()),
            },
            BootAsk::Callback { nonce, failure } => {
                let known = desk.callback_through(nonce, failure).await;
                let known = known.ok_or_else(unwritten)?;
                BootAnswer::Callback { known }
            }
        })
    }

    /// The bytes of a file that was named lately.
    pub(super) fn boot_file(&self, link: &LinkHandle, sha256: &str) -> Result<Answer, Refusal> {
        self.helper(link)?;
        let unnamed = || {
            let text = "no answer has named this file lately; ask for it by its name again";
            Refusal::new(RefusalCode::NotAllowed, text)
        };
        let file = self.desk()?.bytes_named(sha256).ok_or_else(unnamed)?;
        Ok(Answer::Follows(flow(file)))
    }

    /// A helper says how it is doing.
    pub(super) fn take_helping(&self, link: &LinkHandle, report: &HelperReport) {
        let report = HelperReport {
            state: report.state,
            text: short(&report.text),
        };
        let node = link.peer().node;
        if !lock(&self.links).set_helping(node, report.clone()) {
            return;
        }
        let machine = MachineId::from(node);
        let name = self.store.view().machine_name(&machine);
        debug!(%machine, "a helper says: {}", report.text);
        let kind = match report.state {
            HelperState::Serving => "helper.serving",
            HelperState::Failed => "helper.failed",
            HelperState::Starting | HelperState::Off => return,
        };
        let text = format!("{name}, a boot helper: {}", report.text);
        self.store.note(Draft::new(kind, text).machine(&machine));
    }

    /// Who asks, if they may ask for others.
    fn helper(&self, link: &LinkHandle) -> Result<Through, Refusal> {
        let view = self.store.view();
        let no = |text: String| Refusal::new(RefusalCode::NotAllowed, text);
        let machine = MachineId::from(link.peer().node);
        let found = view.machine(&machine);
        let found = found.ok_or_else(|| no("this machine is not known".to_owned()))?;
        if found.helper.is_none() {
            return Err(no(format!("{} is no boot helper", found.name)));
        }
        may_help(&view, found).map_err(|why| no(why.to_string()))?;
        // An older link of the machine, with another key, speaks for nobody.
        let same = view
            .member(&machine)
            .is_some_and(|m| m.serial == serial(link));
        if !same {
            return Err(no("a newer link of this machine stands".to_owned()));
        }
        Ok(through(found))
    }

    fn desk(&self) -> Result<&Arc<Desk>, Refusal> {
        let none = || Refusal::new(RefusalCode::Unsupported, "this controller serves no boot");
        self.desk.as_ref().ok_or_else(none)
    }
}

fn through(machine: &Machine) -> Through {
    Through {
        node: machine.id.node(),
        name: machine.name.to_string(),
    }
}

fn unwritten() -> Refusal {
    let text = "the controller cannot write its state now; try again";
    Refusal::new(RefusalCode::Busy, text)
}

/// A file's bytes, read as the link takes them.
fn flow(file: BootFile) -> Flow {
    let (give, bytes) = mpsc::channel(PIECES);
    let len = Some(file.size());
    tokio::spawn(
        async move {
            let mut offset = 0;
            // One that cannot be read, or never comes here whole, ends the stream early: the other side sees that bytes are missing.
            while let Some(piece) = piece(&file, offset).await {
                offset += piece.len() as u64;
                if give.send(piece).await.is_err() {
                    return;
                }
            }
        }
        .boxed(),
    );
    Flow { len, bytes }
}

/// The bytes from `offset` on, once they are here; nothing at the end.
async fn piece(file: &BootFile, offset: u64) -> Option<Bytes> {
    if offset >= file.size() {
        return None;
    }
    file.readable_behind(offset).await.ok()?;
    let file = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; PIECE];
        let read = file.read_at(&mut piece, offset)?;
        piece.truncate(read);
        std::io::Result::Ok(Bytes::from(piece))
    });
    let piece = read.await.ok()?;
    let piece = piece.inspect_err(|error| warn!(%error, "a boot file cannot be read"));
    piece.ok().filter(|piece| !piece.is_empty())
}
