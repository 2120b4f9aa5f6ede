//! A member of a provider is asked to restart: the only thing that other people's agents can be asked for.

use mesh_proto::message::command::Command;

use super::{CommandError, Giver, MachineRef, commands::issue};
use crate::state::{
    Changes, Timestamp, Transition, View,
    command::CommandRecord,
    machine::{Machine, Standing},
    provider::{ProviderKind, ProviderMember},
};

/// Whether a machine is asked through a provider: no agent of ours speaks for it, but a member of a provider does, or did.
#[must_use]
pub fn speaks_by_provider(view: &View, machine: &Machine) -> bool {
    let ours = view.member(&machine.id);
    let theirs = || view.provider_members_of(&machine.id);
    match ours {
        Some(member) if member.is_alive() => false,
        Some(_) => theirs().any(|m| m.is_alive()),
        None => theirs().next().is_some(),
    }
}

/// A person asks a machine to restart, through a provider.
#[derive(Debug, Clone)]
pub struct IssueQuery {
    /// Whom.
    pub machine: MachineRef,
    /// What.
    pub command: Command,
    /// How long the provider waits for the acknowledgement, milliseconds.
    pub ttl_ms: u32,
    /// Who gives it.
    pub by: Giver,
}

impl Transition for IssueQuery {
    /// The command, and the member that it goes to.
    type Outcome = Result<(CommandRecord, ProviderMember), CommandError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let allowed = self.allowed(view, now).and_then(|(machine, member)| {
            // Its boot is not known; the name keeps it apart from those that an agent of ours has.
            let boot = format!("{}/{}", member.source(), member.node);
            let asked = (&self.command, self.ttl_ms, self.by.name());
            let record = issue(view, &machine, &boot, asked, now, &mut changes)?;
            Ok((record, member))
        });
        (changes, allowed)
    }
}

impl IssueQuery {
    fn allowed(
        &self,
        view: &View,
        now: Timestamp,
    ) -> Result<(Machine, ProviderMember), CommandError> {
        let missing = || CommandError::NoMachine(self.machine.0.clone());
        let machine = Machine::clone(&*self.machine.find(view).ok_or_else(missing)?);
        self.by.may_ask(&machine, &self.command, now)?;
        let name = || machine.name.to_string();
        if self.command != Command::Reboot {
            return Err(CommandError::OnlyReboot(name(), self.command.name()));
        }
        // A tag is nobody's word: a person has to have said that the machine is ours.
        if machine.standing == Standing::Seen {
            return Err(CommandError::NotRegistered(name()));
        }
        if machine.disputed.is_some() {
            return Err(CommandError::Disputed(name()));
        }
        let member = only_one(view, &machine)?;
        Ok((machine, member))
    }
}

/// The one living member that can be asked.
fn only_one(view: &View, machine: &Machine) -> Result<ProviderMember, CommandError> {
    let name = || machine.name.to_string();
    let members = || view.provider_members_of(&machine.id);
    let askable = |m: &&std::sync::Arc<ProviderMember>| m.kind == ProviderKind::Serf;
    let alive: Vec<_> = members().filter(askable).filter(|m| m.is_alive()).collect();
    match alive.as_slice() {
        [one] => Ok(ProviderMember::clone(one)),
        [] => {
            let last = members().find(askable);
            Err(match last {
                Some(member) => CommandError::NotAlive {
                    name: name(),
                    state: member.state.word(),
                    why: member.why.clone(),
                },
                None => CommandError::CannotBeAsked(name()),
            })
        }
        [first, second, ..] => Err(CommandError::TwoMembers(
            name(),
            first.node.to_string(),
            second.node.to_string(),
        )),
    }
}
