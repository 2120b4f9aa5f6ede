//! Why a command did not do what it was asked, and the exit code that tells scripts.

use std::{io, path::PathBuf};

use crate::http::error::ProblemDoc;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The controller said no.
    #[error("{}", .0.detail)]
    Refused(ProblemDoc),
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers on the socket.
    #[error("{}", unreachable(socket, source))]
    Unreachable {
        /// Where we looked.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody answers elsewhere, or not who should.
    #[error("{0}")]
    Far(String),
    /// The controller answered, but not what we understand.
    #[error(
        "the controller's answer makes no sense ({0}); are command line and controller of one version?"
    )]
    Answer(String),
    /// A file of ours, or this program itself.
    #[error("{0}")]
    Local(String),
    /// The data cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// As [`EXIT_CODES`] says.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(problem) => match problem.status {
                404 => 3,
                401 | 403 => 5,
                409 | 412 => 6,
                _ => 1,
            },
            Self::Answer(_) | Self::Local(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Far(_) => 4,
        }
    }
}

/// Every exit code, for `enforcer help exit-codes`; `docs/OPERATIONS.md` has the same.
pub(super) const EXIT_CODES: &str = "\
0  done
1  refused, or it failed on the way; also what was waited for failed
2  the words do not fit together; nothing was done
3  what was named is not there
4  no controller answers
5  the caller may not do this
6  something else is in the way: a name that is taken, a version that is used, a change by somebody else";

fn unreachable(socket: &std::path::Path, source: &io::Error) -> String {
    let cure = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "you may not open it: use sudo, or join the group with `sudo usermod -aG enforcer $USER` and log in again"
        }
        io::ErrorKind::TimedOut => {
            "it is there but does not answer: look at the log of `enforcer serve`"
        }
        _ => "start it with `enforcer serve`, or name its socket with --api-socket",
    };
    format!(
        "cannot reach the controller at {} ({source}); {cure}",
        socket.display()
    )
}
