//! The journal, by its native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): a datagram of fields for each line.

use std::{io, os::unix::net::UnixDatagram, path::PathBuf, time::Duration};

use super::Target;
use crate::http::api::audit::{AuditDoc, AuditOutcome};

/// Where systemd's journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// How long a journal that is busy is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Journal {
    socket: PathBuf,
    open: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn of_this_host() -> Self {
        Self::at(SOCKET.into())
    }

    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket, open: None }
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let open = UnixDatagram::unbound()?;
                open.set_write_timeout(Some(PATIENCE))?;
                open
            }
        };
        open.send_to(datagram, &self.socket)?;
        self.open = Some(open);
        Ok(())
    }
}

/// A line as fields; syslog's severities: a refusal is a warning, the rest worth a notice or less.
fn fields(line: &AuditDoc) -> String {
    let priority = match line.outcome {
        AuditOutcome::Failed => "3",
        AuditOutcome::Refused => "4",
        AuditOutcome::Done => "5",
        AuditOutcome::Told => "6",
    };
    let text = |text: &Option<String>| text.clone();
    let all = [
        ("MESSAGE", Some(line.text.clone())),
        ("PRIORITY", Some(priority.to_owned())),
        ("SYSLOG_IDENTIFIER", Some("enforcer-audit".to_owned())),
        ("ENFORCER_SEQ", Some(line.seq.to_string())),
        ("ENFORCER_WHAT", Some(line.what.clone())),
        ("ENFORCER_OUTCOME", Some(line.outcome.word().to_owned())),
        ("ENFORCER_BY", text(&line.by)),
        ("ENFORCER_FROM", text(&line.from)),
        ("ENFORCER_REQUEST", text(&line.request)),
        ("ENFORCER_OPERATION", text(&line.operation)),
        ("ENFORCER_TARGET", text(&line.target)),
        ("ENFORCER_MACHINE", text(&line.machine_name)),
        ("ENFORCER_MAC", line.mac.map(|mac| mac.to_string())),
    ];
    let told = all.into_iter().filter_map(|(name, value)| {
        // A line break would begin a field of a stranger's choice.
        let value = value?.replace(|c: char| c.is_control(), " ");
        Some(format!("{name}={value}\n"))
    });
    told.collect()
}

impl Target for Journal {
    fn name(&self) -> String {
        format!("the journal at {}", self.socket.display())
    }

    fn label(&self) -> &'static str {
        "journal"
    }

    /// It cannot be asked; what happens from now on is sent.
    fn last(&mut self) -> Option<u64> {
        None
    }

    fn add(&mut self, lines: &[AuditDoc]) -> io::Result<()> {
        lines
            .iter()
            .try_for_each(|line| self.send(fields(line).as_bytes()))
    }
}
