//! Making a config due for machines that are named, and ending that.

use hyper::Method;

use super::path;
use crate::{
    cli::{
        Session,
        client::{encode, read},
        commands,
        failure::Failure,
        output::Output,
        span::{Span, parse_span},
    },
    http::api::{
        activations::{ActivationDoc, DeactivateBody},
        boot_configs::ActivateBody,
        commands::Doing,
        machines::MachineDoc,
        words::{Kind, MemberState},
    },
    state::Timestamp,
};

/// A time limit as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So long from now.
    In(Span),
    /// Then.
    At(Timestamp),
}

pub(in crate::cli) fn parse_until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse() {
        return Ok(Until::At(at));
    }
    let wrong = |e| format!("{e}, or a moment like 2026-01-02T03:04:05Z");
    parse_span(text).map(Until::In).map_err(wrong)
}

impl Until {
    /// The moment that is meant.
    pub(in crate::cli) fn from(self, now: Timestamp) -> Result<Timestamp, Failure> {
        match self {
            Self::At(at) => Ok(at),
            Self::In(Span(span)) => now
                .checked_add(span)
                .map_err(|e| Failure::Usage(format!("that is too far away: {e}"))),
        }
    }
}

/// Nothing is armed for machines that would then not restart: somebody else's power button would decide when it runs.
pub(super) async fn ensure_reachable(
    machines: &[String],
    session: &Session<'_>,
) -> Result<(), Failure> {
    for machine in machines {
        let path = format!("/machines/{}", encode(machine));
        let known: MachineDoc = read(&session.client.get(&path).await?)?;
        let state = known.member.map(|member| member.state);
        if state != Some(MemberState::Alive) {
            let word = state.map_or("no member of the mesh", MemberState::word);
            return Err(Failure::Local(format!(
                "{} is {word} and cannot be told to reboot: nothing was armed; without --reboot it would be, for its next boot",
                known.name
            )));
        }
    }
    Ok(())
}

/// How it becomes due.
pub(super) struct How {
    pub(super) kind: Kind,
    pub(super) until: Option<Timestamp>,
    /// The boot helper that alone serves it.
    pub(super) helper: Option<String>,
    /// The machines are restarted for it.
    pub(super) reboot: bool,
}

/// Arms a config for these machines, one after the other.
pub(super) async fn activate(
    session: &mut Session<'_>,
    name: &str,
    machines: &[String],
    how: &How,
    output: &Output,
) -> Result<(), Failure> {
    if how.reboot {
        ensure_reachable(machines, session).await?;
    }
    let path = format!("{}/activate", path(name));
    let mut armed = Vec::new();
    for machine in machines {
        let body = ActivateBody {
            machine: machine.clone(),
            kind: how.kind,
            until: how.until,
            helper: how.helper.clone(),
        };
        let value = session.client.send(Method::POST, &path, &body).await?;
        let activation: ActivationDoc = read(&value)?;
        eprintln!(
            "{name} is armed for {} (activation {})",
            activation.machine_name, activation.id
        );
        armed.push(value);
    }
    session.printed(output, &armed)?;
    if how.reboot {
        for machine in machines {
            commands::issue(Doing::Reboot, None, machine, session).await?;
        }
    }
    Ok(())
}

/// Ends what is due next for each of these machines.
pub(super) async fn deactivate(
    session: &Session<'_>,
    machines: Vec<String>,
) -> Result<(), Failure> {
    for machine in machines {
        let body = DeactivateBody { machine };
        let path = "/activations/deactivate";
        let value = session.client.send(Method::POST, path, &body).await?;
        let ended: ActivationDoc = read(&value)?;
        eprintln!("{} is ended for {}", ended.config, ended.machine_name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_a_span_or_a_moment() {
        let hours = |h| Ok(Until::In(Span(jiff::SignedDuration::from_hours(h))));
        assert_eq!(parse_until("2h"), hours(2));
        assert_eq!(parse_until("7d"), hours(168));
        let moment = "2026-01-02T03:04:05Z";
        assert_eq!(parse_until(moment), Ok(Until::At(moment.parse().unwrap())));
        for bad in ["", "2", "-2h", "0s", "tomorrow", "-1d"] {
            assert!(parse_until(bad).is_err(), "{bad}");
        }
    }
}
