//! Power: who switches a machine, and switching it.

use axum::{extract::State, http::StatusCode};
use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::machines;
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::{Code, Problem},
        extract::{JsonBody, Segment, parse},
    },
    state::{
        ops::{AskPower, MachineRef, SetPower},
        power::{Means, PowerAction, PowerState},
        revision::Subject,
    },
};

/// Longest password of a management controller, bytes; IPMI knows 20.
const MAX_SECRET: usize = 256;

/// Who switches a machine.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerSettingsBody {
    /// `ipmi://user@host`, `redfish://user@host`, `wol`, or `none`.
    pub address: String,
    /// The management controller's password; absent: the one that is known for the same address stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Who switches a machine, without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PowerSettings)]
pub struct PowerSettingsDoc {
    /// `ipmi://user@host`, `redfish://user@host`, `wol`.
    pub address: String,
    /// Whether a password is kept for it.
    pub secret: bool,
}

/// Shows who switches a machine.
#[utoipa::path(get, path = "/machines/{machine}/power-settings", tag = "machines", operation_id = "machines_show_power",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = PowerSettingsDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Segment(machine): Segment,
) -> Result<Tagged<PowerSettingsDoc>, Problem> {
    let view = api.store.view();
    let machine = machines::find(&view, &machine)?;
    let none = || {
        let text = format!(
            "{0} has no power address; `enforcer machines set {0} --power ADDRESS` gives it one",
            machine.name
        );
        Problem::new(Code::PowerSettingsNotFound, text)
    };
    let known = view.power(&machine.id).ok_or_else(none)?;
    let document = PowerSettingsDoc {
        address: known.address.to_string(),
        secret: known.secret.is_some(),
    };
    Ok(Tagged::new(&**known, document))
}

/// Says who switches a machine.
#[utoipa::path(put, path = "/machines/{machine}/power-settings", tag = "machines", operation_id = "machines_set_power", request_body = PowerSettingsBody,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<PowerSettingsBody>,
) -> Result<StatusCode, Problem> {
    let address = match body.address.as_str() {
        "none" => None,
        text => Some(parse(text, "address")?),
    };
    let fits = |s: &String| s.len() <= MAX_SECRET && !s.contains(char::is_control);
    if !body.secret.as_ref().is_none_or(fits) {
        let text = format!("secret: at most {MAX_SECRET} bytes on one line");
        return Err(Problem::new(Code::BadValue, text));
    }
    let set = SetPower {
        machine: MachineRef(machine),
        address,
        secret: body.secret.map(Secret::new),
        by: caller.name,
    };
    let about = Subject::Power(set.machine.clone());
    read.apply(&api, about, set).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// What to do about a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PowerDo {
    /// Switch it on.
    On,
    /// Switch it off at once.
    Off,
    /// Off and on again; on, when it is off.
    Cycle,
    /// Only ask.
    Status,
}

impl From<PowerDo> for PowerAction {
    fn from(what: PowerDo) -> Self {
        match what {
            PowerDo::On => Self::On,
            PowerDo::Off => Self::Off,
            PowerDo::Cycle => Self::Cycle,
            PowerDo::Status => Self::Status,
        }
    }
}

/// Whether a machine has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PowerWord {
    /// It has.
    On,
    /// It has not.
    Off,
    /// Nobody can tell.
    Unknown,
}

impl PowerWord {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

impl From<PowerState> for PowerWord {
    fn from(state: PowerState) -> Self {
        match state {
            PowerState::On => Self::On,
            PowerState::Off => Self::Off,
            PowerState::Unknown => Self::Unknown,
        }
    }
}

/// Who can bring a machine to its next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeansWord {
    /// Its agent.
    Agent,
    /// Its management controller.
    Board,
    /// Magic packets.
    Wake,
    /// Only a person.
    PressReset,
}

impl From<Means> for MeansWord {
    fn from(means: Means) -> Self {
        match means {
            Means::Agent => Self::Agent,
            Means::Board => Self::Board,
            Means::Wake => Self::Wake,
            Means::PressReset => Self::PressReset,
        }
    }
}

impl MeansWord {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Agent => "by its agent",
            Self::Board => "by its management controller",
            Self::Wake => "by magic packets",
            Self::PressReset => "by hand: press reset",
        }
    }
}

/// What to do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerBody {
    /// What to do.
    pub r#do: PowerDo,
}

/// How a machine is now, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Power)]
pub struct PowerDoc {
    /// Whether it has power.
    pub power: PowerWord,
    /// Who did it, or knows it.
    pub means: MeansWord,
}

/// Switches a machine, or asks whether it is on.
#[utoipa::path(post, path = "/machines/{machine}/power", tag = "machines", operation_id = "machines_power", request_body = PowerBody,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = PowerDoc)))]
pub(crate) async fn switch(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    JsonBody(body): JsonBody<PowerBody>,
) -> Result<Json<PowerDoc>, Problem> {
    let action = body.r#do.into();
    let machine = match body.r#do {
        PowerDo::Status => machines::find(&api.store.view(), &machine)?,
        PowerDo::On | PowerDo::Off | PowerDo::Cycle => {
            let ask = AskPower {
                machine: MachineRef(machine),
                action,
                by: caller.name.clone(),
            };
            api.store.apply(ask).await??
        }
    };
    let switched = api.power.switch(&machine, action, &caller.name).await?;
    Ok(Json(PowerDoc {
        power: switched.state.into(),
        means: switched.means.into(),
    }))
}
