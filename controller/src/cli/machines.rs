//! `enforcer machines …`

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::encode,
    failure::Failure,
    output::{Line, Output, ago, dash, when},
};
use crate::{
    http::api::{
        machines::{ActiveDoc, MachineDoc, Register, Update},
        words::{LocalBoot, Standing},
    },
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List known machines
    #[command(
        after_help = "Examples:\n  enforcer machines list\n  enforcer machines list --state seen\n  enforcer machines list -o json | jq -r '.[].name'"
    )]
    List {
        /// Only machines that were just seen, or that somebody registered
        #[arg(long)]
        state: Option<Standing>,
        #[command(flatten)]
        output: Output,
    },
    /// Show a machine
    Show {
        /// Name, id or MAC in any spelling
        machine: String,
        #[command(flatten)]
        output: Output,
    },
    /// Say that a machine is yours: from now on it is answered
    #[command(
        after_help = "Examples:\n  enforcer machines register 52:54:00:77:00:01 --name web1\n  enforcer machines register 5254.0077.0001"
    )]
    Register {
        /// The MAC of its boot NIC, in any spelling
        mac: String,
        /// A name for it: letters, digits, hyphens
        #[arg(long)]
        name: Option<String>,
    },
    /// Rename a machine, or change its way to its own disk
    #[command(
        after_help = "Examples:\n  enforcer machines set web1 --name web2\n  enforcer machines set web1 --local-boot exit-failure"
    )]
    Set {
        /// Name, id or MAC in any spelling
        machine: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// How it starts its own disk
        #[arg(long)]
        local_boot: Option<LocalBoot>,
    },
    /// Forget a machine and its activations; if it asks again, it is seen anew
    Delete {
        /// Name, id or MAC in any spelling
        machine: String,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List { state, output } => {
            let filter = state.map_or_else(String::new, |s| format!("&state={}", s.word()));
            let items = session.client.list(&format!("/machines?{filter}")).await?;
            session.list(&output, items, HEADERS, row)
        }
        Verb::Show { machine, output } => {
            let value = session.client.get(&path(&machine)).await?;
            session.show(&output, value, details)
        }
        Verb::Register { mac, name } => {
            let body = Register { mac, name };
            let value = session
                .client
                .send(Method::POST, "/machines", &body)
                .await?;
            let machine: MachineDoc = super::client::read(value)?;
            eprintln!("{} is registered", machine.name);
            Ok(())
        }
        Verb::Set {
            machine,
            name,
            local_boot,
        } => set(session, &machine, Update { name, local_boot }).await,
        Verb::Delete { machine } => {
            session.client.delete(&path(&machine)).await?;
            eprintln!("{machine} is forgotten");
            Ok(())
        }
    }
}

async fn set(session: &Session<'_>, machine: &str, body: Update) -> Result<(), Failure> {
    if body.name.is_none() && body.local_boot.is_none() {
        return Err(Failure::Usage(
            "nothing to set; give --name or --local-boot".to_owned(),
        ));
    }
    let value = session
        .client
        .send(Method::PATCH, &path(machine), &body)
        .await?;
    let machine: MachineDoc = super::client::read(value)?;
    eprintln!("{} is changed", machine.name);
    Ok(())
}

fn path(machine: &str) -> String {
    format!("/machines/{}", encode(machine))
}

const HEADERS: [&str; 6] = ["NAME", "STATE", "MAC", "FIRMWARE", "ACTIVE", "SEEN"];

fn row(machine: &MachineDoc, now: Timestamp) -> [String; 6] {
    [
        machine.name.clone(),
        machine.standing.word().to_owned(),
        macs(machine),
        dash(machine.firmware.as_ref()),
        dash(machine.active.as_ref().map(active)),
        ago(machine.last_seen, now),
    ]
}

fn details(machine: &MachineDoc, now: Timestamp) -> Vec<Line> {
    let when = |at| when(at, now);
    [
        ("name", machine.name.clone()),
        ("id", machine.id.clone()),
        ("state", machine.standing.word().to_owned()),
        ("macs", macs(machine)),
        ("uuid", dash(machine.uuid.as_ref())),
        ("serial", dash(machine.serial.as_ref())),
        ("firmware", dash(machine.firmware.as_ref())),
        ("local boot", machine.local_boot.word().to_owned()),
        ("active", dash(machine.active.as_ref().map(active))),
        ("first seen", when(machine.first_seen)),
        ("last seen", when(machine.last_seen)),
    ]
    .into()
}

fn macs(machine: &MachineDoc) -> String {
    let macs: Vec<String> = machine.macs.iter().map(ToString::to_string).collect();
    macs.join(" ")
}

fn active(active: &ActiveDoc) -> String {
    format!(
        "{} ({}, {})",
        active.config,
        active.kind.word(),
        active.stage.word()
    )
}
