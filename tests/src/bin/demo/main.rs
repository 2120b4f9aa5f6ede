//! `make demo`: two computers without an operating system's help boot from the network, in a virtual room, before your eyes.
//!
//! A controller starts on an empty store beside a DHCP server that is not ours. A BIOS and a UEFI machine are registered and switched on:
//! they boot the management OS. Then a boot config is armed for one of them, once: it boots that, and after it its own disk. The demo ends
//! by itself with a summary; its exit code is 0 only when every step was seen on the machines' own serial lines.

mod room;
mod screen;
mod timeline;

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, ensure};
use enforcer_tests::{
    fixture::{self, Flavour},
    lab::{
        Firmware, marker, story,
        tenant::{self, Tenant, Then},
    },
};

use room::{Computer, Room, Sign};
use screen::Screen;

/// What the tiny system's kernel is told: talk on the serial line, and lose no time under emulation.
const CMDLINE: &str =
    "console=ttyS0,115200 panic=10 loglevel=4 random.trust_cpu=on mitigations=off nokaslr";

fn main() -> ExitCode {
    let started = Instant::now();
    let (screen, printer) = screen::open();
    let told = run(&screen);
    drop(screen);
    printer.finish();
    let seconds = started.elapsed().as_secs();
    match told {
        Ok(summary) => {
            println!(
                "\n{summary}\nThe demo is over after {seconds} s; every step was seen on the machines' serial lines."
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nthe demo failed after {seconds} s: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(screen: &Screen) -> Result<String> {
    screen.say("Building what will be booted: a management OS, and a tiny system of its own (the first time, Debian's kernels are fetched).");
    let management_os = fixture::management_os(Flavour::Virtio)?;
    let tiny = Tenant::new("tiny").then(Then::Reboot).kernel_and_initrd()?;
    let mut summary = String::new();
    story("demo", |space| {
        screen.say(
            "A room with one wire. 10.77.0.2 is a DHCP server that knows nothing of booting; beside it `enforcer serve` starts at 10.77.0.1\n\
             without a config file, on an empty store: it answers boot questions only, and only of machines that a person has registered.",
        );
        let mut room = Room::open(space, screen, &management_os)?;
        let mut bios = room.computer(1, "bios", Firmware::Bios)?;
        let mut uefi = room.computer(2, "uefi", Firmware::Uefi)?;
        summary = room.tell(|room| play(room, &mut bios, &mut uefi, &tiny))?;
        Ok(())
    })?;
    Ok(summary)
}

type Tiny = (std::path::PathBuf, std::path::PathBuf);

fn play(room: &Room<'_>, bios: &mut Computer, uefi: &mut Computer, tiny: &Tiny) -> Result<String> {
    room.say("Both machines are registered and switched on. Nothing is known of them yet, so they boot the management OS, which looks at them.");
    for computer in [&*bios, &*uefi] {
        room.enforcer(&[
            "machines",
            "register",
            &computer.mac(),
            "--name",
            computer.name(),
        ])?;
    }
    let ready = both(
        || room.boot(bios, &[Sign::Ready]),
        || room.boot(uefi, &[Sign::Ready]),
    )?;

    room.say("A boot config, armed once for `bios`: a kernel and an initrd that print one line and reboot. `uefi` has nothing due: its own disk.");
    let (kernel, initrd) = (
        format!("vmlinuz={}", tiny.0.display()),
        format!("initrd.img={}", tiny.1.display()),
    );
    room.enforcer(&[
        "boot-configs",
        "set",
        "tiny",
        "--kernel",
        &kernel,
        "--initrd",
        &initrd,
        "--cmdline",
        CMDLINE,
    ])?;
    room.enforcer(&["boot-configs", "activate", "tiny", "bios"])?;
    room.enforcer(&["explain", "bios"])?;
    let once = tenant::line("tiny", Firmware::Bios);
    let own = |computer: &Computer| marker::line(computer.name(), computer.firmware());
    let (bios_disk, uefi_disk) = (own(bios), own(uefi));
    let booted = both(
        || room.boot(bios, &[Sign::Line(&once), Sign::Line(&bios_disk)]),
        || room.boot(uefi, &[Sign::Line(&uefi_disk)]),
    )?;
    let times = bios.times_said(&once)?;
    ensure!(times == 1, "the one-shot config booted {times} times");

    for computer in [&*bios, &*uefi] {
        room.await_record(computer, "told to boot its own disk")?;
    }

    room.say("The activation is spent; whatever happens now, `bios` boots its own disk until a person arms something again.");
    room.enforcer(&["activations", "list"])?;
    room.enforcer(&["explain", "bios"])?;
    Ok(format!(
        "seconds since power-on   management OS ready   boot config, once   its own disk\n\
         bios (SeaBIOS, iPXE)     {:>19}   {:>17}   {:>12}\n\
         uefi (OVMF, PXE)         {:>19}   {:>17}   {:>12}",
        ready.0[0], booted.0[0], booted.0[1], ready.1[0], "-", booted.1[0]
    ))
}

/// Runs two parts at the same time; the first failure counts.
fn both<A: Send, B: Send>(
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        let other = other
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((one?, other?))
    })
}
