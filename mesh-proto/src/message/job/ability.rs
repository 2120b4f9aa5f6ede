//! What not every agent can. An agent ignores the fields it does not know: one that is older than such a field of a job would
//! do something else to the disk, so it is only given jobs whose every need it named in its hello.

use serde::{Deserialize, Serialize};

/// Something a job may need that the first agents could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Writes into one partition and leaves the rest of the disk alone ([`Job::partition`](super::Job::partition)).
    OnePartition,
    /// Serves boot on its segment ([`Duty`](crate::message::boot::Duty)); no job needs it.
    Helper,
    /// One newer than this program.
    #[serde(other)]
    Unknown,
}

impl Ability {
    /// What this program's agents name in their hello.
    pub const OURS: [Self; 2] = [Self::OnePartition, Self::Helper];

    /// Those of a hello that mean something here, each once: what an agent may have written down is bounded by what there is.
    #[must_use]
    pub fn known(said: &[Self]) -> Vec<Self> {
        let ours = Self::OURS.into_iter();
        ours.filter(|ability| said.contains(ability)).collect()
    }

    /// What an agent with it does, for people: "it cannot …".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::OnePartition => "write one partition and leave the rest of the disk alone",
            Self::Helper => "serve boot on its segment",
            Self::Unknown => "do what a newer release can",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_an_agent_says_the_known_is_kept_once() {
        let said = r#"["makes-coffee", "one-partition", "one-partition", "sings"]"#;
        let said: Vec<Ability> = serde_json::from_str(said).unwrap();
        assert_eq!(said.len(), 4);
        assert_eq!(Ability::known(&said), [Ability::OnePartition]);
    }
}
