//! `make demo`: two computers that nobody has heard of are switched on in a virtual room, before your eyes.
//!
//! A controller starts on an empty store beside a DHCP server that is not ours, told to look at whatever asks. A BIOS and a UEFI machine
//! boot the management OS, prove a key and become members of the mesh. One is accepted, gets a boot config for once, and is told over its
//! link to reboot: it boots that, and after it its own disk. The demo ends by itself with a summary; its exit code is 0 only when every
//! step was seen on the machines' own serial lines.
//!
//! In the end an image is written to the other machine's disk: chunk by chunk over its link, read back, started, and heard.

mod deployment;
mod room;
mod screen;
mod timeline;

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::{Result, ensure};
use enforcer_tests::{
    fixture::{self, Flavour},
    guest::{self, PHONED_HOME},
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
    let golden = guest::calls_home("golden").image()?;
    let mut summary = String::new();
    story("demo", |space| {
        screen.say(
            "A room with one wire. 10.77.0.2 is a DHCP server that knows nothing of booting; beside it `enforcer serve` starts at 10.77.0.1\n\
             on an empty store, with `discovery = \"all\"`: machines that nobody has registered are looked at, and nothing else.",
        );
        let mut room = Room::open(space, screen, &management_os)?;
        let mut bios = room.computer(1, "bios", Firmware::Bios)?;
        let mut uefi = room.computer(2, "uefi", Firmware::Uefi)?;
        summary = room.tell(|room| {
            let times = play(room, &mut bios, &mut uefi, &tiny)?;
            let online = deploy(room, &mut uefi, &golden)?;
            Ok(table(&times, &online))
        })?;
        Ok(())
    })?;
    Ok(summary)
}

type Tiny = (std::path::PathBuf, std::path::PathBuf);

/// Seconds since power-on, as text: of `bios`, then of `uefi`.
struct Times {
    bios_joined: [String; 2],
    bios_booted: Vec<String>,
    uefi_joined: [String; 2],
}

fn play(room: &Room<'_>, bios: &mut Computer, uefi: &mut Computer, tiny: &Tiny) -> Result<Times> {
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
    Ok(Times {
        bios_joined,
        bios_booted: booted,
        uefi_joined,
    })
}

/// An image, from a file to the word of its system on `uefi`; when that came.
fn deploy(room: &Room<'_>, uefi: &mut Computer, golden: &Path) -> Result<String> {
    room.say("Now an image. It is cut into chunks, each stored once. A person compares the code on `uefi`'s screen: its key is good for more than public things.");
    let golden = golden.display().to_string();
    room.enforcer(&["images", "push", &golden, "golden"])?;
    let code = room.code_on_screen(uefi)?;
    room.enforcer(&["machines", "accept", uefi.name(), "--code", &code])?;

    room.say("Its disk is written over the link: a controller that dies, or a machine that loses power, goes on where it was. All is read back from the disk; then it starts.");
    let user_data = room.file("cloud.yaml", "#cloud-config\nhostname: uefi\n")?;
    let asked = ["deploy", uefi.name(), "golden", "--user-data", &user_data];
    room.enforcer(&asked)?;
    let line = tenant::line("golden", Firmware::Uefi);
    let progress = room.progress_of(uefi)?;
    let (online, _) = both(
        || progress.follow(room),
        || room.watch(uefi, &[Sign::Line(&line), Sign::Line(PHONED_HOME)]),
    )?;
    room.say("The new system called home with its deployment's own word, so it is online; whoever subscribed (`enforcer webhooks`) is told.");
    room.enforcer(&["deployments", "list"])?;
    room.enforcer(&["explain", uefi.name()])?;
    Ok(online)
}

fn table(times: &Times, online: &str) -> String {
    let row = |name: &str, cells: [&str; 5]| {
        let [ready, member, config, disk, image] = cells;
        format!("{name:<22}   {ready:>19}   {member:>18}   {config:>17}   {disk:>12}   {image:>12}")
    };
    let ([ready, member], booted) = (&times.bios_joined, &times.bios_booted);
    let heads = [
        "management OS ready",
        "member of the mesh",
        "boot config, once",
        "its own disk",
        "image online",
    ];
    let bios = [ready, member, &booted[0], &booted[1], "-"];
    let [ready, member] = &times.uefi_joined;
    [
        row("seconds since power-on", heads),
        row("bios (SeaBIOS, iPXE)", bios),
        row("uefi (OVMF, PXE)", [ready, member, "-", "-", online]),
    ]
    .join("\n")
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
