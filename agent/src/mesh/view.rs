//! What a person may know about the agent's place in the mesh: the screen and the status message show it.

use std::fmt;
use std::net::SocketAddr;

use mesh_proto::message::enrol::Level;
use mesh_proto::message::link::Status;

/// How far the agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was tried yet.
    #[default]
    Starting,
    /// Asking for a certificate.
    Enrolling,
    /// A person has to decide; the controller says this.
    Waiting(String),
    /// Looking for a controller that answers.
    Dialling,
    /// A member of the mesh.
    Member,
    /// A person, or the site, wants nothing of this machine; it stays so until something changes there.
    Refused,
    /// On its way down.
    GoingDown,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Enrolling => "enrolling",
            Self::Waiting(text) => return write!(f, "waiting for a person: {text}"),
            Self::Dialling => "looking for the controller",
            Self::Member => "member",
            Self::Refused => "refused",
            Self::GoingDown => "going down",
        })
    }
}

/// Everything at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// How far.
    pub stage: Stage,
    /// The machine's name at its site.
    pub name: Option<String>,
    /// The controller that is spoken to.
    pub controller: Option<SocketAddr>,
    /// Our incarnation.
    pub generation: Option<u32>,
    /// How the key was proved.
    pub level: Option<Level>,
    /// A person, or the site's rule, has accepted the machine.
    pub accepted: bool,
    /// Eight digits to compare, `1234-5678`.
    pub code: Option<String>,
    /// The last thing that went wrong and still matters.
    pub error: Option<String>,
    /// Somebody wants to find this machine.
    pub identify: bool,
}

impl View {
    /// The code, once it counts: while the machine still enrols, the next attempt may bring another.
    #[must_use]
    pub fn shown_code(&self) -> Option<&str> {
        match self.stage {
            Stage::Waiting(_) | Stage::Dialling | Stage::Member => self.code.as_deref(),
            Stage::Starting | Stage::Enrolling | Stage::Refused | Stage::GoingDown => None,
        }
    }

    /// For the controller.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            stage: self.stage.to_string(),
            error: self.error.clone(),
        }
    }
}
