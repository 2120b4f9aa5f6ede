//! Restart and power off. The management OS owns the machine: a sync and the system call. An installed OS has services to
//! stop, which is its init's work; where there is no such program, the system call again.

use std::io;
use std::path::Path;
use std::process::Command;

use mesh_proto::message::link::Habitat;
use rustix::system::RebootCommand;

/// systemd's own name for itself, as `sd_booted(3)` looks for it.
const SYSTEMD: &str = "/run/systemd/system";

pub(super) fn restart(habitat: Habitat) -> io::Result<()> {
    go_down(habitat, "reboot", RebootCommand::Restart)
}

pub(super) fn off(habitat: Habitat) -> io::Result<()> {
    go_down(habitat, "poweroff", RebootCommand::PowerOff)
}

/// reboot(2), `LINUX_REBOOT_CMD_KEXEC`: only the management OS loads kernels, and it has no services to stop.
pub(super) fn start_kernel() -> io::Result<()> {
    rustix::fs::sync();
    Ok(rustix::system::reboot(RebootCommand::Kexec)?)
}

fn go_down(habitat: Habitat, word: &str, call: RebootCommand) -> io::Result<()> {
    if habitat == Habitat::InstalledOs && Path::new(SYSTEMD).exists() {
        let status = Command::new("systemctl").arg(word).status()?;
        if status.success() {
            return Ok(());
        }
    }
    rustix::fs::sync();
    rustix::system::reboot(call)?;
    Ok(())
}
