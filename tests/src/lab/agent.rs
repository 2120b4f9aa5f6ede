//! The other program under test: the real `enforcer-agent` as the daemon of an installed OS, on a computer that is a [`Board`].

use super::board::Board;
use super::controller::Controller;
use super::need;
use super::process::{self, Service};
use super::space::Namespace;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// What every daemon of the lab is told beside its folders and its address.
const DAEMON: [&str; 2] = ["--pretend", "--say-members"];

/// Where an agent runs and what it has.
#[derive(Debug, Clone)]
pub struct AgentPlan {
    /// Its network.
    pub host: Arc<Namespace>,
    /// The address it binds.
    pub address: Ipv4Addr,
    /// Its hardware.
    pub board: Board,
    /// Holds its state and its log.
    pub folder: PathBuf,
}

impl AgentPlan {
    /// Agent `number` on `host`, its files in `folder/agentNUMBER`.
    pub fn new(
        host: Arc<Namespace>,
        address: Ipv4Addr,
        folder: &Path,
        number: u16,
    ) -> Result<Self> {
        let folder = folder.join(format!("agent{number}"));
        fs::create_dir_all(&folder)?;
        let board = Board::new(&folder.join("board"), number)?;
        Ok(Self {
            host,
            address,
            board,
            folder,
        })
    }

    /// What it says.
    pub fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// Joins by `token`, once; the key stays in its state folder.
    pub fn join(&self, controller: Ipv4Addr, token: &str) -> Result<()> {
        let mut command = self.command("join")?;
        command.args([token, "--controller", &controller.to_string()]);
        process::output(command).map(drop)
    }

    /// Starts the daemon.
    pub fn start(&self) -> Result<Service> {
        let name = format!("agent at {}", self.address);
        Service::start(&name, self.daemon()?, &self.log())
    }

    /// Starts the daemon as if the computer had run for so much longer: its count of seconds since its start is that far on, its clock
    /// is not.
    pub fn start_later(&self, by: Duration) -> Result<Service> {
        need::programs(&["unshare"])?;
        let mut command = self.host.command("unshare");
        command
            .args(["--time", "--kill-child", "--boottime"])
            .arg(by.as_secs().to_string())
            .arg(agent_binary()?);
        self.arguments(&mut command, "daemon");
        command.args(DAEMON);
        let name = format!("agent at {}, later", self.address);
        Service::start(&name, command, &self.log())
    }

    /// Waits until no daemon uses its folder. One that was started [later](Self::start_later) dies just after the program that started it.
    pub fn wait_gone(&self) -> Result<()> {
        let mut command = process::host("flock");
        command.args(["--wait", "10"]);
        command.arg(self.folder.join("state/lock")).arg("true");
        process::output(command).map(drop)
    }

    /// The daemon. It only says what it would do to the machine: this one is ours.
    pub fn daemon(&self) -> Result<Command> {
        let mut command = self.command("daemon")?;
        command.args(DAEMON);
        Ok(command)
    }

    /// The id under which everybody knows it, once it has joined.
    pub fn node(&self) -> Result<String> {
        let file = self.folder.join("state/identity.json");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let kept: Value = serde_json::from_str(&text)?;
        let node = kept["machine"].as_str().context("an identity has an id")?;
        Ok(node.to_owned())
    }

    /// `enforcer-agent VERB` with this agent's folders and address, on its host.
    pub fn command(&self, verb: &str) -> Result<Command> {
        let mut command = self.host.command(agent_binary()?);
        self.arguments(&mut command, verb);
        Ok(command)
    }

    fn arguments(&self, command: &mut Command, verb: &str) {
        command
            .arg(verb)
            .arg("--state")
            .arg(self.folder.join("state"))
            .arg("--root")
            .arg(self.board.root())
            .arg("--bind")
            .arg(self.address.to_string())
            .env("NO_COLOR", "1");
    }
}

/// The `enforcer-agent` binary: `ENFORCER_AGENT_BIN`, else beside the running test executable.
pub fn agent_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ENFORCER_AGENT_BIN") {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "ENFORCER_AGENT_BIN names {}, which does not exist",
            path.display()
        );
        return Ok(path);
    }
    process::built("enforcer-agent").context(
        "the agent is not built: `cargo build -p enforcer-agent`, or name one with ENFORCER_AGENT_BIN",
    )
}

/// A new token that lets one installed OS join.
pub fn join_token(controller: &Controller) -> Result<String> {
    let (status, answer) = controller.api("POST", "/api/v1/join-tokens", "{}")?;
    let made: Value =
        serde_json::from_str(&answer).with_context(|| format!("{status}: {answer}"))?;
    let token = made["token"].as_str();
    Ok(token
        .with_context(|| format!("{status}: {answer}"))?
        .to_owned())
}

/// What an agent's log says of other members, and only there: one line each time.
pub mod member {
    /// It knows that this one is there.
    pub fn up(node: &str) -> String {
        format!("member {node} is up")
    }

    /// It holds this one for dead.
    pub fn down(node: &str) -> String {
        format!("member {node} is down")
    }

    /// It has heard of other facts of this one.
    pub fn facts(node: &str) -> String {
        format!("member {node} has other facts")
    }

    /// How many others a log says it has met, ever.
    pub fn met(log: &str) -> usize {
        let nodes = log.lines().filter_map(|line| {
            let (node, _) = line.split_once("member ")?.1.split_once(" is up")?;
            Some(node)
        });
        nodes.collect::<std::collections::BTreeSet<_>>().len()
    }
}
