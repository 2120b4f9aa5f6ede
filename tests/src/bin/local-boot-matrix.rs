//! `local-boot-matrix [JOBS]`: every way to the local disk that Enforcer knows, tried on real firmware; prints a Markdown table.
//!
//! docs/LOCAL-BOOT.md holds its result and what follows from it. A cell is the time from the machine's own script ("boots its own disk") to the
//! first byte that its disk's loader prints; `no` means that this did not happen within [`LIMIT`] of the script. JOBS machines run at a time
//! (default 2): with more than the host has cores, times grow.

use anyhow::{Context, Result};
use enforcer_tests::lab::{
    Bus, Controller, ControllerPlan, Disk, Firmware, FirstStage, MachinePlan, Space, machine_mac,
    marker::{self, BootsOn},
    story,
    tenant::{self, Tenant, image::EspPlace},
};
use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// Nobody waits longer in front of a machine.
const LIMIT: Duration = Duration::from_secs(120);
/// From power-on to the script, which is not what is measured here.
const BOOT_LIMIT: Duration = Duration::from_secs(150);
/// Own addresses: old iPXE then does not wait for a router.
const CONFIG: &str = "[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.150-10.77.0.250\"\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Bios,
    Pxe,
    Http,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Medium {
    Virtio,
    Ahci,
    Nvme,
    /// The ESP is GPT partition 5.
    Fifth,
    /// A disk with a Linux of its own instead of the marker.
    Linux,
}

const MEDIA: [Medium; 5] = [
    Medium::Virtio,
    Medium::Ahci,
    Medium::Nvme,
    Medium::Fifth,
    Medium::Linux,
];

/// A row's head: how the firmware came to iPXE, which iPXE, and the method that `machines set --local-boot` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    way: Way,
    program: &'static str,
    method: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Bios => "BIOS PXE",
            Way::Pxe => "UEFI PXE",
            Way::Http => "UEFI HTTP",
        };
        write!(f, "| {way} | {} | {} |", self.program, self.method)
    }
}

type Table = BTreeMap<(Row, Medium), Option<Duration>>;

fn main() -> Result<()> {
    let jobs = env::args().nth(1).map_or(Ok(2), |text| text.parse())?;
    let mut table = Table::new();
    for program in ["ipxe.efi", "snponly.efi"] {
        story("matrix", |space| {
            table.extend(measure(space, program, jobs)?);
            Ok(())
        })?;
    }
    print(&table);
    Ok(())
}

/// All cells of one UEFI iPXE; BIOS machines, whose ROM is iPXE already, run with the first.
fn cells(program: &'static str) -> Vec<(Row, Medium)> {
    let mut rows = Vec::new();
    for method in ["localboot", "exit-failure"] {
        rows.extend([Way::Pxe, Way::Http].map(|way| Row {
            way,
            program,
            method,
        }));
    }
    if program == "ipxe.efi" {
        let bios = |method| Row {
            way: Way::Bios,
            program: "ROM",
            method,
        };
        rows.extend(["sanboot", "exit"].map(bios));
    }
    let all = rows
        .iter()
        .flat_map(|row| MEDIA.map(|medium| (*row, medium)));
    // syslinux and our boot sector do not care where an ESP is
    all.filter(|(row, medium)| row.way != Way::Bios || *medium != Medium::Fifth)
        .collect()
}

fn measure(space: &Space, program: &'static str, jobs: usize) -> Result<Table> {
    let mut controller = ControllerPlan::new().config(CONFIG).start(space)?;
    choose(&mut controller, program)?;
    let mut queue = Vec::new();
    for (id, cell) in (1..).zip(cells(program)) {
        let mac = machine_mac(id);
        controller.cli(&["machines", "register", &mac])?;
        controller.cli(&["machines", "set", &mac, "--local-boot", cell.0.method])?;
        queue.push((id, cell));
    }
    queue.reverse();
    let (queue, table) = (Mutex::new(queue), Mutex::new(Table::new()));
    let worker = || -> Result<()> {
        while let Some((id, cell)) = next(&queue) {
            let taken = boot(space, id, cell).with_context(|| format!("{}{:?}", cell.0, cell.1))?;
            eprintln!("{} {:?} | {}", cell.0, cell.1, show(taken));
            table.lock().map(|mut table| table.insert(cell, taken)).ok();
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or(Ok(())))
    })?;
    Ok(table.into_inner().unwrap_or_default())
}

fn next<T>(queue: &Mutex<Vec<T>>) -> Option<T> {
    queue.lock().ok()?.pop()
}

/// Makes `program` what x86-64 UEFI machines get, and waits until the controller has noticed.
fn choose(controller: &mut Controller, program: &str) -> Result<()> {
    let mut add = Command::new(enforcer_tests::lab::enforcer_binary()?);
    add.args(["firmware", "--state"]).arg(controller.state());
    add.args([
        "add",
        &format!("/usr/lib/ipxe/{program}"),
        "--for",
        "uefi-x64",
    ]);
    anyhow::ensure!(add.output()?.status.success(), "{add:?}");
    controller.wait_log("manifest was read again", Duration::from_secs(20))
}

/// Seconds from the script to the disk's own line.
fn boot(space: &Space, id: u8, (row, medium): (Row, Medium)) -> Result<Option<Duration>> {
    let mut machine = plan(space, id, row.way)
        .disk(disk(space, id, row.way, medium)?)
        .power_on()?;
    let firmware = match row.way {
        Way::Bios => Firmware::Bios,
        Way::Pxe | Way::Http => Firmware::Uefi,
    };
    let script = machine.serial()?.expect("boots its own disk", BOOT_LIMIT)?;
    let line = match medium {
        Medium::Linux => tenant::line("matrix", firmware),
        _ => marker::line("matrix", firmware),
    };
    let arrived = machine.serial()?.expect(line, LIMIT).ok();
    Ok(arrived.map(|hit| hit.at.saturating_sub(script.at)))
}

fn plan(space: &Space, id: u8, way: Way) -> MachinePlan {
    let plan = space.machine(id).ram_mib(384);
    match way {
        Way::Bios => plan,
        Way::Pxe => plan
            .firmware(Firmware::Uefi)
            .first_stage(FirstStage::OvmfPxe),
        Way::Http => plan
            .firmware(Firmware::Uefi)
            .first_stage(FirstStage::OvmfHttp),
    }
}

fn disk(space: &Space, id: u8, way: Way, medium: Medium) -> Result<Disk> {
    let image = space.folder().file(format!("matrix-{id}.img"));
    let (bus, place) = match medium {
        Medium::Virtio | Medium::Linux => (Bus::Virtio, EspPlace::MbrFirst),
        Medium::Ahci => (Bus::Ahci, EspPlace::MbrFirst),
        Medium::Nvme => (Bus::Nvme, EspPlace::MbrFirst),
        Medium::Fifth => (Bus::Virtio, EspPlace::GptFifth),
    };
    if medium == Medium::Linux {
        return Ok(Disk::copy_of(Tenant::new("matrix").image()?));
    }
    let boots_on = match way {
        Way::Bios => BootsOn::BiosOnly,
        Way::Pxe | Way::Http => BootsOn::UefiOnly,
    };
    marker::write_as(&image, "matrix", boots_on, place)?;
    Ok(Disk::at(image).bus(bus))
}

fn show(taken: Option<Duration>) -> String {
    taken.map_or_else(
        || "no".to_owned(),
        |taken| format!("{:.1} s", taken.as_secs_f32()),
    )
}

fn print(table: &Table) {
    println!(
        "| firmware | iPXE | method | virtio | AHCI | NVMe | ESP on GPT partition 5 | Linux on virtio |\n|---|---|---|---|---|---|---|---|"
    );
    let mut rows: Vec<Row> = table.keys().map(|(row, _)| *row).collect();
    rows.dedup();
    for row in rows {
        let cell = |medium| {
            table
                .get(&(row, medium))
                .map_or(" – |".to_owned(), |taken| format!(" {} |", show(*taken)))
        };
        println!("{row}{}", MEDIA.map(cell).concat());
    }
}
