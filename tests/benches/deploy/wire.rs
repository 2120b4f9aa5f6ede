//! What it costs to send an image encrypted: our chunks over QUIC, and nginx' file over TLS 1.3 and TCP, on the same wire.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    bench::{Table, ratio},
    lab::{Service, Space, Usage, wait_until},
};

use crate::{
    disks::{Disks, warm},
    figures::median,
    room::{Room, empty},
};

const PORT: u16 = 8443;
const ROUNDS: usize = 3;
const GIB: f64 = (1_u64 << 30) as f64;
const START_LIMIT: Duration = Duration::from_secs(10);

/// Processor seconds per GiB, and MB/s.
#[derive(Default)]
struct Costs {
    server: Vec<f64>,
    client: Vec<f64>,
    rate: Vec<f64>,
    /// How often the sender's threads went to sleep, thousands.
    sleeps: Vec<f64>,
}

pub(crate) fn measure(table: &mut Table, disks: &Disks) -> Result<()> {
    let room = Room::new("wire", false)?;
    warm(&disks.full())?;
    room.upload(&disks.full(), "full")?;
    let size = fs::metadata(disks.full())?.len();
    let mut machine = room.machine(1, size)?;
    let nginx = nginx(&room, disks.dir())?;
    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    for _ in 0..ROUNDS {
        empty(&machine.disk, size)?;
        let agent = machine.agent.pid();
        let slept = sleeps(room.controller.pid()?)?;
        let before = (room.usage()?.cpu, Usage::of(agent)?.cpu);
        let (seconds, _) = room.deploy(&mut machine, "full")?;
        let spent = (
            room.usage()?.cpu - before.0,
            Usage::of(agent)?.cpu - before.1,
        );
        ours.note(size, seconds, spent);
        let slept = sleeps(room.controller.pid()?)? - slept;
        ours.sleeps.push(slept);
        theirs.fetch(&room, &nginx, size)?;
    }
    rows(table, &mut ours, &mut theirs);
    Ok(())
}

impl Costs {
    fn note(&mut self, bytes: u64, seconds: f64, (server, client): (Duration, Duration)) {
        let gib = bytes as f64 / GIB;
        self.server.push(server.as_secs_f64() / gib);
        self.client.push(client.as_secs_f64() / gib);
        self.rate.push(bytes as f64 / 1e6 / seconds);
    }

    fn fetch(&mut self, room: &Room, nginx: &Service, size: u64) -> Result<()> {
        let before = Usage::of(nginx.pid())?.cpu;
        let started = Instant::now();
        let url = format!("https://{}:{PORT}/full.img", Space::CONTROLLER);
        let script = format!("curl -sSk -o /dev/null {url}; times");
        let times = room.bench.client.sh(&script)?;
        let seconds = started.elapsed().as_secs_f64();
        let children = times.lines().nth(1).context("times says two lines")?;
        let spent: Option<f64> = children.split_whitespace().map(in_seconds).sum();
        let client = Duration::from_secs_f64(spent.with_context(|| times.clone())?);
        self.note(
            size,
            seconds,
            (Usage::of(nginx.pid())?.cpu - before, client),
        );
        Ok(())
    }
}

/// `0m1.230s`, as the shell's `times` says it.
fn in_seconds(word: &str) -> Option<f64> {
    let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
    Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
}

fn rows(table: &mut Table, ours: &mut Costs, theirs: &mut Costs) {
    let (a, b) = (median(&mut ours.server), median(&mut theirs.server));
    table.judge(
        "a random GiB goes out encrypted: processor of the sender",
        "free",
        &format!("{a:.2} s/GiB ({})", all(&ours.server)),
        &format!(
            "nginx, TLS 1.3 over TCP: {b:.2} s/GiB ({}; ratio {})",
            all(&theirs.server),
            ratio(a, b)
        ),
        ("≤ 1.5 × nginx", a <= 1.5 * b),
    );
    table.note(
        "the same: processor of the receiver, and speed",
        "free",
        &format!(
            "{:.2} s/GiB with hashing, writing and reading back; {:.0} MB/s to the end; the sender's threads slept {} thousand times",
            median(&mut ours.client),
            median(&mut ours.rate),
            all(&ours.sleeps)
        ),
        &format!(
            "curl to nowhere: {:.2} s/GiB; {:.0} MB/s",
            median(&mut theirs.client),
            median(&mut theirs.rate)
        ),
    );
}

/// Every round's, as it comes out of the middle.
fn all(rounds: &[f64]) -> String {
    let rounds = rounds.iter().map(|round| format!("{round:.2}"));
    rounds.collect::<Vec<_>>().join(", ")
}

/// Sleeps of all threads of a process so far, thousands.
fn sleeps(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let times: f64 = line.context("a thread's status")?.trim().parse()?;
        sum += times / 1e3;
    }
    Ok(sum)
}

/// nginx with a certificate of its own, TLS 1.3, one process.
fn nginx(room: &Room, root: &Path) -> Result<Service> {
    let home = room.bench.space.folder().file("nginx-tls");
    fs::create_dir_all(&home)?;
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=bench", "-keyout"])
        .arg(home.join("key.pem"))
        .arg("-out")
        .arg(home.join("cert.pem"))
        .output()?;
    ensure!(made.status.success(), "openssl req");
    let (at, root) = (home.display(), root.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/tmp;\n"))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{ }}\n\
         http {{\naccess_log off;\n{temporary}\
         server {{ listen {}:{PORT} ssl; root {root}; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem;\n\
         ssl_protocols TLSv1.3; }}\n}}\n",
        Space::CONTROLLER
    );
    fs::write(home.join("nginx.conf"), config)?;
    let mut command = room.bench.space.home().namespace().command("nginx");
    command.arg("-e").arg(home.join("error.log"));
    command.arg("-p").arg(&home);
    command.arg("-c").arg(home.join("nginx.conf"));
    let mut service = Service::start("nginx", command, &home.join("output.log"))?;
    wait_until("nginx to listen", START_LIMIT, || {
        service.ensure_running()?;
        Ok(home.join("pid").exists().then_some(()))
    })?;
    Ok(service)
}
