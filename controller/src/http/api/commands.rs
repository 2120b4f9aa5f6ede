//! Commands: what machines were asked to do, and how it went.

use axum::{extract::State, http::StatusCode};
use mesh_proto::message::command::Command;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page, PageQuery, by_number, machines,
    search::{has_labels, labels},
    words::CommandStage,
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::{Code, Problem},
        extract::{Params, Segment},
        once::Keyed,
        scope::Scope,
    },
    state::{
        Timestamp, View,
        command::{CommandId, CommandRecord},
        ops::{CommandError, Giver, MachineRef},
    },
};

/// How long a machine shows itself when nobody says otherwise, seconds.
const IDENTIFY_S: u32 = 60;
/// And at most: a lamp that is on for a day finds nobody any more.
const MAX_IDENTIFY_S: u32 = 3600;

/// What a machine can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// Restart.
    Reboot,
    /// Show itself, by screen and lamp.
    Identify,
    /// Read its hardware again.
    Inventory,
    /// Management OS: start the disk. Installed OS: power off.
    Stop,
    /// Make a new key and have it certified.
    RotateKeys,
}

/// A command to give.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandBody {
    /// What to do.
    pub r#do: Doing,
    /// For how long to show itself; 60 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

impl CommandBody {
    fn command(&self) -> Result<Command, Problem> {
        let seconds = self.seconds.unwrap_or(IDENTIFY_S);
        if !(1..=MAX_IDENTIFY_S).contains(&seconds) {
            let text = format!("seconds: {seconds} is not between 1 and {MAX_IDENTIFY_S}");
            return Err(Problem::new(Code::BadValue, text));
        }
        Ok(match self.r#do {
            Doing::Reboot => Command::Reboot,
            Doing::Identify => Command::Identify { seconds },
            Doing::Inventory => Command::Inventory,
            Doing::Stop => Command::Stop,
            Doing::RotateKeys => Command::RotateKeys,
        })
    }
}

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Command)]
pub struct CommandDoc {
    /// Its number; later ones are larger.
    pub id: u64,
    /// The machine's id.
    pub machine: String,
    /// The machine's name.
    pub machine_name: String,
    /// What it was asked to do, such as `reboot`.
    pub r#do: String,
    /// Who asked.
    pub by: String,
    /// Where it stands.
    pub stage: CommandStage,
    /// Whether its end is still to come.
    pub open: bool,
    /// The agent's last word on it, or ours.
    pub text: Option<String>,
    /// When it was asked for.
    pub issued: Timestamp,
    /// When it was settled.
    pub settled: Option<Timestamp>,
}

impl CommandDoc {
    fn of(record: &CommandRecord, view: &View) -> Self {
        Self {
            id: record.id.0,
            machine: record.machine.to_string(),
            machine_name: view.machine_name(&record.machine),
            r#do: record.command.name().to_owned(),
            by: record.by.clone(),
            stage: record.stage.into(),
            open: record.stage.is_open(),
            text: record.text.clone(),
            issued: record.issued,
            settled: record.settled,
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let code = match error {
            CommandError::Held(held) => return held.into(),
            CommandError::KeyReused(reused) => return reused.into(),
            CommandError::NotKept(_) => Code::CommandNotFound,
            CommandError::NoMachine(_) => Code::MachineNotFound,
            CommandError::NoMember(_) => Code::MemberNotFound,
            CommandError::NotAlive { .. } => Code::MemberNotAlive,
            CommandError::NotAccepted(_) => Code::MachineNotAccepted,
            CommandError::Disputed(_) => Code::MachineDisputed,
            CommandError::LevelTooLow(..) => Code::LevelTooLow,
            CommandError::NotRegistered(_) => Code::MachineNotRegistered,
            CommandError::OnlyReboot(..) | CommandError::CannotBeAsked(_) => Code::ProviderCannot,
            CommandError::TwoMembers(..) => Code::MachineDisputed,
            CommandError::TooMany(_) => Code::TooManyCommands,
        };
        Self::new(code, error.to_string())
    }
}

/// Gives a machine a command. It is written down before it is sent; ask for it to see how it went.
#[utoipa::path(post, path = "/machines/{machine}/commands", tag = "commands", operation_id = "commands_issue", request_body = CommandBody,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling"), Keyed<CommandBody>),
    responses((status = 202, body = CommandDoc)))]
pub(crate) async fn issue(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    Keyed { key, body }: Keyed<CommandBody>,
) -> Result<(StatusCode, Json<CommandDoc>), Problem> {
    let command = body.command()?;
    let by = Giver::Person(caller.name);
    let issued = api.command(MachineRef(machine), command, by, key).await?;
    let document = CommandDoc::of(&issued, &api.store.view());
    Ok((StatusCode::ACCEPTED, Json(document)))
}

/// Who sent magic packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Woken)]
pub struct WokenDoc {
    /// `controller`, and the names of members that were asked to help.
    pub sent_by: Vec<String>,
}

/// Wakes a machine: magic packets from the controller's segments and from some members'.
#[utoipa::path(post, path = "/machines/{machine}/wake", tag = "commands", operation_id = "machines_wake",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = WokenDoc)))]
pub(crate) async fn wake(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
) -> Result<Json<WokenDoc>, Problem> {
    let mesh = api.mesh()?;
    let machine = machines::find(&api.store.view(), &machine)?;
    let sent_by = mesh.wake(&machine, &caller.name).await;
    Ok(Json(WokenDoc { sent_by }))
}

/// Which commands to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only those for this machine.
    #[serde(default)]
    machine: Option<String>,
    /// Only those that stand so.
    #[serde(default)]
    #[param(inline)]
    state: Option<CommandStage>,
    /// Only those whose machine's labels fit: `pool=web`, `rack!=r1`, `!spare`; repeat it for more.
    #[serde(default)]
    #[param(value_type = Option<Vec<String>>, style = Form, explode)]
    label: Option<String>,
    /// Only entries in which all these words stand, in any case: names, addresses, texts.
    #[serde(default)]
    q: Option<String>,
    /// Entries wanted, 1 to 1000.
    #[serde(default)]
    limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// Lists commands, oldest first.
#[utoipa::path(get, path = "/commands", tag = "commands", operation_id = "commands_list", params(ListQuery),
    responses((status = 200, body = Page<CommandDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<CommandDoc>>, Problem> {
    let view = api.store.view();
    let machine = query
        .machine
        .map(|text| scope.find(&view, &text))
        .transpose()?;
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
        q: query.q,
    };
    let labels = labels(query.label.as_deref())?;
    let wanted = |c: &&std::sync::Arc<CommandRecord>| {
        machine.as_ref().is_none_or(|m| m.id == c.machine)
            && query.state.is_none_or(|s| s == c.stage.into())
            && has_labels(labels.as_ref(), &c.machine, &view)
            && scope.reaches(Some(&c.machine), &view)
    };
    page.cut(
        view.commands().filter(wanted),
        |c| by_number(c.id.0),
        |c| CommandDoc::of(c, &view),
    )
}

/// Shows a command.
#[utoipa::path(get, path = "/commands/{id}", tag = "commands", operation_id = "commands_show",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = CommandDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    scope: Scope,
    id: Segment,
) -> Result<Json<CommandDoc>, Problem> {
    let view = api.store.view();
    let id: CommandId = id.parse("command")?;
    let none = || {
        let text = format!("there is no command {id}; only the last ones of each machine are kept");
        Problem::new(Code::CommandNotFound, text)
    };
    let found = view.command(id);
    let found = found.filter(|c| scope.reaches(Some(&c.machine), &view));
    let found = found.ok_or_else(none)?;
    Ok(Json(CommandDoc::of(found, &view)))
}
