//! Debian's own installer boots from a config, reads our preseed, runs our script and calls back: `docs/examples`.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use enforcer_tests::lab::{Firmware, Space, story};

use crate::site::Site;

/// Package `debian-installer-12-netboot-amd64`.
const IMAGES: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";
/// The lab's network has no name server, which the installer would ask for.
const LAB: &str = "netcfg/get_nameservers=10.77.0.1 console=ttyS0,115200";
/// Kernel 8 MB, initrd 41 MB, 110 MB unpacked.
const RAM_MIB: u32 = 1024;
/// A quiet host needs about a minute; only a failing story waits so long.
const PATIENCE: Duration = Duration::from_secs(420);

/// Installs with the example preseed and `script` on a machine of `firmware`, until the installer has switched it off.
fn installed(space: &Space, firmware: Firmware, script: &str) -> Result<Site> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let preseed = examples.join("debian-preseed.cfg");
    let file = space.folder().file("script.sh");
    fs::write(&file, script)?;
    let mut site = Site::with_ram(space, firmware, RAM_MIB)?;
    let images = Path::new(IMAGES);
    let linux = images.join("linux");
    fs::metadata(&linux).context("apt-get install debian-installer-12-netboot-amd64")?;
    let cmdline = format!("{} {LAB}", documented(&preseed)?);
    site.arm(
        &linux,
        &images.join("initrd.gz"),
        &[
            "--evidence",
            "callback",
            "--answer",
            &format!("preseed.cfg={}", preseed.display()),
            "--answer",
            &format!("script.sh={}", file.display()),
            "--cmdline",
            &cmdline,
        ],
    )?;
    site.machine.power_on()?;
    site.machine.wait_off(PATIENCE)?;
    Ok(site)
}

/// The command line that the example's own first lines tell.
fn documented(preseed: &Path) -> Result<String> {
    let text = fs::read_to_string(preseed)?;
    let line = text.split_once("--cmdline \"").map(|(_, rest)| rest);
    let line = line.and_then(|rest| rest.split_once("\"\n"));
    Ok(line.context("the example names no --cmdline")?.0.to_owned())
}

#[test]
fn debians_installer_reads_our_preseed_and_confirms() -> Result<()> {
    story("installer-done", |space| {
        let script = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/debian-script.sh"),
        )?;
        let mut site = installed(space, Firmware::Uefi, &script)?;
        assert_eq!(site.stage()?, "confirmed");
        assert_eq!(site.count("activation.confirmed")?, 1);
        site.machine.power_on()?;
        site.expect_disk()?;
        Ok(())
    })
}

#[test]
fn a_script_that_exits_1_in_debians_installer_is_a_failure_in_its_words() -> Result<()> {
    story("installer-failed", |space| {
        let mut site = installed(space, Firmware::Bios, "exit 1\n")?;
        assert_eq!(site.stage()?, "failed");
        assert_eq!(site.count("activation.failed")?, 1);
        assert_eq!(
            site.reason()?,
            "the booted system reported: the script ended with exit code 1"
        );
        site.machine.power_on()?;
        site.expect_disk()?;
        Ok(())
    })
}
