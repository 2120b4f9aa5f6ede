//! Reservations of machines: `enforcer machines reserve|release`.

use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::moment,
    span::Span,
};
use crate::http::api::{holds::ReserveBody, machines::MachineDoc};

/// Reserves a machine.
pub(super) async fn reserve(
    machine: &str,
    holder: Option<String>,
    span: Span,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let until = session.now + span.0;
    let path = format!("/machines/{}/reserve", encode(machine));
    let body = ReserveBody { holder, until };
    let value = session.client.send(Method::POST, &path, &body).await?;
    let machine: MachineDoc = read(&value)?;
    if let Some(hold) = machine.reserved {
        let until = moment(hold.until);
        eprintln!(
            "{} is reserved for {} until {until}",
            machine.name, hold.holder
        );
    }
    Ok(())
}

/// Releases a machine.
pub(super) async fn release(machine: &str, session: &Session<'_>) -> Result<(), Failure> {
    let path = format!("/machines/{}/release", encode(machine));
    let value = session.client.send(Method::POST, &path, &()).await?;
    let machine: MachineDoc = read(&value)?;
    eprintln!("{} is free", machine.name);
    Ok(())
}
