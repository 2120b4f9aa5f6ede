//! What to do when a key is not certified, or a controller does not take it. Pure: errors in, cures out.

use std::time::Duration;

use mesh_net::{CloseCode, EnrolError, EnrolProof, LinkError};
use mesh_proto::message::RefusalCode;

/// Somebody has to decide or to clear up; nobody does that within seconds.
const SLOW: Duration = Duration::from_secs(30);
/// A controller takes five enrolments a minute from one address.
const QUOTA: Duration = Duration::from_secs(15);

/// What to do after an enrolment failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnrolCure {
    /// Try again, with growing waits.
    Again,
    /// Try again, but not before this time.
    After(Duration),
    /// The proof is worth nothing: ask without it, and a person will compare the codes.
    WithoutProof,
    /// Trying again changes nothing.
    GiveUp,
}

pub(super) fn after_enrol(error: &EnrolError, proof: &EnrolProof) -> EnrolCure {
    match error {
        EnrolError::Refused(refusal) => after_refusal(refusal.code, proof),
        EnrolError::Token(_) | EnrolError::OtherCa => EnrolCure::GiveUp,
        EnrolError::Link(LinkError::Closed {
            code: CloseCode::Busy | CloseCode::TooSlow,
            ..
        }) => EnrolCure::After(QUOTA),
        EnrolError::Link(_) => EnrolCure::Again,
        EnrolError::Key(_) | EnrolError::Issued(_) => EnrolCure::After(SLOW),
    }
}

fn after_refusal(code: RefusalCode, proof: &EnrolProof) -> EnrolCure {
    match code {
        RefusalCode::BadProof | RefusalCode::Expired | RefusalCode::WrongAddress => match proof {
            EnrolProof::Boot { .. } => EnrolCure::WithoutProof,
            EnrolProof::Token(_) => EnrolCure::GiveUp,
            EnrolProof::None => EnrolCure::After(SLOW),
        },
        RefusalCode::RefusedByPerson
        | RefusalCode::Revoked
        | RefusalCode::NotAllowed
        | RefusalCode::LevelTooLow => EnrolCure::GiveUp,
        RefusalCode::Busy => EnrolCure::After(QUOTA),
        RefusalCode::Disputed
        | RefusalCode::WrongHardware
        | RefusalCode::WrongBoot
        | RefusalCode::Replayed
        | RefusalCode::Unsupported
        | RefusalCode::NoJob
        | RefusalCode::Failed
        | RefusalCode::Protocol
        | RefusalCode::Unknown => EnrolCure::After(SLOW),
    }
}

/// What to do when no controller takes the key for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkCure {
    /// Dial again, but not before this time.
    After(Duration),
    /// The certificate is out of date: have it renewed by the key.
    Renew,
    /// The key is worth nothing: begin anew with another one.
    EnrolAnew,
}

pub(super) fn after_dial(error: &LinkError) -> LinkCure {
    match error {
        LinkError::Refused(refusal) => match refusal.code {
            RefusalCode::Expired => LinkCure::Renew,
            RefusalCode::Revoked
            | RefusalCode::RefusedByPerson
            | RefusalCode::WrongHardware
            | RefusalCode::BadProof => LinkCure::EnrolAnew,
            _ => LinkCure::After(SLOW),
        },
        LinkError::Closed {
            code: CloseCode::Revoked,
            ..
        }
        | LinkError::Tls(_) => LinkCure::EnrolAnew,
        // The CA is another one: a controller that was set up anew, or another site's that has the address for now.
        LinkError::OurCertificate(_) => LinkCure::After(SLOW),
        LinkError::Closed { .. }
        | LinkError::Impostor(_)
        | LinkError::Dial { .. }
        | LinkError::Silent
        | LinkError::Broken(_) => LinkCure::After(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::message::{Refusal, Secret};

    fn refused(code: RefusalCode) -> EnrolError {
        EnrolError::Refused(Refusal::new(code, "no"))
    }

    #[test]
    fn a_boot_secret_that_is_spent_leads_to_a_person_and_a_token_to_an_end() {
        let boot = EnrolProof::Boot {
            mac: "52:54:00:00:00:01".into(),
            secret: Secret::new("s"),
        };
        let token = EnrolProof::Token(Secret::new("t"));
        for (error, proof, want) in [
            (
                refused(RefusalCode::BadProof),
                &boot,
                EnrolCure::WithoutProof,
            ),
            (
                refused(RefusalCode::WrongAddress),
                &boot,
                EnrolCure::WithoutProof,
            ),
            (refused(RefusalCode::BadProof), &token, EnrolCure::GiveUp),
            (refused(RefusalCode::Expired), &token, EnrolCure::GiveUp),
            (EnrolError::OtherCa, &token, EnrolCure::GiveUp),
            (
                refused(RefusalCode::RefusedByPerson),
                &EnrolProof::None,
                EnrolCure::GiveUp,
            ),
            (
                refused(RefusalCode::Disputed),
                &boot,
                EnrolCure::After(SLOW),
            ),
            (refused(RefusalCode::Busy), &boot, EnrolCure::After(QUOTA)),
            (LinkError::Silent.into(), &boot, EnrolCure::Again),
        ] {
            assert_eq!(after_enrol(&error, proof), want, "{error}");
        }
    }

    #[test]
    fn an_expired_key_is_renewed_and_a_revoked_one_is_dropped() {
        let refusal = |code| LinkError::Refused(Refusal::new(code, "no"));
        let closed = |code| LinkError::Closed {
            code,
            reason: String::new(),
        };
        for (error, want) in [
            (refusal(RefusalCode::Expired), LinkCure::Renew),
            (refusal(RefusalCode::Revoked), LinkCure::EnrolAnew),
            (closed(CloseCode::Revoked), LinkCure::EnrolAnew),
            (refusal(RefusalCode::Disputed), LinkCure::After(SLOW)),
            (
                LinkError::OurCertificate("unknown CA".into()),
                LinkCure::After(SLOW),
            ),
            (LinkError::Silent, LinkCure::After(Duration::ZERO)),
        ] {
            assert_eq!(after_dial(&error), want, "{error}");
        }
    }
}
