//! `enforcer machines register|set`: what a person writes down about a machine.

use hyper::Method;

use super::path;
use crate::{
    cli::{Session, client::read, failure::Failure, power},
    http::api::{
        machines::{MachineDoc, Register, update::Update},
        words::LocalBoot,
    },
};

pub(super) async fn register(body: Register, session: &Session<'_>) -> Result<(), Failure> {
    let sent = session.client.send(Method::POST, "/machines", &body);
    let machine: MachineDoc = read(&sent.await?)?;
    eprintln!("{} is registered", machine.name);
    session.hint(&format!("enforcer explain {}", machine.name));
    Ok(())
}

/// `machines set`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name, id or MAC in any spelling
    machine: String,
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    /// How it starts its own disk
    #[arg(long)]
    local_boot: Option<LocalBoot>,
    /// Who switches it: ipmi://user@host, redfish://user@host, wol, or none
    #[arg(long)]
    power: Option<String>,
    /// A file with its management controller's password, or - for standard input
    #[arg(long, requires = "power")]
    power_secret_file: Option<String>,
    /// A label to write, NAME=VALUE, or to remove, NAME- (may be given several times)
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, Option<String>)>,
    /// Whose it is, by the name of their account; '' for the site's
    #[arg(long)]
    owner: Option<String>,
}

pub(super) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let Args {
        machine,
        name,
        local_boot,
        power,
        power_secret_file,
        labels,
        owner,
    } = args;
    let update = Update {
        name,
        local_boot,
        labels: labels.into_iter().collect(),
        owner,
    };
    set(session, &machine, update, power.is_some()).await?;
    match power {
        None => Ok(()),
        Some(address) => power::set(&machine, address, power_secret_file, session).await,
    }
}

async fn set(
    session: &Session<'_>,
    machine: &str,
    body: Update,
    more: bool,
) -> Result<(), Failure> {
    let Update {
        name,
        local_boot,
        labels,
        owner,
    } = &body;
    if name.is_none() && local_boot.is_none() && labels.is_empty() && owner.is_none() {
        if more {
            return Ok(());
        }
        return Err(Failure::Usage(
            "nothing to set; give --name, --local-boot, --label, --owner or --power".to_owned(),
        ));
    }
    let value = session
        .client
        .send(Method::PATCH, &path(machine), &body)
        .await?;
    let machine: MachineDoc = read(&value)?;
    eprintln!("{} is changed", machine.name);
    Ok(())
}

/// `pool=web` writes a label, `pool-` removes it.
fn label(text: &str) -> Result<(String, Option<String>), String> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok((name.to_owned(), Some(value.to_owned())));
    }
    match text.strip_suffix('-') {
        Some(name) => Ok((name.to_owned(), None)),
        None => Err("write NAME=VALUE, or NAME- to remove it".to_owned()),
    }
}
