//! A controller and machines whose disks are files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    bench::{Bench, load_program},
    lab::{Controller, ControllerPlan, Service, Space, Usage, wait_until},
};
use serde_json::{Value, json};

/// For anything that a slow disk may hold up.
const PATIENCE: Duration = Duration::from_secs(280);

pub(crate) struct Room {
    pub(crate) bench: Bench,
    pub(crate) controller: Controller,
}

/// A machine, and the file that is its disk.
pub(crate) struct Machine {
    pub(crate) mac: String,
    pub(crate) disk: PathBuf,
    pub(crate) agent: Service,
}

/// What is said of an image's version that was taken in.
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) version: Value,
}

impl Room {
    pub(crate) fn new(name: &str, caged: bool) -> Result<Self> {
        let bench = Bench::new(name, caged)?;
        let controller = ControllerPlan::new()
            .flags(&["--dhcp", "off"])
            .start(&bench.space)?;
        Ok(Self { bench, controller })
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.controller.pid()?)
    }

    /// Uploads a disk as people do: `curl -T`, over the local socket.
    pub(crate) fn upload(&self, file: &Path, image: &str) -> Result<Taken> {
        let started = Instant::now();
        let done = Command::new("curl")
            .args(["-sS", "--fail-with-body", "--unix-socket"])
            .arg(self.controller.api_socket())
            .arg("-T")
            .arg(file)
            .arg(format!("http://localhost/api/v1/images/{image}/versions"))
            .output()?;
        let answer = String::from_utf8_lossy(&done.stdout);
        ensure!(
            done.status.success(),
            "{answer}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(Taken {
            seconds: started.elapsed().as_secs_f64(),
            version: serde_json::from_str(&answer)?,
        })
    }

    /// An accepted machine with an empty disk of so many bytes. Its agent runs on the client's host.
    pub(crate) fn machine(&self, number: u8, bytes: u64) -> Result<Machine> {
        let mac = format!("52:54:00:d1:5c:{number:02x}");
        let folder = self.bench.space.folder();
        let disk = folder.file(format!("disk{number}"));
        empty(&disk, bytes)?;
        self.post("/api/v1/machines", &json!({ "mac": mac }))?;
        let mut command = self.bench.client.command(load_program("lab-disk")?);
        command
            .arg(format!("{}:4848", Space::CONTROLLER))
            .arg(&mac)
            .arg(&disk);
        let log = folder.file(format!("disk{number}.log"));
        let mut agent = Service::start("lab-disk", command, &log)?;
        let accept = format!("/api/v1/machines/{mac}/accept");
        wait_until("the machine to ask for a key", PATIENCE, || {
            agent.ensure_running()?;
            self.post(&accept, &json!({}))?;
            Ok(agent.log().contains("member").then_some(()))
        })?;
        Ok(Machine { mac, disk, agent })
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.controller.api("POST", path, &body.to_string())?;
        ensure!(
            (200..300).contains(&status),
            "POST {path} {body}: {status}: {answer}"
        );
        Ok(serde_json::from_str(&answer)?)
    }

    /// Orders something for a machine's disk; the deployment's number.
    pub(crate) fn order(&self, machine: &Machine, mut order: Value) -> Result<u64> {
        order["machine"] = json!(machine.mac);
        order["after"] = json!("stay");
        let made = self.post("/api/v1/deployments", &order)?;
        let id = made["deployments"][0]["id"].as_u64();
        id.with_context(|| made.to_string())
    }

    /// Waits until a deployment has ended well; what is said of it.
    pub(crate) fn written(&self, machine: &mut Machine, id: u64) -> Result<Value> {
        let (good, bad) = (format!("job {id} written"), format!("job {id} failed"));
        wait_until(&good, PATIENCE, || {
            machine.agent.ensure_running()?;
            let log = machine.agent.log();
            ensure!(!log.contains(&bad), "{log}");
            Ok(log.contains(&good).then_some(()))
        })?;
        let path = format!("/api/v1/deployments/{id}");
        let (_, answer) = self.controller.api("GET", &path, "")?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Writes an image to a machine's disk; seconds from the order to the end, and what is said of it.
    pub(crate) fn deploy(&self, machine: &mut Machine, image: &str) -> Result<(f64, Value)> {
        let started = Instant::now();
        let id = self.order(machine, json!({ "image": image }))?;
        let said = self.written(machine, id)?;
        Ok((started.elapsed().as_secs_f64(), said))
    }

    /// Bytes that the machines' host has received and sent.
    pub(crate) fn wire_bytes(&self) -> Result<u64> {
        let text = self.bench.client.sh("cat /proc/net/dev")?;
        let cards = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.trim() != "lo");
        let mut sum = 0;
        for (_, counters) in cards {
            let mut counters = counters.split_whitespace();
            let mut next = |n| -> Result<u64> {
                Ok(counters
                    .nth(n)
                    .context("a line of /proc/net/dev")?
                    .parse()?)
            };
            // Received, then seven others, sent.
            sum += next(0)? + next(7)?;
        }
        Ok(sum)
    }
}

/// A new file of holes.
pub(crate) fn empty(path: &Path, bytes: u64) -> Result<()> {
    let _none_yet = fs::remove_file(path);
    File::create(path)?.set_len(bytes)?;
    Ok(())
}

/// The disk holds this image; read from the disk, not from memory.
pub(crate) fn same(image: &Path, disk: &Path) -> Result<()> {
    let same = Command::new("cmp").arg(image).arg(disk).status()?;
    ensure!(
        same.success(),
        "{} is not {}",
        disk.display(),
        image.display()
    );
    Ok(())
}

/// Runs `work` while a process's memory is watched: what it returns, and the most that was resident, KiB.
pub(crate) fn watched<T>(pid: u32, work: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(Usage::of(pid).map_or(0, |used| used.rss_kib));
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let most = watch.join().expect("the watch does not panic");
        Ok((done?, most))
    })
}
