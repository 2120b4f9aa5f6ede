//! Making a config due for all machines with certain labels, and ending that.

use hyper::Method;

use super::{activate::ensure_reachable, path};
use crate::{
    cli::{
        Session,
        client::{filtered, read},
        commands,
        failure::Failure,
        output::Output,
    },
    http::api::{
        activations::{ActivationDoc, DeactivateSelectorBody},
        boot_configs::{ActivateSelectorBody, SelectedDoc},
        commands::Doing,
        machines::MachineDoc,
    },
};

pub(super) async fn activate(
    session: &mut Session<'_>,
    name: &str,
    body: &ActivateSelectorBody,
    reboot: bool,
    output: &Output,
) -> Result<(), Failure> {
    if reboot {
        ensure_reachable(&meant(session, &body.selector).await?, session).await?;
    }
    let path = format!("{}/activate-selector", path(name));
    let value = session.client.send(Method::POST, &path, body).await?;
    let told: SelectedDoc = read(&value)?;
    for armed in &told.armed {
        eprintln!(
            "{name} is armed for {} (activation {})",
            armed.machine_name, armed.id
        );
    }
    for refused in &told.refused {
        eprintln!("not for {}: {}", refused.machine_name, refused.why);
    }
    if reboot {
        for armed in &told.armed {
            commands::issue(Doing::Reboot, None, &armed.machine_name, session).await?;
        }
    }
    session.printed(output, &value).map(drop)
}

pub(super) async fn deactivate(session: &Session<'_>, selector: String) -> Result<(), Failure> {
    let body = DeactivateSelectorBody { selector };
    let path = "/activations/deactivate-selector";
    let value = session.client.send(Method::POST, path, &body).await?;
    for ended in read::<Vec<ActivationDoc>>(&value)? {
        eprintln!("{} is ended for {}", ended.config, ended.machine_name);
    }
    Ok(())
}

/// The names of the machines that a selector means now.
async fn meant(session: &Session<'_>, selector: &str) -> Result<Vec<String>, Failure> {
    let path = filtered("/machines", [("selector", Some(selector))]);
    let machines = session.client.list(&path).await?;
    let ours = machines
        .into_iter()
        .map(|m| Ok(read::<MachineDoc>(&m)?.name));
    ours.collect()
}
