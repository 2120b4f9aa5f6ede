//! `make demo`: two computers that nobody has heard of are switched on in a virtual room, before your eyes.
//!
//! A controller starts on an empty store beside a DHCP server that is not ours, told to look at whatever asks. A BIOS and a UEFI machine
//! boot the management OS, prove a key and become members of the mesh. One is accepted, gets a boot config for once, and is told over its
//! link to reboot: it boots that, and after it its own disk. The demo ends by itself with a summary; its exit code is 0 only when every
//! step was seen on the machines' own serial lines.

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
             on an empty store, with `discovery = \"all\"`: machines that nobody has registered are looked at, and nothing else.",
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
    room.say("Two machines are switched on. Nobody has heard of them, so they boot the management OS, look at themselves, and join the mesh.");
    let joins = |computer: &mut Computer| -> Result<[String; 2]> {
        let ready = room.boot(computer, &[Sign::Ready])?.swap_remove(0);
        Ok([ready, room.await_member(computer)?])
    };
    let (bios_joined, uefi_joined) = both(|| joins(bios), || joins(uefi))?;
    room.say("They are members: each has proved a key with its boot's secret, keeps a link, and gossips. Their facts came over the link.");
    for computer in [&*bios, &*uefi] {
        room.enforcer(&[
            "machines",
            "set",
            &computer.mac(),
            "--name",
            computer.name(),
        ])?;
    }
    room.enforcer(&["members", "list"])?;
    room.enforcer(&["machines", "list"])?;

    room.say("A person accepts `bios`, and arms a boot config for it, once: a kernel and an initrd that print one line and reboot.");
    room.enforcer(&["machines", "accept", bios.name()])?;
    let (kernel, initrd) = (
        format!("vmlinuz={}", tiny.0.display()),
        format!("initrd.img={}", tiny.1.display()),
    );
    let files = [
        "--kernel",
        &kernel,
        "--initrd",
        &initrd,
        "--cmdline",
        CMDLINE,
    ];
    room.enforcer(&[&["boot-configs", "set", "tiny"], &files[..]].concat())?;
    room.enforcer(&["boot-configs", "activate", "tiny", bios.name()])?;

    room.say("No hand touches it: the order to reboot goes out over the machine's link, and is acknowledged before it goes down.");
    room.enforcer(&["machines", "reboot", bios.name()])?;
    let once = tenant::line("tiny", Firmware::Bios);
    let own_disk = marker::line(bios.name(), Firmware::Bios);
    let booted = room.watch(bios, &[Sign::Line(&once), Sign::Line(&own_disk)])?;
    let times = bios.times_said(&once)?;
    ensure!(times == 1, "the one-shot config booted {times} times");
    room.await_record(bios, "told to boot its own disk")?;

    room.say("The activation is spent; whatever happens now, `bios` boots its own disk. `uefi`, which nobody accepted, was only looked at.");
    room.enforcer(&["activations", "list"])?;
    room.enforcer(&["explain", bios.name()])?;
    room.enforcer(&["members", "list"])?;
    Ok(format!(
        "seconds since power-on   management OS ready   member of the mesh   boot config, once   its own disk\n\
         bios (SeaBIOS, iPXE)     {:>19}   {:>18}   {:>17}   {:>12}\n\
         uefi (OVMF, PXE)         {:>19}   {:>18}   {:>17}   {:>12}",
        bios_joined[0],
        bios_joined[1],
        booted[0],
        booted[1],
        uefi_joined[0],
        uefi_joined[1],
        "-",
        "-"
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
