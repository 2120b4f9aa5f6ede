//! Who may open a link, and what a key may ask for.

use mesh_proto::message::{
    Refusal, RefusalCode,
    command::Command,
    enrol::{KeyKind, Level},
};

use super::{
    Digest,
    key::{EnrolledKey, KeyState, Serial},
};
use crate::state::{Timestamp, View, machine::Machine};

/// What a key is admitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// A link.
    Link,
    /// Only its renewal: its certificate has ended.
    RenewalOnly,
}

/// Whether the key of a certificate may speak to us.
///
/// # Errors
/// With the words for the agent's screen. The agent then enrols anew with a new key.
pub fn admit(
    view: &View,
    serial: &Serial,
    key: &Digest,
    now: Timestamp,
) -> Result<Admission, Refusal> {
    let revoked = |text: String| Refusal::new(RefusalCode::Revoked, text);
    let unknown = || revoked("this site does not know the key; enrol anew".to_owned());
    let known = view.key(serial).ok_or_else(unknown)?;
    if known.key != *key || view.machine(&known.machine).is_none() {
        return Err(unknown());
    }
    match &known.state {
        KeyState::Live => {}
        KeyState::Replaced { .. } => {
            return Err(revoked(
                "a newer key of this machine took its place".to_owned(),
            ));
        }
        KeyState::Revoked { reason, .. } => {
            return Err(revoked(format!("the key was revoked: {reason}")));
        }
    }
    match (now < known.expires, known.kind) {
        (true, _) => Ok(Admission::Link),
        (false, KeyKind::Installed) => Ok(Admission::RenewalOnly),
        (false, KeyKind::Boot) => Err(Refusal::new(
            RefusalCode::Expired,
            "the key was for one boot of a day at most; start the machine again",
        )),
    }
}

/// What a command needs of its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// That it is accepted and not disputed.
    pub accepted: bool,
    /// How well its key must be proved.
    pub level: Level,
}

/// What each command needs: looking is for every member, doing for accepted ones.
#[must_use]
pub fn needs(command: &Command) -> Needs {
    let (accepted, level) = match command {
        Command::Identify { .. } | Command::Inventory => (false, Level::T1),
        Command::Reboot | Command::Stop | Command::Wake { .. } => (true, Level::T1),
        // The new key has the old one's level: only a well proved one is worth a successor.
        Command::RotateKeys => (true, Level::T2),
    };
    Needs { accepted, level }
}

/// Whether secrets (user data, private images, captured disks) may go to this key.
///
/// # Errors
/// With what is missing.
pub fn may_have_secrets(machine: &Machine, key: &EnrolledKey) -> Result<(), Refusal> {
    let no = |code, text: String| Err(Refusal::new(code, text));
    if machine.disputed.is_some() {
        let text = format!("{} is disputed; a person has to decide first", machine.name);
        return no(RefusalCode::Disputed, text);
    }
    if key.level < Level::T2 {
        let text = format!(
            "{} was only proved by {}; compare its pairing code: `enforcer machines accept {} --code ...`",
            machine.name,
            key.proved.words(),
            machine.name
        );
        return no(RefusalCode::LevelTooLow, text);
    }
    Ok(())
}
