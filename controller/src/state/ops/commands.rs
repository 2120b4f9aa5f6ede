//! Commands are issued and settled.

use mesh_proto::message::{command::Command, enrol::Level};

use super::{
    KeyReused, MachineRef,
    holds::{Held, may_use},
};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    answered::Made,
    command::{CommandId, CommandRecord, CommandStage, KEPT, MAX_OPEN},
    event::Draft,
    machine::{Machine, Standing},
    member::Member,
    trust::admit::needs,
};

/// Longest word of an agent about a command, characters.
const MAX_WORDS: usize = 300;

/// Why a command cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Somebody else has the machine.
    #[error(transparent)]
    Held(#[from] Held),
    /// No such machine.
    #[error("no machine is called '{0}'; `enforcer machines list` shows the known ones")]
    NoMachine(String),
    /// It never had a link.
    #[error(
        "{0} is no member: no agent runs on it; start it into the management OS, or install the agent"
    )]
    NoMember(String),
    /// Its link does not speak.
    #[error("{name} is {state} ({why}); it can be asked when it is back")]
    NotAlive {
        /// Which.
        name: String,
        /// `unreachable`, `down` or `left`.
        state: &'static str,
        /// Why.
        why: String,
    },
    /// Nobody said that it is ours.
    #[error("{0} is not accepted; accept it first: `enforcer machines accept {0}`")]
    NotAccepted(String),
    /// Two claims.
    #[error(
        "{0} is disputed; decide first which one it is: `enforcer machines resolve {0} --keep enrolled|newcomer`"
    )]
    Disputed(String),
    /// The key was proved too weakly.
    #[error(
        "{0}'s key was not proved well enough for {1}; compare its pairing code: `enforcer machines accept {0} --code ...`"
    )]
    LevelTooLow(String, &'static str),
    /// Nobody said that it is ours, and only a provider knows it.
    #[error("{0} is only seen; say that it is yours: `enforcer machines register MAC`")]
    NotRegistered(String),
    /// Other people's agents do one thing.
    #[error(
        "{0} has no agent of ours: through a provider it can be asked to reboot, and not to {1}"
    )]
    OnlyReboot(String, &'static str),
    /// Its provider has no means to ask.
    #[error(
        "{0} is known to Consul only, which has no way to ask it and hear an answer; give it a power address, or our agent"
    )]
    CannotBeAsked(String),
    /// Two agents claim the machine.
    #[error("{0} is claimed by two members, {1} and {2}; correct their tags first")]
    TwoMembers(String, String, String),
    /// The request's name is another's.
    #[error(transparent)]
    KeyReused(#[from] KeyReused),
    /// It was given before, and is no longer kept.
    #[error("command {0} was given for this Idempotency-Key, and is no longer kept")]
    NotKept(CommandId),
    /// Too much at once.
    #[error("{0} has {MAX_OPEN} commands open; wait until one is settled")]
    TooMany(String),
}

/// The command that was given before under a request's name.
///
/// # Errors
/// When it is no longer kept.
pub fn given_before(made: &Made, view: &View) -> Result<CommandRecord, CommandError> {
    let id = match made {
        Made::Command { id } => *id,
        // A request is the same only when its path is: what it made is a command.
        Made::Activations { .. } | Made::Deployments { .. } => return Err(KeyReused.into()),
    };
    let kept = view.command(id).map(|c| CommandRecord::clone(c));
    kept.ok_or(CommandError::NotKept(id))
}

/// Who gives a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Giver {
    /// A person, as the API names them: what disturbs is refused them while somebody else has the machine.
    Person(String),
    /// The controller, for what somebody was allowed before; for people.
    Controller(String),
}

impl Giver {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Person(name) | Self::Controller(name) => name,
        }
    }

    pub(super) fn may_ask(
        &self,
        machine: &Machine,
        command: &Command,
        now: Timestamp,
    ) -> Result<(), Held> {
        match self {
            Self::Person(name) if disturbs(command) => may_use(machine, name, now),
            Self::Person(_) | Self::Controller(_) => Ok(()),
        }
    }
}

/// Whether who works on the machine would notice.
fn disturbs(command: &Command) -> bool {
    match command {
        Command::Reboot | Command::Stop | Command::RotateKeys => true,
        Command::Identify { .. } | Command::Inventory | Command::Wake { .. } => false,
    }
}

/// A machine is given a command.
#[derive(Debug, Clone)]
pub struct IssueCommand {
    /// Whom.
    pub machine: MachineRef,
    /// What.
    pub command: Command,
    /// Good for so long after its receipt, milliseconds.
    pub ttl_ms: u32,
    /// Who gives it.
    pub by: Giver,
}

impl Transition for IssueCommand {
    type Outcome = Result<CommandRecord, CommandError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let (machine, member) = match self.allowed(view, now) {
            Ok(both) => both,
            Err(error) => return (changes, Err(error)),
        };
        let asked = (&self.command, self.ttl_ms, self.by.name());
        let issued = issue(view, &machine, &member.boot_id, asked, now, &mut changes);
        (changes, issued)
    }
}

/// Writes a command down that nothing speaks against, unless too many are open: what, good for how long, by whom.
pub(super) fn issue(
    view: &View,
    machine: &Machine,
    boot_id: &str,
    (command, ttl_ms, by): (&Command, u32, &str),
    now: Timestamp,
    changes: &mut Changes,
) -> Result<CommandRecord, CommandError> {
    let open = view.commands_of(&machine.id).filter(|c| c.stage.is_open());
    if open.count() >= MAX_OPEN {
        return Err(CommandError::TooMany(machine.name.to_string()));
    }
    let record = CommandRecord {
        id: view.next_command(),
        machine: machine.id.clone(),
        boot_id: boot_id.to_owned(),
        command: command.clone(),
        ttl_ms,
        by: by.to_owned(),
        issued: now,
        stage: CommandStage::Issued,
        text: None,
        settled: None,
    };
    forget_oldest(view, machine, changes);
    let text = format!("{by} asked {} to {}", machine.name, command.name());
    changes.event(about("command.issued", &record, text));
    changes.write(record.clone());
    Ok(record)
}

impl IssueCommand {
    fn allowed(&self, view: &View, now: Timestamp) -> Result<(Machine, Member), CommandError> {
        let missing = || CommandError::NoMachine(self.machine.0.clone());
        let machine = Machine::clone(&*self.machine.find(view).ok_or_else(missing)?);
        self.by.may_ask(&machine, &self.command, now)?;
        let name = || machine.name.to_string();
        let no_member = || CommandError::NoMember(name());
        let member = view.member(&machine.id).ok_or_else(no_member)?;
        if !member.is_alive() {
            return Err(CommandError::NotAlive {
                name: name(),
                state: member.state.word(),
                why: member.why.clone(),
            });
        }
        let needs = needs(&self.command);
        if needs.accepted && machine.disputed.is_some() {
            return Err(CommandError::Disputed(name()));
        }
        if needs.accepted && machine.standing != Standing::Accepted {
            return Err(CommandError::NotAccepted(name()));
        }
        let level = view.key(&member.serial).map_or(Level::T1, |k| k.level);
        if level < needs.level {
            return Err(CommandError::LevelTooLow(name(), self.command.name()));
        }
        let member = Member::clone(member);
        Ok((machine, member))
    }
}

fn forget_oldest(view: &View, machine: &Machine, changes: &mut Changes) {
    let settled: Vec<_> = view
        .commands_of(&machine.id)
        .filter(|c| !c.stage.is_open())
        .map(|c| c.id)
        .collect();
    // The newest number is never given twice, so its record stays.
    for id in settled.iter().take(settled.len().saturating_sub(KEPT)) {
        changes.write(Key::Command(*id));
    }
}

fn about(kind: &str, command: &CommandRecord, text: String) -> Draft {
    Draft::new(kind, text)
        .machine(&command.machine)
        .field("command", command.id.to_string())
        .field("do", command.command.name())
}

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandWord {
    /// It goes out now.
    Sent,
    /// The agent says how far it is.
    Progress(String),
    /// Done, or for a reboot about to be.
    Done(String),
    /// It went wrong.
    Failed(String),
    /// The agent would not.
    Refused(String),
    /// Nobody took it in time.
    Expired,
    /// We will not hear how it went.
    Lost(String),
}

/// Something became known of a command. What is settled stays as it is.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Which.
    pub id: CommandId,
    /// What.
    pub word: CommandWord,
}

impl Transition for Settle {
    /// The command as it is now; `None`: no such command.
    type Outcome = Option<CommandRecord>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.command(self.id) else {
            return (changes, None);
        };
        if !known.stage.is_open() {
            return (changes, Some(CommandRecord::clone(known)));
        }
        let (stage, text) = match &self.word {
            CommandWord::Sent => (CommandStage::Sent, None),
            CommandWord::Progress(text) => (CommandStage::Sent, Some(text)),
            CommandWord::Done(text) => (CommandStage::Done, Some(text)),
            CommandWord::Failed(text) => (CommandStage::Failed, Some(text)),
            CommandWord::Refused(text) => (CommandStage::Refused, Some(text)),
            CommandWord::Expired => (CommandStage::Expired, None),
            CommandWord::Lost(text) => (CommandStage::Lost, Some(text)),
        };
        let said = text.map(|t| bounded(t));
        let after = if stage.is_open() {
            let mut next = CommandRecord::clone(known);
            next.stage = stage;
            next.text = said.or(next.text);
            if next != **known {
                changes.write(next.clone());
            }
            next
        } else {
            let text = said.unwrap_or_else(|| "nobody took it in time".to_owned());
            settle(view, known, stage, text, now, &mut changes)
        };
        (changes, Some(after))
    }
}

/// Writes a command's end down.
pub(super) fn settle(
    view: &View,
    command: &CommandRecord,
    stage: CommandStage,
    text: String,
    now: Timestamp,
    changes: &mut Changes,
) -> CommandRecord {
    let name = view.machine_name(&command.machine);
    let told = format!(
        "{} on {name}: {}: {text}",
        command.command.name(),
        stage.word()
    );
    let next = CommandRecord {
        stage,
        text: Some(text),
        settled: Some(now),
        ..command.clone()
    };
    changes.event(about(&format!("command.{}", stage.word()), &next, told));
    changes.write(next.clone());
    next
}

/// Commands that nobody waits for any longer.
pub(super) fn expire_overdue(view: &View, now: Timestamp, changes: &mut Changes) {
    for command in view.open_commands().filter(|c| now >= c.overdue_at()) {
        let (stage, text) = match command.stage {
            CommandStage::Sent => (CommandStage::Lost, "the agent never said how it went"),
            _ => (CommandStage::Expired, "nobody took it in time"),
        };
        settle(view, command, stage, text.to_owned(), now, changes);
    }
}

/// An agent's words, cut and cleaned for people's eyes.
fn bounded(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_WORDS)
        .collect()
}
