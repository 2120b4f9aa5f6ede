//! A management OS for a controller that runs.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};

use crate::lab::{self, Controller};

/// Time in which the controller looks at its folders again.
const SEEN: Duration = Duration::from_secs(20);

/// Imports a built management OS and waits until the controller serves it.
///
/// # Errors
/// When the import fails, with its words, or is not seen.
pub fn import_management_os(controller: &mut Controller, built: &Path) -> Result<()> {
    let import = Command::new(lab::enforcer_binary()?)
        .args(["management-os", "--state"])
        .arg(controller.state())
        .arg("import")
        .arg(built)
        .output()?;
    let told = String::from_utf8_lossy(&import.stderr);
    ensure!(import.status.success(), "{told}");
    controller.wait_log("were read again", SEEN)?;
    Ok(())
}
