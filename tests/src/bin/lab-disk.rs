//! A machine in the management OS whose disk is a file: the agent's own life in the mesh and its own work on disks, for benches and
//! attempts without firmware.
//!
//! `lab-disk CONTROLLER MAC FILE`: asks to be taken (a person has to accept the machine of this address), does every job it is given,
//! and says `member`, `job N begins` and `job N written` or `job N failed: WHY`. It never restarts: order jobs with `after = stay`.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use enforcer_agent::{
    deploy::{self, BlockDisk, Disk, Ended, Host, LinkDesk, Memory, Part, Patience},
    effects::Effects,
    journal::Journal,
    mesh::{self, Agent, Enrolment, GossipChoice, JobLine},
};
use mesh_net::{CaTrust, EnrolProof, tls::system_clock};
use mesh_proto::{
    facts::{self, HardwareFacts},
    message::{
        enrol::KeyKind,
        job::{Job, JobEnd, Outcome},
        link::Habitat,
    },
};
use tokio::{runtime::Handle, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

const SECTOR_BYTES: u32 = 512;

/// One thread, as the management OS has.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [controller, mac, file] = args.as_slice() else {
        bail!("usage: lab-disk CONTROLLER MAC FILE");
    };
    let machine = Arc::new(Machine {
        mac: mac.clone(),
        file: file.into(),
    });
    let controller = controller.parse().context("ADDRESS:PORT")?;
    let agent = Agent::new(setup(&machine, controller))?;
    let (line, stop) = (agent.jobs(), CancellationToken::new());
    tokio::select! {
        ending = agent.run(stop) => bail!("the agent's life ended: {ending:?}"),
        done = work(line, machine) => done,
    }
}

fn setup(machine: &Arc<Machine>, controller: SocketAddr) -> mesh::Setup<Machine> {
    mesh::Setup {
        effects: Arc::clone(machine),
        habitat: Habitat::ManagementOs,
        boot_id: format!(
            "99999999-0000-4000-8000-{}",
            machine.mac.replace([':', '-'], "")
        ),
        nonce: None,
        has_power: false,
        facts: machine.facts(),
        journal: Journal::new(0, |line| eprintln!("{line}")),
        memory: mesh::Memory::Ram,
        identity: None,
        enrolment: Some(Enrolment {
            key: KeyKind::Boot,
            proof: EnrolProof::None,
            trust: CaTrust::Shown,
        }),
        controllers: vec![controller],
        gossip: GossipChoice::Leaf,
        helper: None,
        watch: Arc::new(|_| {}),
        bind: None,
        clock: system_clock(),
    }
}

/// Job after job.
async fn work(line: JobLine, machine: Arc<Machine>) -> Result<()> {
    let desk = Arc::new(LinkDesk::new(line.clone(), Handle::current()));
    line.linked().await;
    say("member");
    loop {
        let asking = Arc::clone(&desk);
        if let Ok((Some(job), _)) = spawn_blocking(move || asking.job()).await? {
            let (desk, machine) = (Arc::clone(&desk), Arc::clone(&machine));
            spawn_blocking(move || one(&job, &desk, &machine)).await??;
        } else {
            line.nudged().await;
        }
    }
}

fn one(job: &Job, desk: &LinkDesk, machine: &Machine) -> Result<()> {
    say(&format!("job {} begins", job.id));
    let ended = deploy::run(
        job,
        &deploy::Setup {
            host: machine,
            controller: desk,
            sources: vec![desk],
            patience: Patience::default(),
            watcher: &|_| {},
            memory: Memory::default(),
            partition_id: *b"lab-disk-lab-dis",
        },
    );
    let (words, outcome) = match ended {
        Ended::Cancelled(why) => {
            say(&format!("job {} cancelled: {why}", job.id));
            return Ok(());
        }
        Ended::Done(outcome @ Outcome::Written { .. }) => ("written".to_owned(), outcome),
        Ended::Done(Outcome::Failed {
            reason,
            disk_touched,
        }) => {
            let words = format!("failed: {reason}");
            let outcome = Outcome::Failed {
                reason,
                disk_touched,
            };
            (words, outcome)
        }
    };
    let end = JobEnd {
        job: job.id,
        outcome,
    };
    desk.end(end).context("the end of the job")?;
    say(&format!("job {} {words}", job.id));
    Ok(())
}

fn say(text: &str) {
    println!("{text}");
    let _nobody_listens = io::stdout().flush();
}

/// A machine with one network card and one disk.
struct Machine {
    mac: String,
    file: PathBuf,
}

impl Machine {
    fn disk(&self) -> facts::Disk {
        let mut serial = self.mac.clone();
        serial.retain(|c| c != ':');
        facts::Disk {
            name: "file".to_owned(),
            bytes: fs::metadata(&self.file).map_or(0, |file| file.len()),
            logical_sector_bytes: SECTOR_BYTES,
            physical_sector_bytes: SECTOR_BYTES,
            rotational: false,
            removable: false,
            model: Some("LABFILE".to_owned()),
            serial: Some(serial),
            by_path: None,
        }
    }
}

impl Effects for Machine {
    fn facts(&self) -> HardwareFacts {
        let json = serde_json::json!({
            "v": facts::FACTS_VERSION,
            "arch": "x86_64",
            "firmware": "bios",
            "smbios": { "vendor": "EnforcerLab", "product": "Nothing", "serial": format!("DSK-{}", self.mac) },
            "cpu": { "sockets": 1, "cores": 1, "threads": 1 },
            "memory": { "bytes": 1u64 << 29, "usable_bytes": 1u64 << 29 },
            "nics": [{ "name": "eth0", "mac": self.mac, "link": true }],
            "disks": [self.disk()],
        });
        serde_json::from_value(json).expect("these are the fields of facts")
    }

    fn restart(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn power_off(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lamp(&self, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn wake(&self, _: [u8; 6]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Host for Machine {
    fn disks(&self) -> Vec<facts::Disk> {
        vec![self.disk()]
    }

    fn open(&self, _: &facts::Disk) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(BlockDisk::open_file(&self.file, SECTOR_BYTES)?))
    }

    /// Nobody maps a file's file systems here: zeros alone are left out.
    fn unused(&self, _: &facts::Disk, _: &Part, _: &str) -> Option<Vec<Range<u64>>> {
        None
    }

    fn sanitize(&self, _: &facts::Disk) -> Result<(), String> {
        Err("a file cannot".to_owned())
    }

    fn boot_order(&self, _: &Part, _: u32) -> Result<bool, String> {
        Ok(false)
    }

    fn say(&self, text: &str) {
        eprintln!("{text}");
    }
}
