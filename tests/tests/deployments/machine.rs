//! A machine: its disk, what its firmware asks, the management OS that it boots, and its end.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use enforcer::state::deployment::{Deployment, State};
use enforcer_agent::cmdline;
use enforcer_agent::deploy::{Patience, work};
use enforcer_agent::journal::Journal;
use enforcer_agent::mesh::{Agent, Ending, Enrolment, GossipChoice, Memory, Power, Setup};
use ipxe::{Arch, BootOffer, Firmware, MacAddr, PxeClient};
use ipxe_net::{BootAuthority as _, BootNote};
use mesh_net::{CaTrust, EnrolProof, tls};
use mesh_proto::facts::{Disk, HardwareFacts};
use mesh_proto::message::enrol::KeyKind;
use mesh_proto::message::link::Habitat;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::disk::Medium;
use crate::fuse::{Came, Fuse};
use crate::http::get;
use crate::site::{PATIENCE, Site};
use crate::workplace::{PATIENT, Paper, Place, Record};

/// See the file's head.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) mac: MacAddr,
    pub(crate) ip: Ipv4Addr,
    pub(crate) medium: Medium,
    pub(crate) record: Arc<Record>,
    pub(crate) patience: Patience,
}

/// What a machine boots.
pub(crate) enum Boot {
    /// What is on its disk.
    Disk,
    /// The management OS, which works.
    Management(Alive),
}

impl Machine {
    /// Machine `n`, registered, with this on its disk.
    pub(crate) fn new(site: &Site, n: u8, content: &[u8], sector_size: u32) -> Self {
        let machine = Self::stranger(site.folder(), n, content, sector_size);
        site.register(machine.mac, &machine.name);
        machine
    }

    /// The same, of which nobody said that it is ours.
    pub(crate) fn stranger(folder: &Path, n: u8, content: &[u8], sector_size: u32) -> Self {
        let disk = folder.join(format!("disk-of-web{n}"));
        Self {
            name: format!("web{n}"),
            mac: MacAddr([0x52, 0x54, 0, 0, 0, n]),
            ip: Ipv4Addr::new(127, 0, 0, 1 + n),
            medium: Medium::with(&disk, content, sector_size),
            record: Arc::default(),
            patience: PATIENT,
        }
    }

    fn disk(&self) -> Disk {
        Disk {
            name: "vda".to_owned(),
            bytes: self.medium.bytes(),
            logical_sector_bytes: self.medium.sector_size,
            physical_sector_bytes: self.medium.sector_size,
            rotational: false,
            removable: false,
            model: Some("Pretended".to_owned()),
            serial: Some(format!("DISK-{}", self.name)),
            by_path: None,
        }
    }

    fn facts(&self) -> HardwareFacts {
        let serial = format!("S-{}", self.name);
        let uuid = format!("{:08x}-1111-4222-8333-944444444444", self.ip.to_bits());
        serde_json::from_value(serde_json::json!({
            "v": 1, "arch": "x86_64", "firmware": "uefi",
            "smbios": {"vendor": "ACME", "product": "Anvil", "serial": serial, "uuid": uuid},
            "cpu": {"model": "Test", "threads": 2},
            "memory": {"bytes": 536_870_912_u64, "usable_bytes": 500_000_000_u64},
            "nics": [{"name": "eth0", "mac": self.mac.to_string(), "driver": "virtio_net", "speed_mbps": 1000, "link": true}],
            "disks": [serde_json::to_value(self.disk()).unwrap()], "kernel": "6.1.0"
        }))
        .unwrap()
    }

    /// What DHCP offers its firmware.
    pub(crate) fn asks_dhcp(&self, site: &Site) -> BootOffer {
        let client = PxeClient {
            mac: self.mac,
            uuid: None,
            firmware: Firmware::UefiPxe(Arch::X64),
            ipxe: true,
        };
        let offer = site.desk().offer(&client);
        let (mac, ip) = (self.mac, self.ip);
        site.desk().note(BootNote::AddressRequested { mac, ip });
        let asked = offer.clone();
        site.desk().note(BootNote::Asked { client, offer });
        // Seconds go by before a real machine asks for its script.
        site.does(site.store().flush()).unwrap();
        asked
    }

    /// From the button to what it runs.
    pub(crate) fn powers_on(&self, site: &Site, fuse: &Arc<Fuse>) -> Boot {
        assert_eq!(self.asks_dhcp(site), BootOffer::Script);
        let session = format!("{:016x}", rand::random::<u64>());
        let path = format!(
            "/boot/{}?session={session}&arch=x86_64&platform=efi",
            self.mac.hyphens()
        );
        let script = self.gets(site, &path);
        if script.contains("boots its own disk") {
            return Boot::Disk;
        }
        assert!(script.contains("enforcer.secret="), "{script}");
        for file in ["vmlinuz", "initrd.img"] {
            self.gets(site, &format!("/assets/management-os/amd64-generic/{file}"));
        }
        Boot::Management(self.management(&script, fuse))
    }

    fn gets(&self, site: &Site, path: &str) -> String {
        let (status, body) = get(IpAddr::V4(self.ip), site.http, path);
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    /// The one program of the management OS, as its command line says.
    fn management(&self, script: &str, fuse: &Arc<Fuse>) -> Alive {
        let words = cmdline::parse(script);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let facts = self.facts();
        let proof = EnrolProof::Boot {
            mac: words.boot_mac.unwrap(),
            secret: words.secret.unwrap(),
        };
        let entered = runtime.enter();
        let agent = Agent::new(Setup {
            effects: Arc::new(Paper(facts.clone())),
            habitat: Habitat::ManagementOs,
            boot_id: format!("{:032x}", rand::random::<u128>()),
            nonce: words.nonce,
            has_power: true,
            facts,
            journal: Journal::new(0, {
                let record = Arc::clone(&self.record);
                move |line| record.said.lock().unwrap().push(line.to_owned())
            }),
            memory: Memory::Ram,
            identity: None,
            enrolment: Some(Enrolment {
                key: KeyKind::Boot,
                proof,
                trust: CaTrust::Sha256(words.ca.unwrap()),
            }),
            controllers: words.controllers,
            gossip: GossipChoice::Leaf,
            watch: Arc::new(|_| {}),
            helper: None,
            bind: Some(self.ip.into()),
            clock: tls::system_clock(),
        });
        let agent = agent.unwrap();
        drop(entered);
        let place = Place {
            disks: vec![(self.disk(), self.medium.clone())],
            record: Arc::clone(&self.record),
            fuse: Arc::clone(fuse),
            patience: self.patience,
        };
        let (tell, came) = channel();
        fuse.tells(tell.clone());
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        runtime.spawn(async move {
            let power = lives(agent, Arc::new(place), stopping).await;
            let _killed = tell.send(Came::Power(power));
        });
        Alive {
            runtime,
            came,
            stop,
            record: Arc::clone(&self.record),
            fuse: Arc::clone(fuse),
        }
    }

    /// Boots as often as it takes until its disk is started; how often that was the management OS.
    pub(crate) fn goes_on(&self, site: &Site) -> u32 {
        for boots in 0..5 {
            match self.powers_on(site, &Fuse::none()) {
                Boot::Disk => return boots,
                Boot::Management(alive) => alive.restarts(),
            }
        }
        panic!(
            "it never starts its disk: {:?}",
            self.record.said.lock().unwrap()
        );
    }

    /// It boots the management OS, and its job fails: the reason. The agent stays, and has nothing to do.
    pub(crate) fn fails(&self, site: &Site, job: &Deployment) -> String {
        let Boot::Management(alive) = self.powers_on(site, &Fuse::none()) else {
            panic!("the management OS is due");
        };
        let reason = site.until(|view| {
            let job = view.deployment(job.id)?;
            (job.state == State::Failed).then(|| job.reason.clone().unwrap())
        });
        alive.stops();
        reason
    }

    /// The new system says that it is there.
    pub(crate) fn phones_home(&self, site: &Site, job: &Deployment) {
        self.gets(site, &format!("/boot/n/{}/online", job.nonce));
    }

    /// Whether the log has such a line.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.record
            .said
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(text))
    }

    /// Waits for such a line.
    pub(crate) fn waits_for(&self, text: &str) {
        let start = std::time::Instant::now();
        while !self.said(text) {
            assert!(
                start.elapsed() < PATIENCE,
                "{text}: {:?}",
                self.record.said.lock().unwrap()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Until the machine is to go down.
async fn lives(agent: Agent<Paper>, place: Arc<Place>, stop: CancellationToken) -> Power {
    let line = agent.jobs();
    let life = agent.run(stop.clone());
    tokio::pin!(life);
    tokio::select! {
        ending = &mut life => match ending {
            Ending::Power(power) => power,
            // A person pressed the button of an idle machine.
            Ending::Stopped => Power::Off,
            other => panic!("{other:?}"),
        },
        power = work(line, place) => {
            stop.cancel();
            life.await;
            power
        }
    }
}

/// A management OS that runs.
pub(crate) struct Alive {
    runtime: Runtime,
    came: Receiver<Came>,
    stop: CancellationToken,
    record: Arc<Record>,
    fuse: Arc<Fuse>,
}

impl Alive {
    /// What comes first: its end, or somebody's.
    pub(crate) fn comes(&self) -> Came {
        self.came.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let (steps, said) = (
                self.record.steps.lock().unwrap(),
                self.record.said.lock().unwrap(),
            );
            panic!("it neither ends nor is killed: {steps:?}, {said:#?}")
        })
    }

    /// It does its job and restarts.
    pub(crate) fn restarts(self) {
        assert_eq!(self.comes(), Came::Power(Power::Restart));
        self.runtime.shutdown_timeout(PATIENCE);
    }

    /// It has nothing to do, and is switched off.
    pub(crate) fn stops(self) {
        self.stop.cancel();
        assert_eq!(self.comes(), Came::Power(Power::Off));
        self.runtime.shutdown_timeout(PATIENCE);
    }

    /// As `kill -9` does, or a power cut.
    pub(crate) fn dies(self) {
        self.runtime.shutdown_background();
        self.fuse.release();
    }
}
