//! By IPMI 2.0, spoken by ipmitool in a process of its own: one lost datagram or odd firmware ends there.

use std::process::{Output, Stdio};

use futures_util::future::BoxFuture;
use mesh_proto::message::Secret;
use tokio::process::Command;

use super::{Driver, PowerError};
use crate::state::power::{Board, PowerAction, PowerState};

/// Longest word of ipmitool that is kept, characters.
const MAX_WORDS: usize = 200;

/// A management controller.
pub(super) struct Ipmi {
    pub(super) board: Board,
    pub(super) cipher: Option<u8>,
    pub(super) secret: Option<Secret>,
}

impl Driver for Ipmi {
    fn perform(&self, action: PowerAction) -> BoxFuture<'_, Result<PowerState, PowerError>> {
        Box::pin(async move {
            let state = self.status().await?;
            // IPMI refuses to cycle what is off (IPMI 2.0, 28.3), and some boards to switch on what is on.
            let word = match (action, state) {
                (PowerAction::Status, _)
                | (PowerAction::On, PowerState::On)
                | (PowerAction::Off, PowerState::Off) => return Ok(state),
                (PowerAction::Cycle, PowerState::Off) => PowerAction::On.word(),
                (action, _) => action.word(),
            };
            self.ask(word).await?;
            Ok(match action {
                PowerAction::Off => PowerState::Off,
                PowerAction::On | PowerAction::Cycle | PowerAction::Status => PowerState::On,
            })
        })
    }
}

impl Ipmi {
    async fn status(&self) -> Result<PowerState, PowerError> {
        let said = self.ask(PowerAction::Status.word()).await?;
        Ok(match said.trim().rsplit(' ').next() {
            Some("on") => PowerState::On,
            Some("off") => PowerState::Off,
            _ => PowerState::Unknown,
        })
    }

    async fn ask(&self, word: &str) -> Result<String, PowerError> {
        let mut command = Command::new("ipmitool");
        let (host, port) = (&self.board.host, self.board.port.to_string());
        command.args([
            "-I",
            "lanplus",
            "-H",
            host,
            "-p",
            &port,
            "-U",
            &self.board.user,
        ]);
        if let Some(cipher) = self.cipher {
            command.args(["-C", &cipher.to_string()]);
        }
        // The password by environment: other users see arguments.
        command.args(["-E", "-N", "2", "-R", "2", "chassis", "power", word]);
        command.env(
            "IPMI_PASSWORD",
            self.secret.as_ref().map_or("", |s| s.expose()),
        );
        command.stdin(Stdio::null()).kill_on_drop(true);
        let ran = command.output().await;
        judge(&ran.map_err(|e| PowerError::NoTool(e.to_string()))?)
    }
}

fn judge(output: &Output) -> Result<String, PowerError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It complains of what it tried on the way, last of what counts.
    let last = said
        .lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("no word");
    let kept = last.chars().filter(|c| !c.is_control()).take(MAX_WORDS);
    Err(PowerError::Board(kept.collect()))
}
