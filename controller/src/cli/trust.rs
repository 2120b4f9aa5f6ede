//! A person's word on machines: `enforcer machines accept|refuse|resolve|revoke`.

use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
};
use crate::http::api::{
    machines::MachineDoc,
    trust::{AcceptBody, Keep, ResolveBody},
};

/// Accepts a machine.
pub(super) async fn accept(
    machine: &str,
    code: Option<String>,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let compared = code.is_some();
    let accepted = say(machine, "accept", &AcceptBody { code }, session).await?;
    let how = match (compared, accepted.code.is_some()) {
        (true, _) => "; the codes are the same, its key counts as well proved (t2)",
        (false, true) => "; to let it have secrets too, compare the code on its screen: --code",
        (false, false) => "",
    };
    eprintln!("{} is accepted{how}", accepted.name);
    Ok(())
}

/// Refuses a machine.
pub(super) async fn refuse(machine: &str, session: &Session<'_>) -> Result<(), Failure> {
    let refused = say(machine, "refuse", &(), session).await?;
    eprintln!(
        "{} is refused: its keys do not count, it is only seen",
        refused.name
    );
    Ok(())
}

/// Ends a dispute.
pub(super) async fn resolve(
    machine: &str,
    keep: Keep,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let resolved = say(machine, "resolve", &ResolveBody { keep }, session).await?;
    let who = match keep {
        Keep::Enrolled => "the one that was there stays",
        Keep::Newcomer => "the newcomer takes its place when it asks again",
    };
    eprintln!("{} is not disputed any more: {who}", resolved.name);
    Ok(())
}

/// Asks for a look at a machine's hardware.
pub(super) async fn inspect(machine: &str, session: &Session<'_>) -> Result<(), Failure> {
    let asked = say(machine, "inspect", &(), session).await?;
    eprintln!(
        "{} boots the management OS next time; `enforcer machines reboot {}` restarts it now if its agent runs",
        asked.name, asked.name
    );
    Ok(())
}

/// Revokes a machine's keys.
pub(super) async fn revoke(machine: &str, session: &Session<'_>) -> Result<(), Failure> {
    let revoked = say(machine, "revoke", &(), session).await?;
    eprintln!(
        "the keys of {} do not count any more; it may enrol anew",
        revoked.name
    );
    Ok(())
}

pub(super) async fn say<B: serde::Serialize>(
    machine: &str,
    word: &str,
    body: &B,
    session: &Session<'_>,
) -> Result<MachineDoc, Failure> {
    let path = format!("/machines/{}/{word}", encode(machine));
    read(&session.client.send(Method::POST, &path, body).await?)
}
