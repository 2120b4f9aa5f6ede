//! What is wrong with this host, before and while a controller runs on it: each finding has a code that never changes, a sentence
//! and a cure. Nothing is changed but a file that is written and removed to see how quick the disk is.

mod api;
mod clock;
mod folder;
mod network;
mod oidc;
mod ports;
mod wire;

use serde::{Deserialize, Serialize};

use crate::ordered::sort_by;
use crate::{config::Config, state::Timestamp};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// It was looked at and is well.
    Good,
    /// It could not be looked at, or is worth knowing.
    Note,
    /// Some machines will miss something.
    Warning,
    /// It does not work so.
    Problem,
}

impl Grade {
    /// The word that people and programs read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable; `docs/TROUBLESHOOTING.md` has a row for each.
    pub code: String,
    /// How bad it is.
    pub grade: Grade,
    /// What was seen.
    pub found: String,
    /// What to do; empty when nothing is to be done.
    pub cure: String,
}

/// The codes of findings that are not good. What is good has the name of what was looked at.
pub const CODES: &[&str] = &[
    "address-missing",
    "api-certificate",
    "api-certificate-ends",
    "api-plain",
    "ca-damaged",
    "ca-expires",
    "ca-other-site",
    "clock-behind",
    "clock-before-build",
    "config-invalid",
    "controller-away",
    "dhcp-foreign",
    "dhcp-none",
    "dhcp-rival",
    "dhcp-unseen",
    "disk-full",
    "disk-slow",
    "firmware-damaged",
    "firmware-missing",
    "interface-down",
    "interface-missing",
    "key-readable",
    "oidc-away",
    "port-taken",
    "state-missing",
    "state-readable",
    "state-rights",
];

/// Findings as they are made.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Something that has a cure.
    pub fn add(
        &mut self,
        grade: Grade,
        code: &str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.0.push(Finding {
            code: code.to_owned(),
            grade,
            found: found.into(),
            cure: cure.into(),
        });
    }

    /// Something that was looked at and is well.
    pub fn good(&mut self, what: &str, found: impl Into<String>) {
        self.add(Grade::Good, what, found, "");
    }

    /// All of them, the worst first.
    #[must_use]
    pub fn sorted(mut self) -> Vec<Finding> {
        sort_by(&mut self.0, |a, b| b.grade.cmp(&a.grade));
        self.0
    }
}

/// What the controller on this host says of itself.
#[derive(Debug, Clone)]
pub enum Controller {
    /// It answers; its newest event is of then.
    Answers(Option<Timestamp>),
    /// It does not, because of this.
    Away(String),
}

/// Looks at everything that this configuration needs. Blocks for some seconds: it waits for answers of DHCP servers.
#[must_use]
pub fn examine(config: &Config, controller: &Controller, now: Timestamp) -> Findings {
    let mut found = Findings::default();
    match controller {
        Controller::Answers(_) => found.good("controller", "it runs and answers"),
        Controller::Away(why) => {
            let cure = "if it should run: `systemctl status enforcer`, or start `enforcer serve`; this looked without it";
            found.add(Grade::Note, "controller-away", why, cure);
        }
    }
    clock::look(config, controller, now, &mut found);
    folder::look(config, now, &mut found);
    network::look(config, &mut found);
    oidc::look(config, &mut found);
    let running = matches!(controller, Controller::Answers(_));
    ports::look(config, running, &mut found);
    api::look(config, now, &mut found);
    wire::look(config, running, &mut found);
    found
}
