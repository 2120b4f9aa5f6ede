//! By Redfish (DMTF DSP0266): JSON over HTTP, a computer system that is told to reset.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::{Method, Request, header};
use mesh_proto::message::Secret;
use serde_json::{Value, json};

use super::{Driver, PowerError};
use crate::{
    client::{Client, Trust},
    state::power::{Board, PowerAction, PowerState},
};

/// How long one answer may take; boards are slow.
const WITHIN: Duration = Duration::from_secs(15);
/// Longest answer, bytes: a system with all its links is some ten kilobytes.
const MAX_ANSWER: usize = 1 << 20;
/// Where systems are listed.
const SYSTEMS: &str = "/redfish/v1/Systems";

/// A management controller.
pub(super) struct Redfish {
    client: Client,
    base: String,
    login: String,
    system: Option<String>,
}

impl Redfish {
    pub(super) fn new(
        board: &Board,
        tls: bool,
        pin: Option<[u8; 32]>,
        system: Option<String>,
        secret: Option<&Secret>,
    ) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let password = secret.map_or("", |s| s.expose());
        Self {
            client: Client::new(pin.map_or_else(Trust::default, Trust::pinned)),
            base: format!("{scheme}://{}", board.authority()),
            login: format!(
                "Basic {}",
                STANDARD.encode(format!("{}:{password}", board.user))
            ),
            system,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, PowerError> {
        let wrong = |e: &dyn std::fmt::Display| PowerError::Board(e.to_string());
        let bytes = body.map_or_else(Bytes::new, |b| Bytes::from(b.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, &self.login)
            .header(header::CONTENT_TYPE, "application/json")
            .header("odata-version", "4.0")
            .body(Full::new(bytes))
            .map_err(|e| wrong(&e))?;
        let answer = self.client.ask(request, WITHIN, MAX_ANSWER).await;
        let answer = answer.map_err(|e| wrong(&e))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(PowerError::Board(format!(
                "it answered {status} for {path}"
            )));
        }
        // A reset is answered with nothing, or with a task that nobody waits for.
        Ok(serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    /// The system's path: the one that was named, or the only one.
    async fn path(&self) -> Result<String, PowerError> {
        if let Some(path) = &self.system {
            return Ok(path.clone());
        }
        let list = self.ask(Method::GET, SYSTEMS, None).await?;
        let members = list["Members"].as_array().map_or(&[][..], Vec::as_slice);
        match members {
            [one] => local(&one["@odata.id"]),
            all => Err(PowerError::Board(format!(
                "it has {} systems; name one: redfish://user@host{SYSTEMS}/ID",
                all.len()
            ))),
        }
    }

    async fn perform(&self, action: PowerAction) -> Result<PowerState, PowerError> {
        let path = self.path().await?;
        let system = self.ask(Method::GET, &path, None).await?;
        let state = state(&system);
        let reset = match (action, state) {
            (PowerAction::Status, _)
            | (PowerAction::On, PowerState::On)
            | (PowerAction::Off, PowerState::Off) => return Ok(state),
            (PowerAction::On, _) | (PowerAction::Cycle, PowerState::Off) => "On",
            (PowerAction::Off, _) => "ForceOff",
            (PowerAction::Cycle, _) => "ForceRestart",
        };
        let target = local(&system["Actions"]["#ComputerSystem.Reset"]["target"])?;
        let order = json!({ "ResetType": reset });
        self.ask(Method::POST, &target, Some(order)).await?;
        Ok(match action {
            PowerAction::Off => PowerState::Off,
            PowerAction::On | PowerAction::Cycle | PowerAction::Status => PowerState::On,
        })
    }
}

impl Driver for Redfish {
    fn perform(&self, action: PowerAction) -> BoxFuture<'_, Result<PowerState, PowerError>> {
        Box::pin(self.perform(action))
    }
}

/// A path of the same board: its answers do not send us, and our password, elsewhere.
fn local(value: &Value) -> Result<String, PowerError> {
    let path = value.as_str().filter(|p| p.starts_with("/redfish/"));
    let missing = || PowerError::Board("its answer has no path where one belongs".to_owned());
    path.map(str::to_owned).ok_or_else(missing)
}

fn state(system: &Value) -> PowerState {
    match system["PowerState"].as_str() {
        // On its way there (DSP2046, PowerState).
        Some("On" | "PoweringOn") => PowerState::On,
        Some("Off" | "PoweringOff") => PowerState::Off,
        _ => PowerState::Unknown,
    }
}
