//! Debian's own installer boots by the preset `debian`, reads the preseed of `docs/examples`, runs our script by the preset's
//! `run.sh`, and that calls back.

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
    site.arm(
        &linux,
        &images.join("initrd.gz"),
        &[
            "--os",
            "debian",
            "--script",
            &file.display().to_string(),
            "--answer",
            &format!("preseed.cfg={}", preseed.display()),
            "--append",
            LAB,
        ],
    )?;
    site.machine.power_on()?;
    site.machine.wait_off(PATIENCE)?;
    Ok(site)
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
