//! Boot helpers: machines whose agent serves boot on its own segment, because a person said so.
//!
//! What a helper asks counts as if the controller had heard it on a socket of its own, so that only a well-proved agent of
//! an installed OS may be one; [`may_help`] is asked at each question, not only when the role is given.

use mesh_proto::message::{
    enrol::{KeyKind, Level},
    job::Ability,
    link::Habitat,
};
use serde::{Deserialize, Serialize};

use super::{
    Timestamp, View,
    machine::{Machine, MachineId, Standing},
};

/// Interfaces that can be named in a role; a host with more serves all of them.
pub const MAX_INTERFACES: usize = 16;
/// Longest name of an interface, bytes: Linux's `IFNAMSIZ` less the zero.
pub const MAX_INTERFACE_NAME: usize = 15;

/// The role of a machine as a helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperRole {
    /// Since when.
    pub since: Timestamp,
    /// Who gave it, as the API names them.
    pub by: String,
    /// Interfaces it serves, by name; empty: all.
    #[serde(default)]
    pub interfaces: Vec<String>,
}

/// Helpers that one machine is heard by: two are usual on a segment.
pub const MAX_HEARD_BY: usize = 4;

/// On an activation: a person put it into a helper's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// Whose agent serves it.
    pub to: MachineId,
    /// Since it was delegated: until when, and until then nobody else serves it. `None`: it was not yet, and is ours to serve.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// Why a machine's agent cannot be a helper.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotHelp {
    /// Nobody said that it is ours.
    #[error("{0} is not accepted; accept it first: `enforcer machines accept {0}`")]
    NotAccepted(String),
    /// Two claims.
    #[error(
        "{0} is disputed; decide first which one it is: `enforcer machines resolve {0} --keep enrolled|newcomer`"
    )]
    Disputed(String),
    /// It never had a link.
    #[error("{0} is no member: install the agent on it and let it join")]
    NoMember(String),
    /// Its agent forgets everything at each boot.
    #[error(
        "{0}'s agent runs in the management OS, which is gone after a restart; a helper is an agent on an installed OS"
    )]
    Management(String),
    /// The key was proved too weakly.
    #[error(
        "{0}'s key was not proved well enough to answer for others; compare its pairing code: `enforcer machines accept {0} --code ...`"
    )]
    LevelTooLow(String),
    /// It keeps only a link.
    #[error(
        "{0}'s agent is a leaf, as on a tenant's own OS: it has no gossip key and answers for nobody; start it without --leaf"
    )]
    Leaf(String),
    /// An agent of an earlier release.
    #[error("{0}'s agent is too old to serve boot; install the one of this release")]
    TooOld(String),
}

/// Whether a machine's agent, as its last hello showed it, may answer for others.
///
/// # Errors
/// With what is missing, and the cure.
pub fn may_help(view: &View, machine: &Machine) -> Result<(), CannotHelp> {
    let no = |why: fn(String) -> CannotHelp| Err(why(machine.name.to_string()));
    if machine.standing != Standing::Accepted {
        return no(CannotHelp::NotAccepted);
    }
    if machine.disputed.is_some() {
        return no(CannotHelp::Disputed);
    }
    let Some(member) = view.member(&machine.id) else {
        return no(CannotHelp::NoMember);
    };
    if member.habitat != Habitat::InstalledOs || member.kind != KeyKind::Installed {
        return no(CannotHelp::Management);
    }
    // The level of the key as it is now: a person may have raised it since the hello.
    let level = view
        .key(&member.serial)
        .filter(|key| key.is_live())
        .map(|key| key.level);
    if level.is_none_or(|level| level < Level::T2) {
        return no(CannotHelp::LevelTooLow);
    }
    if member.gossip_port.is_none() {
        return no(CannotHelp::Leaf);
    }
    if !member.abilities.contains(&Ability::Helper) {
        return no(CannotHelp::TooOld);
    }
    Ok(())
}
