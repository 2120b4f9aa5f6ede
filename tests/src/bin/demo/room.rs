//! The room of the demo: a controller with its follower, and computers with a disk that says who it is.

use std::{
    env,
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use enforcer_tests::lab::{
    Controller, ControllerPlan, Disk, Firmware, FirstStage, Hit, Machine, Pattern, Space, marker,
    peers::ForeignDhcp, re, wait_until,
};
use mesh_proto::facts::HardwareFacts;
use serde_json::Value;

use crate::{
    deployment::Progress,
    screen::Screen,
    timeline::{Follower, PowerOns},
};

/// How long the controller may take to see that a management OS was imported.
const IMPORT_LIMIT: Duration = Duration::from_secs(10);
/// How long the boot timeline may take to be written down: a second, on a busy host a few.
const RECORD_LIMIT: Duration = Duration::from_secs(10);

/// Every machine that asks is looked at; the management OS talks on the serial line, which is what we see of it.
const CONFIG: &str =
    "discovery = \"all\"\n[management_os]\ncmdline = \"console=tty0 console=ttyS0,115200\"\n";
/// How long after READY a machine may take to be a member: under emulation, five seconds at most.
const MEMBER_LIMIT: Duration = Duration::from_secs(60);

/// Room for a marker, and later for an image with what its system is told.
const DISK_BYTES: u64 = 64 << 20;

/// Everything but the computers.
pub(crate) struct Room<'a> {
    space: &'a Space,
    screen: &'a Screen,
    power_ons: PowerOns,
    controller: Controller,
    _foreign: ForeignDhcp,
}

impl<'a> Room<'a> {
    /// A foreign DHCP server, and a controller on an empty store that has the management OS of folder `management_os`.
    pub(crate) fn open(space: &'a Space, screen: &'a Screen, management_os: &Path) -> Result<Self> {
        let foreign = ForeignDhcp::start(space)?;
        let mut controller = ControllerPlan::new().config(CONFIG).start(space)?;
        let state = controller.state();
        let import: [&Path; 5] = [
            "management-os".as_ref(),
            "--state".as_ref(),
            &state,
            "import".as_ref(),
            management_os,
        ];
        controller.cli(&import)?;
        controller.wait_log("were read again", IMPORT_LIMIT)?;
        Ok(Self {
            space,
            screen,
            power_ons: PowerOns::default(),
            controller,
            _foreign: foreign,
        })
    }

    /// A computer that is off, with a disk that prints its name.
    pub(crate) fn computer(
        &self,
        id: u8,
        name: &'static str,
        firmware: Firmware,
    ) -> Result<Computer> {
        let image = self.space.folder().file(format!("{name}.img"));
        marker::write(&image, name)?;
        File::options()
            .write(true)
            .open(&image)?
            .set_len(DISK_BYTES)?;
        let stage = match firmware {
            Firmware::Bios => FirstStage::RomIpxe,
            Firmware::Uefi => FirstStage::OvmfPxe,
        };
        let plan = self.space.machine(id).firmware(firmware).first_stage(stage);
        let machine = plan.disk(Disk::copy_of(&image)).build()?;
        Ok(Computer { name, machine })
    }

    /// A file of the person who watches; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.space.folder().file(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// The code that the management OS shows.
    pub(crate) fn code_on_screen(&self, computer: &mut Computer) -> Result<String> {
        let hit = computer
            .machine
            .expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
        let code = hit.groups.into_iter().next().context("a code")?;
        let said = format!("says: ENFORCER CODE {code}");
        self.screen
            .show(SystemTime::now(), None, computer.name, said);
        Ok(code)
    }

    /// What is to be seen of the newest deployment of a computer.
    pub(crate) fn progress_of(&self, computer: &Computer) -> Result<Progress> {
        Ok(Progress {
            machine: computer.name,
            power_on: computer.machine.power_on_clock()?,
        })
    }

    /// The controller, and where its lines go.
    pub(crate) fn controller(&self) -> (&Controller, &Screen) {
        (&self.controller, self.screen)
    }

    /// Plays while the controller's events are shown.
    pub(crate) fn tell<T>(&mut self, play: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let _follower = Follower::start(
            &self.controller,
            self.screen.clone(),
            self.power_ons.clone(),
        )?;
        play(self)
    }

    /// A sentence for the person who watches.
    pub(crate) fn say(&self, text: &str) {
        self.screen.say(text);
    }

    /// Runs a command line as a person would, and shows it with what it prints.
    pub(crate) fn enforcer(&self, args: &[&str]) -> Result<()> {
        let at = SystemTime::now();
        let typed = args.iter().map(|word| quoted(word)).collect::<Vec<_>>();
        let line = format!("$ enforcer {}", typed.join(" "));
        self.screen.show(at, None, "enforcer", line);
        let printed = self.controller.cli(args)?;
        for line in printed.trim_end().lines() {
            self.screen.show(SystemTime::now(), None, "", line);
        }
        Ok(())
    }

    /// Switches a computer on (after pulling its plug if it is on) and waits for `signs` on its serial line; when each came.
    pub(crate) fn boot(&self, computer: &mut Computer, signs: &[Sign<'_>]) -> Result<Vec<String>> {
        let name = computer.name;
        computer.machine.power_cycle()?;
        let power_on = computer.machine.power_on_clock()?;
        self.power_ons.note(name, &computer.machine.mac(), power_on);
        self.screen
            .show(power_on, Some(Duration::ZERO), name, "power on");
        self.watch(computer, signs)
    }

    /// Waits for `signs` on the serial line of a computer that is on; when each came.
    pub(crate) fn watch(&self, computer: &mut Computer, signs: &[Sign<'_>]) -> Result<Vec<String>> {
        let (name, power_on) = (computer.name, computer.machine.power_on_clock()?);
        let seen = |sign: &Sign<'_>| -> Result<String> {
            let hit = computer.machine.expect(sign.pattern())?;
            let said = format!("says: {}", sign.shown(&hit)?);
            self.screen
                .show(power_on + hit.at, Some(hit.at), name, said);
            Ok(format!("{:.1}", hit.at.as_secs_f64()))
        };
        signs.iter().map(seen).collect()
    }

    /// Waits until the controller calls a computer an alive member; how long after its power-on that was.
    pub(crate) fn await_member(&self, computer: &Computer) -> Result<String> {
        let mac = computer.mac();
        let at = wait_until("a member of the mesh", MEMBER_LIMIT, || {
            let shown = self
                .controller
                .cli(&["machines", "show", &mac, "-o", "json"])?;
            let machine: Value = serde_json::from_str(&shown)?;
            let alive = machine["member"]["state"] == "alive";
            Ok(alive.then(SystemTime::now))
        })?;
        let since = at.duration_since(computer.machine.power_on_clock()?)?;
        self.screen
            .show(at, Some(since), computer.name, "is a member of the mesh");
        Ok(format!("{:.1}", since.as_secs_f64()))
    }

    /// Waits until the controller's record has `text` about a computer; it is written down within a second.
    pub(crate) fn await_record(&self, computer: &Computer, text: &str) -> Result<()> {
        wait_until("the controller's record", RECORD_LIMIT, || {
            let record = self
                .controller
                .cli(&["events", "--machine", computer.name])?;
            Ok(record.contains(text).then_some(()))
        })
    }
}

/// What a machine prints when it has come to a certain place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sign<'a> {
    /// The management OS is up and says what it sees.
    Ready,
    /// A disk or a kernel says who it is.
    Line(&'a str),
}

impl Sign<'_> {
    fn pattern(self) -> Pattern {
        match self {
            Self::Ready => re(r"ENFORCER READY (\{.*\})"),
            Self::Line(line) => line.into(),
        }
    }

    /// The line as a person wants to read it.
    fn shown(self, hit: &Hit) -> Result<String> {
        const MIB: u64 = 1 << 20;
        if let Self::Line(line) = self {
            return Ok(line.to_owned());
        }
        let facts = hit.groups.first().context("the pattern has a group")?;
        let facts: HardwareFacts = serde_json::from_str(facts)?;
        let disks = facts
            .disks
            .iter()
            .map(|disk| format!("{} of {} MiB", disk.name, disk.bytes / MIB));
        let nics = facts.nics.iter().map(|nic| nic.mac.clone());
        Ok(format!(
            "ENFORCER READY, {:?}, {} processor(s), {} MiB, disk {}, card {}",
            facts.firmware,
            facts.cpu.threads,
            facts.memory.bytes / MIB,
            disks.collect::<Vec<_>>().join(", "),
            nics.collect::<Vec<_>>().join(", ")
        ))
    }
}

/// One of the two machines.
pub(crate) struct Computer {
    name: &'static str,
    machine: Machine,
}

impl Computer {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn mac(&self) -> String {
        self.machine.mac()
    }

    /// How often it has printed `line` since its power-on.
    pub(crate) fn times_said(&mut self, line: &str) -> Result<usize> {
        Ok(self.machine.serial()?.text().matches(line).count())
    }
}

/// As it would have to be typed here.
fn quoted(word: &str) -> String {
    let here =
        env::current_dir().map_or_else(|_| "/".to_owned(), |dir| format!("{}/", dir.display()));
    let word = &word.replace(&here, "");
    if word.contains(' ') {
        format!("'{word}'")
    } else {
        word.clone()
    }
}
