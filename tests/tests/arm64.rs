//! The controller for aarch64, emulated: its package and that of the boot assets on a fresh Debian that has nothing of GRUB, and an
//! x86 machine that boots from it.

use std::fs;

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    first_boot::Site,
    fixture,
    lab::{Debian, Space, need, peers::ForeignDhcp, story},
};
use serde_json::Value;

/// Called by its name: whether a host runs foreign programs by itself is its own matter.
const EMULATOR: &str = "qemu-aarch64-static";
/// `e_machine` of an ELF header, and where it is.
const AARCH64: (usize, [u8; 2]) = (18, [183, 0]);
/// Over the package's unit. The emulator writes the code that it runs, and calls the kernel for more than the program does.
const UNIT: &str = "[Service]
ExecStart=
ExecStart=/usr/local/bin/qemu-aarch64-static /usr/bin/enforcer serve --config /etc/enforcer/enforcer.toml
Environment=ENFORCER_RECHAIN=always
MemoryDenyWriteExecute=no
SystemCallFilter=
";

#[test]
fn an_emulated_arm_controller_of_the_packages_boots_an_x86_bios_machine() -> Result<()> {
    story("arm64", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let host = Host::boot(space)?;
        host.installs()?;
        host.says_what_it_is()?;
        let site = Site {
            space,
            socket: host.debian.file("/run/enforcer/api.sock"),
        };
        let booted = site.boots_a_bios_machine();
        booted.with_context(|| host.debian.journal("enforcer"))
    })
}

struct Host {
    debian: Debian,
}

impl Host {
    fn boot(space: &Space) -> Result<Self> {
        let emulator = need::find(EMULATOR).context("apt-get install qemu-user-static")?;
        let debs = fixture::arm64_packages(space)?;
        let debian = Debian::boot(space, |root| {
            let (there, tools) = (root.join("debs"), root.join("usr/local/bin"));
            let unit = root.join("etc/systemd/system/enforcer.service.d");
            for folder in [&there, &tools, &unit] {
                fs::create_dir_all(folder)?;
            }
            fs::copy(&emulator, tools.join(EMULATOR))?;
            fs::write(unit.join("emulated.conf"), UNIT)?;
            for deb in fs::read_dir(&debs)? {
                let deb = deb?;
                fs::copy(deb.path(), there.join(deb.file_name()))?;
            }
            Ok(())
        })?;
        Ok(Self { debian })
    }

    fn sh(&self, script: &str) -> Result<String> {
        self.debian
            .sh(script)
            .with_context(|| self.debian.journal("enforcer"))
    }

    /// The program's package is for another architecture, the one of the assets is for all.
    fn installs(&self) -> Result<()> {
        self.sh("dpkg --add-architecture arm64
                 dpkg --install /debs/enforcer_*_arm64.deb /debs/enforcer-boot-assets_*_all.deb")?;
        // It returns when the controller has said that it is ready.
        self.sh("systemctl start enforcer && ! test -e /usr/lib/grub")?;
        let program = fs::read(self.debian.file("/usr/bin/enforcer"))?;
        let (at, machine) = AARCH64;
        ensure!(
            program.get(at..at + 2) == Some(&machine),
            "this is no program for aarch64"
        );
        let runs =
            self.sh("cat /proc/$(systemctl show enforcer --value --property MainPID)/cmdline")?;
        ensure!(runs.contains(EMULATOR), "{runs}");
        Ok(())
    }

    fn says_what_it_is(&self) -> Result<()> {
        let emulated = |words: &str| self.sh(&format!("{EMULATOR} /usr/bin/enforcer {words}"));
        let version = emulated("--version")?;
        ensure!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        let firmware = emulated("firmware list")?;
        let ours =
            |line: &str| line.starts_with("localboot.efi") && line.contains("enforcer-boot-assets");
        ensure!(firmware.lines().any(ours), "{firmware}");
        // It ends with 1 when it finds a problem, as on a host without a synchronised clock.
        let found = emulated("doctor -o json || true")?;
        let found: Vec<Value> = serde_json::from_str(&found).with_context(|| found.clone())?;
        let runs = |finding: &Value| finding["code"] == "controller";
        ensure!(found.iter().any(runs), "{found:#?}");
        Ok(())
    }
}
