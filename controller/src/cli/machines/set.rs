//! `enforcer machines register|set`: what a person writes down about a machine.

use hyper::Method;

use super::path;
use crate::{
    cli::{Session, client::read, failure::Failure},
    http::api::machines::{MachineDoc, Register, update::Update},
};

pub(super) async fn register(body: Register, session: &Session<'_>) -> Result<(), Failure> {
    let sent = session.client.send(Method::POST, "/machines", &body);
    let machine: MachineDoc = read(&sent.await?)?;
    eprintln!("{} is registered", machine.name);
    session.hint(&format!("enforcer explain {}", machine.name));
    Ok(())
}

pub(super) async fn set(
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
pub(super) fn label(text: &str) -> Result<(String, Option<String>), String> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok((name.to_owned(), Some(value.to_owned())));
    }
    match text.strip_suffix('-') {
        Some(name) => Ok((name.to_owned(), None)),
        None => Err("write NAME=VALUE, or NAME- to remove it".to_owned()),
    }
}
