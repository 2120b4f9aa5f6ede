//! Commands to machines: `enforcer machines reboot|identify|inventory|stop|rotate-keys|wake`.

use std::time::Duration;

use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Output, clean},
};
use crate::http::api::{
    commands::{CommandBody, CommandDoc, Doing, WokenDoc},
    words::CommandStage,
};

/// Between two looks at a command that somebody waits for.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Whom to ask, and whether to wait for the end.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// Name, id or MAC in any spelling
    #[arg(required = true)]
    machines: Vec<String>,
    /// Wait until it is settled, and tell how far it is
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    output: Output,
}

/// Gives each machine the command.
pub(super) async fn run(
    doing: Doing,
    seconds: Option<u32>,
    target: &Target,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for machine in &target.machines {
        all.push(issue(doing, seconds, machine, session).await?);
    }
    let mut failed = None;
    for command in &mut all {
        if target.wait {
            *command = wait(command.clone(), session).await?;
            if command.stage != CommandStage::Done {
                failed = Some(told(command));
            }
        }
    }
    session.printed(&target.output, &all)?;
    failed.map_or(Ok(()), |text| Err(Failure::Local(text)))
}

/// Gives a machine a command.
pub(super) async fn issue(
    doing: Doing,
    seconds: Option<u32>,
    machine: &str,
    session: &Session<'_>,
) -> Result<CommandDoc, Failure> {
    let body = CommandBody {
        r#do: doing,
        seconds,
    };
    let path = format!("/machines/{}/commands", encode(machine));
    let value = session.client.send(Method::POST, &path, &body).await?;
    let command: CommandDoc = read(&value)?;
    eprintln!(
        "{} is asked to {} (command {})",
        command.machine_name, command.r#do, command.id
    );
    Ok(command)
}

/// Waits for a command's end, and says each new word on it.
async fn wait(mut command: CommandDoc, session: &Session<'_>) -> Result<CommandDoc, Failure> {
    let mut said = String::new();
    loop {
        let now = told(&command);
        if now != said {
            eprintln!("{}", clean(&now));
            said = now;
        }
        if !command.open {
            return Ok(command);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let path = format!("/commands/{}", command.id);
        command = read(&session.client.get(&path).await?)?;
    }
}

fn told(command: &CommandDoc) -> String {
    let text = command
        .text
        .as_ref()
        .map_or_else(String::new, |t| format!(": {t}"));
    format!(
        "{}: {} {}{text}",
        command.machine_name,
        command.r#do,
        command.stage.word()
    )
}

/// Wakes a machine.
pub(super) async fn wake(machine: &str, session: &Session<'_>) -> Result<(), Failure> {
    let path = format!("/machines/{}/wake", encode(machine));
    let value = session.client.send(Method::POST, &path, &()).await?;
    let woken: WokenDoc = read(&value)?;
    if woken.sent_by.is_empty() {
        let text = format!(
            "nobody could send a magic packet for {machine}; the controller's log says why"
        );
        return Err(Failure::Local(text));
    }
    eprintln!(
        "magic packets for {machine} were sent by: {}",
        woken.sent_by.join(", ")
    );
    Ok(())
}
