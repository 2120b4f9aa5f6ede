//! Big files over boot HTTP beside nginx: `cargo bench -p enforcer-tests --bench files`.
//!
//! Processor time per GiB (user and system, of the server's process), and memory while 64 machines load at once.

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    bench::{Bench, Table, fetch, import_management_os, ratio},
    fixture::{self, Flavour},
    lab::{Controller, ControllerPlan, Usage, peers::Nginx},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// The file that is made large.
const BIG: &str = "tools.img";
/// A large installer image, MiB.
const FILE_MIB: usize = 256;
/// Downloads of it in a round: 2 GiB.
const DOWNLOADS: usize = 8;
const AT_ONCE: usize = 4;
const CROWD: usize = 64;
const ROUNDS: usize = 3;
const WEB_PORT: u16 = 8081;
const GIB: f64 = (1_u64 << 30) as f64;
/// What 64 downloads at once may add, MiB: 256 KiB a machine for pieces and buffers, and as much for the allocator.
const GROWTH_MAX_MIB: f64 = 32.0;

fn main() -> Result<()> {
    let mut table = Table::new("Big files over boot HTTP");
    for caged in [false, true] {
        compare(&mut table, caged)?;
    }
    table.end()
}

fn compare(table: &mut Table, caged: bool) -> Result<()> {
    let bench = Bench::new("files", caged)?;
    let mut controller = ControllerPlan::new()
        .flags(&["--dhcp", "off"])
        .start(&bench.space)?;
    let folder = big_file(&mut controller)?;
    let nginx = Nginx::start(bench.space.home(), WEB_PORT, &folder)?;
    let ours = (
        controller.pid()?,
        format!(
            "http://10.77.0.1:4880/assets/management-os/{}/{BIG}",
            os_name(&folder)?
        ),
    );
    let theirs = (nginx.pid(), format!("http://10.77.0.1:{WEB_PORT}/{BIG}"));
    for (pid, url) in [&ours, &theirs] {
        bench.hold(*pid)?;
        fetch(&bench, url, 1, 1)?;
    }
    let (mut costs, mut rates) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..ROUNDS {
        for (n, (pid, url)) in [&ours, &theirs].into_iter().enumerate() {
            let before = Usage::of(*pid)?;
            let got = fetch(&bench, url, DOWNLOADS, AT_ONCE)?;
            let used = Usage::of(*pid)?.cpu - before.cpu;
            costs[n].push(used.as_secs_f64() / (got.bytes as f64 / GIB));
            rates[n].push(got.bytes as f64 / 1e6 / got.seconds);
        }
    }
    let (a, b) = (median(&mut costs[0]), median(&mut costs[1]));
    table.judge(
        "processor seconds per GiB, 4 downloads at once",
        bench.limits(),
        &format!("{a:.2} s/GiB, {:.0} MB/s", median(&mut rates[0])),
        &format!(
            "nginx: {b:.2} s/GiB, {:.0} MB/s (ratio {})",
            median(&mut rates[1]),
            ratio(a, b)
        ),
        ("≤ 3 × nginx", a <= 3.0 * b),
    );
    crowd(table, &bench, &ours)
}

/// Installs a management OS whose tools are as large as an installer's image; its folder.
fn big_file(controller: &mut Controller) -> Result<PathBuf> {
    let built = fixture::management_os(Flavour::Virtio)?;
    import_management_os(controller, &built)?;
    let installed = fs::read_dir(controller.state().join("assets/management-os"))?;
    let folder = installed
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .find(|path| path.join(BIG).exists());
    let folder = folder.context("a management OS was imported")?;
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    fs::write(
        folder.join(BIG),
        (0..FILE_MIB << 20).map(byte).collect::<Vec<_>>(),
    )?;
    Ok(folder)
}

fn os_name(folder: &Path) -> Result<String> {
    Ok(folder
        .file_name()
        .context("a folder's name")?
        .to_string_lossy()
        .into_owned())
}

fn crowd(table: &mut Table, bench: &Bench, (pid, url): &(u32, String)) -> Result<()> {
    let before = Usage::of(*pid)?.rss_kib;
    let over = AtomicBool::new(false);
    let (most, got) = thread::scope(|scope| {
        let watch = scope.spawn(|| watch_rss(*pid, &over));
        let got = fetch(bench, url, CROWD, CROWD);
        over.store(true, Ordering::Relaxed);
        (watch.join().expect("the watch does not panic"), got)
    });
    let (most, got) = (most.context("watching memory")?, got?);
    ensure!(
        got.bytes == (CROWD * (FILE_MIB << 20)) as u64,
        "{} bytes came",
        got.bytes
    );
    let mib = |kib: u64| kib as f64 / 1024.0;
    table.judge(
        &format!("memory while {CROWD} machines load {FILE_MIB} MiB each"),
        bench.limits(),
        &format!(
            "RSS {:.1} → {:.1} MiB, {:.0} MB/s",
            mib(before),
            mib(most),
            got.bytes as f64 / 1e6 / got.seconds
        ),
        "",
        (
            "no file in memory: growth < 32 MiB",
            mib(most) - mib(before) < GROWTH_MAX_MIB,
        ),
    );
    Ok(())
}

/// The largest RSS seen until it is over, KiB.
fn watch_rss(pid: u32, over: &AtomicBool) -> Result<u64> {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(Usage::of(pid)?.rss_kib);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
