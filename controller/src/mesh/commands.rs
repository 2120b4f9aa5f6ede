//! Commands on their way: written down before they are sent, settled by the last word.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use mesh_net::{CallError, LinkHandle};
use mesh_proto::message::{
    RefusalCode,
    command::Command,
    link::{AgentReply, ToAgent},
};
use tracing::{info, warn};

use super::{Inner, Mesh, lock};
use crate::{
    metrics::Counter,
    state::{
        answered::RequestKey,
        boot::next_boot_wanted,
        command::{CommandId, CommandRecord, SETTLE_WITHIN},
        machine::MachineId,
        ops::{
            CommandError, CommandWord, Giver, IssueCommand, MachineRef, Once, OnceMade, Settle,
            given_before,
        },
    },
    store::StoreError,
};

/// How long an order is good from its receipt: a person who sent it still stands there.
const ORDER_TTL_MS: u32 = 30_000;
/// How long an agent may take to read its hardware and send it.
const FACTS_WITHIN: Duration = Duration::from_secs(30);

impl Mesh {
    /// Writes a command down and sends it; what becomes of it is read from the store.
    ///
    /// # Errors
    /// As the store says.
    pub async fn command(
        &self,
        machine: MachineRef,
        command: Command,
        by: Giver,
    ) -> Result<Result<CommandRecord, CommandError>, StoreError> {
        self.0.command(machine, command, by, None).await
    }

    /// The same for a request with a name: asked for again, it is the command that was given then.
    ///
    /// # Errors
    /// As the store says.
    pub async fn command_once(
        &self,
        machine: MachineRef,
        command: Command,
        by: Giver,
        key: Option<RequestKey>,
    ) -> Result<Result<CommandRecord, CommandError>, StoreError> {
        self.0.command(machine, command, by, key).await
    }
}

impl Inner {
    async fn command(
        self: &Arc<Self>,
        machine: MachineRef,
        command: Command,
        by: Giver,
        key: Option<RequestKey>,
    ) -> Result<Result<CommandRecord, CommandError>, StoreError> {
        let wants = IssueCommand {
            machine,
            command,
            ttl_ms: ORDER_TTL_MS,
            by,
        };
        let issued = match self.store.apply(Once { key, wants }).await? {
            Ok(OnceMade::Now(issued)) => issued,
            Ok(OnceMade::Before(made)) => return Ok(given_before(&made, &self.store.view())),
            Err(reused) => return Ok(Err(reused.into())),
        };
        if let Ok(record) = &issued {
            let link = lock(&self.links)
                .get(record.machine.node())
                .map(|l| l.handle.clone());
            let (inner, record) = (Arc::clone(self), record.clone());
            self.work
                .spawn(async move { inner.carry(record, link).await }.boxed());
        }
        Ok(issued)
    }

    async fn carry(&self, record: CommandRecord, link: Option<LinkHandle>) {
        self.settle(record.id, CommandWord::Sent).await;
        let word = match link {
            Some(link) => self.deliver(&record, &link).await,
            None => Some(CommandWord::Lost(
                "its link ended before it was sent".to_owned(),
            )),
        };
        if let Some(word) = word {
            self.settle(record.id, word).await;
        }
    }

    /// Sends it and hears what becomes of it. `None`: it is not known yet.
    async fn deliver(&self, record: &CommandRecord, link: &LinkHandle) -> Option<CommandWord> {
        let order = ToAgent::Command(record.order());
        let mut replies = match link.call(&order, within(&record.command)).await {
            Ok(replies) => replies,
            Err(error) => return unheard(&record.command, &error),
        };
        while let Some(reply) = replies.next().await {
            match reply {
                Ok(AgentReply::Progress { text }) => {
                    self.settle(record.id, CommandWord::Progress(text)).await;
                }
                Ok(AgentReply::Done { text }) => return Some(CommandWord::Done(text)),
                Ok(AgentReply::Refused(no)) if no.code == RefusalCode::Failed => {
                    return Some(CommandWord::Failed(no.text));
                }
                Ok(AgentReply::Refused(no)) => return Some(CommandWord::Refused(no.text)),
                Ok(AgentReply::Facts(_) | AgentReply::Ok) => {
                    return Some(CommandWord::Failed(
                        "the agent's answer made no sense".to_owned(),
                    ));
                }
                Err(error) => return unheard(&record.command, &error),
            }
        }
        unheard(&record.command, &CallError::Dropped)
    }

    async fn settle(&self, id: CommandId, word: CommandWord) {
        let settled = self.store.apply(Settle { id, word }).await;
        match settled {
            Ok(Some(record)) if !record.stage.is_open() => {
                info!(command = %record.id, what = record.command.name(), machine = %record.machine,
                    stage = record.stage.word(), "a command is settled");
                self.metrics.count(Counter::Commands, record.stage.word());
            }
            Ok(_) => {}
            Err(error) => {
                warn!(%error, command = %id, "what became of a command could not be written down");
            }
        }
    }

    /// Asks an agent for its facts and writes them down.
    pub(super) async fn pull_facts(self: &Arc<Self>, link: &LinkHandle) {
        let node = link.peer().node;
        if !lock(&self.pulling).insert(node) {
            return;
        }
        let asked = link.ask(&ToAgent::Facts, FACTS_WITHIN).await;
        lock(&self.pulling).remove(&node);
        match asked {
            Ok(AgentReply::Facts(report)) => {
                if let Err(refusal) = self.take_facts(link, *report).await {
                    link.close(mesh_net::CloseCode::Refused, &refusal.text);
                }
            }
            Ok(_) => warn!(%node, "an agent did not send its facts"),
            Err(error) => warn!(%node, "an agent's facts did not come: {error}"),
        }
    }

    /// A machine that idles in the management OS while something else is due for it is started again (DESIGN §4.3).
    pub(super) async fn go_on(self: &Arc<Self>, id: &MachineId) {
        let wanted = next_boot_wanted(&self.store.view(), id, self.store.now());
        let Some(why) = wanted else {
            return;
        };
        let by = Giver::Controller("enforcer".to_owned());
        let issued = self
            .command(MachineRef(id.to_string()), Command::Reboot, by, None)
            .await;
        match issued {
            Ok(Ok(_)) => {
                info!(machine = %id, why, "the machine goes on into what is due for it");
            }
            Ok(Err(error)) => info!(machine = %id, "the machine does not go on: {error}"),
            Err(error) => warn!(machine = %id, %error, "the machine does not go on"),
        }
    }
}

fn within(command: &Command) -> Duration {
    let settle = SETTLE_WITHIN.unsigned_abs();
    match command {
        Command::Identify { seconds } => settle + Duration::from_secs((*seconds).into()),
        Command::Reboot
        | Command::Inventory
        | Command::Wake { .. }
        | Command::Stop
        | Command::RotateKeys => settle,
    }
}

/// What is known when the answer did not come. A reboot may have been faster than its acknowledgement: the machine's
/// next hello tells.
fn unheard(command: &Command, error: &CallError) -> Option<CommandWord> {
    match command {
        Command::Reboot | Command::Stop => None,
        Command::Identify { .. }
        | Command::Inventory
        | Command::Wake { .. }
        | Command::RotateKeys => Some(CommandWord::Lost(format!(
            "the agent did not say how it went: {error}"
        ))),
    }
}
