//! From power-on to READY beside the reference chain: `cargo bench -p enforcer-tests --bench power_on`.
//!
//! The same machine, kernel, initramfs and command line; once by Enforcer in server mode, once by dnsmasq and nginx. The runs
//! alternate; medians are compared.

use anyhow::{Context, Result};
use enforcer_tests::{
    bench::{Table, import_management_os, ratio},
    fixture::{self, Flavour},
    lab::{
        self, ControllerPlan, Firmware, FirstStage, Space,
        peers::{Reference, ReferencePlan},
    },
};
use std::{fs, path::Path};

const ROUNDS: usize = 3;
const CONFIG: &str = "discovery = \"all\"\n[management_os]\ncmdline = \"console=tty0 console=ttyS0,115200\"\n\
    [[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.50-10.77.0.99\"\n";

fn main() -> Result<()> {
    let mut table = Table::new("Power-on → READY");
    let built = fixture::management_os(Flavour::Virtio)?;
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (took, cmdline) = by_us(&built, firmware)?;
            ours.push(took);
            theirs.push(by_reference(&built, firmware, &cmdline)?);
        }
        let (a, b) = (median(&mut ours), median(&mut theirs));
        table.judge(
            &format!("power-on → READY, {firmware:?}, server mode, median of {ROUNDS}"),
            "free",
            &format!("{a:.2} s ({:.1}–{:.1})", ours[0], ours[ROUNDS - 1]),
            &format!(
                "dnsmasq + nginx: {b:.2} s ({:.1}–{:.1}) (ratio {})",
                theirs[0],
                theirs[ROUNDS - 1],
                ratio(a, b)
            ),
            ("≤ 1.1 ×", a <= 1.1 * b),
        );
    }
    table.end()
}

/// Seconds, and the command line that the kernel got.
fn by_us(built: &Path, firmware: Firmware) -> Result<(f64, String)> {
    let space = Space::new("ready-ours")?;
    let mut controller = ControllerPlan::new()
        .config(CONFIG)
        .flags(&["--dhcp", "server"])
        .start(&space)?;
    import_management_os(&mut controller, built)?;
    let took = ready(&space, firmware)?;
    // A machine that has just had its discovery boot is sent to its disk: another one shows the command line.
    let (own, other) = (lab::machine_mac(1), lab::machine_mac(2));
    let url = format!("http://10.77.0.1:4880/boot/{other}?session=look&arch=x86_64");
    let script = space.http_get(&url)?;
    let script = script
        .replace(&other, &own)
        .replace(&other.replace(':', "-"), &own.replace(':', "-"));
    let line = script
        .lines()
        .find_map(|line| line.strip_prefix("kernel "))
        .with_context(|| format!("no kernel in {script}"))?;
    let arguments = line
        .split(" initrd=")
        .nth(1)
        .and_then(|rest| rest.split_once(' '))
        .context("arguments after initrd=")?;
    Ok((
        took,
        arguments.1.trim_end_matches(" || goto failed").to_owned(),
    ))
}

fn by_reference(built: &Path, firmware: Firmware, cmdline: &str) -> Result<f64> {
    let space = Space::new("ready-reference")?;
    let files = boot_files(built)?;
    let plan = ReferencePlan::kernel(cmdline)
        .file("vmlinuz", &files.0)
        .file("initrd.img", &files.1);
    let _reference: Reference = plan.start(&space)?;
    ready(&space, firmware)
}

/// Kernel and initramfs in the folder that `management-os build` wrote.
fn boot_files(built: &Path) -> Result<(std::path::PathBuf, std::path::PathBuf)> {
    let find = |word: &str| -> Result<_> {
        for entry in fs::read_dir(built)? {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().contains(word))
            {
                return Ok(path);
            }
        }
        anyhow::bail!("no {word} in {}", built.display())
    };
    Ok((find("vmlinuz")?, find("initr")?))
}

fn ready(space: &Space, firmware: Firmware) -> Result<f64> {
    let mut plan = space.machine(1).firmware(firmware);
    if firmware == Firmware::Uefi {
        plan = plan.first_stage(FirstStage::OvmfPxe);
    }
    let mut machine = plan.power_on()?;
    Ok(machine.expect("ENFORCER READY")?.at.as_secs_f64())
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
