//! Power: `enforcer machines power`, and who switches a machine.

use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::Output,
    secret::read_secret,
};
use crate::http::api::power::{PowerBody, PowerDo, PowerDoc, PowerSettingsBody};

/// Says who switches a machine.
pub(super) async fn set(
    machine: &str,
    address: String,
    secret_file: Option<String>,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let secret = secret_file.map(|file| read_secret(&file)).transpose()?;
    let path = format!("/machines/{}/power-settings", encode(machine));
    let body = PowerSettingsBody { address, secret };
    session.client.send(Method::PUT, &path, &body).await?;
    eprintln!("{machine} is switched by {}", body.address);
    Ok(())
}

/// Switches a machine, or asks whether it is on.
pub(super) async fn switch(
    machine: &str,
    r#do: PowerDo,
    output: &Output,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let path = format!("/machines/{}/power", encode(machine));
    let value = session
        .client
        .send(Method::POST, &path, &PowerBody { r#do })
        .await?;
    if session.printed(output, &value)? {
        return Ok(());
    }
    let done: PowerDoc = read(&value)?;
    eprintln!("{machine}: {}", done.means.words());
    session.text(&format!("{}\n", done.power.word()))
}
