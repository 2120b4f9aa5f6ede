//! A bare-metal computer: QEMU with real firmware, powered on and off like one. Software emulation only; no hardware virtualisation.

mod arguments;
mod hardware;
mod plan;

pub use hardware::{BootFrom, Bus, Disk, Firmware, FirstStage, Nic, Smbios, same_bytes};
pub use plan::MachinePlan;

use super::process::{self, tail};
use super::qmp::{Event, Qmp, Recorder};
use super::serial::{Hit, Pattern, Serial};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// How long QEMU's last events may take to arrive after it has ended.
const END_OF_EVENTS: Duration = Duration::from_secs(2);

/// A machine and, while it is on, its QEMU. Dropping it cuts the power; its disks live as long as the lab.
#[derive(Debug)]
pub struct Machine {
    plan: MachinePlan,
    stage: FirstStage,
    disks: Vec<PathBuf>,
    power_ons: u32,
    running: Option<Running>,
    /// What had happened when it went off.
    past: Vec<Event>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    qmp: Qmp,
    recorder: Recorder,
    serial: Serial,
    power_on: Instant,
    power_on_clock: SystemTime,
}

impl Machine {
    fn new(plan: MachinePlan, stage: FirstStage, disks: Vec<PathBuf>) -> Self {
        Self {
            plan,
            stage,
            disks,
            power_ons: 0,
            running: None,
            past: Vec::new(),
        }
    }

    /// The number that its MAC, uuid and serial follow from.
    pub fn id(&self) -> u8 {
        self.plan.id
    }

    /// `52:54:00:77:00:id`, unless planned otherwise.
    pub fn mac(&self) -> String {
        self.plan.mac.clone()
    }

    /// What was planned.
    pub fn plan(&self) -> &MachinePlan {
        &self.plan
    }

    /// The file behind disk `index`, in the order of the plan.
    pub fn disk(&self, index: usize) -> &Path {
        &self.disks[index]
    }

    /// The firmware's own log (SeaBIOS; debug builds of OVMF) of the current boot.
    pub fn firmware_log(&self) -> PathBuf {
        self.file("debug")
    }

    /// Switches it on. The serial line and the events start anew; disks and UEFI variables are as they were.
    pub fn power_on(&mut self) -> Result<()> {
        ensure!(
            self.running.is_none(),
            "machine {} is already on: cut() first",
            self.plan.id
        );
        self.power_ons += 1;
        self.prepare_firmware()?;
        let tap = self.plan.segment.tap(self.plan.id)?;
        let mut command = self.plan.segment.namespace().command("qemu-system-x86_64");
        command.args(self.arguments(&tap));
        let errors = self.file("qemu.log");
        fs::write(self.file("cmd"), process::command_line(&command))?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?);
        let (power_on, power_on_clock) = (Instant::now(), SystemTime::now());
        let mut child = process::spawn(command).context("cannot start qemu-system-x86_64")?;
        match self.attach(&mut child, power_on) {
            Ok((serial, qmp, recorder)) => {
                self.running = Some(Running {
                    child,
                    qmp,
                    recorder,
                    serial,
                    power_on,
                    power_on_clock,
                });
                Ok(())
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read_to_string(&errors).unwrap_or_default();
                Err(error.context(format!("QEMU did not start: {}", tail(&said))))
            }
        }
    }

    fn attach(&self, child: &mut Child, power_on: Instant) -> Result<(Serial, Qmp, Recorder)> {
        let console = child.stdout.take().context("piped above")?;
        let log = self.file(&format!("{}.serial", self.power_ons));
        let mut serial =
            Serial::follow(console, log, self.plan.segment.folder().clone(), power_on)?;
        for pattern in &self.plan.forbidden {
            serial.forbid(pattern.clone());
        }
        let mut alive = || match child.try_wait()? {
            Some(status) => bail!("QEMU ended with {status}"),
            None => Ok(()),
        };
        let events = Qmp::connect(&self.file("evt"), &mut alive)?;
        let qmp = Qmp::connect(&self.file("qmp"), &mut alive)?;
        Ok((serial, qmp, Recorder::start(events, power_on)?))
    }

    /// Pulls the plug: nothing is flushed, nobody is told. What the guest had written is on the disk.
    pub fn cut(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
            self.past = running.recorder.all();
            self.past.push(Event {
                name: Event::POWER_CUT.to_owned(),
                data: Value::Null,
                at: running.power_on.elapsed(),
            });
        }
    }

    /// [`Self::cut`], then [`Self::power_on`].
    pub fn power_cycle(&mut self) -> Result<()> {
        self.cut();
        self.power_on()
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<()> {
        self.qmp("system_reset", &Value::Null).map(drop)
    }

    /// Any QMP command; `Value::Null` for no arguments.
    pub fn qmp(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.on_mut()?.qmp.execute(command, arguments)
    }

    /// The serial line since the last power-on.
    pub fn serial(&mut self) -> Result<&mut Serial> {
        Ok(&mut self.on_mut()?.serial)
    }

    /// Waits for `pattern` on the serial line as long as its firmware may need; see [`Serial::expect`].
    pub fn expect(&mut self, pattern: impl Into<Pattern>) -> Result<Hit> {
        let (id, firmware) = (self.plan.id, self.plan.firmware);
        let found = self.serial()?.expect(pattern, firmware.patience());
        found.with_context(|| format!("machine {id} ({firmware:?}, {:?})", self.stage))
    }

    /// Pulls the network cable, or plugs it in again.
    pub fn cable(&mut self, plugged: bool) -> Result<()> {
        let link = json!({ "name": "n0", "up": plugged });
        self.qmp("set_link", &link).map(drop)
    }

    /// Types on the serial line.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        let stdin = self
            .on_mut()?
            .child
            .stdin
            .as_mut()
            .context("piped at power-on")?;
        stdin.write_all(text.as_bytes())?;
        Ok(stdin.flush()?)
    }

    /// What happened since the last power-on, also when it is off again.
    pub fn events(&self) -> Vec<Event> {
        match &self.running {
            Some(running) => running.recorder.all(),
            None => self.past.clone(),
        }
    }

    /// Waits for an event by name, e.g. `RESET`, ignoring the first `skip` events (use `events().len()` for "from now on").
    pub fn wait_event(&self, name: &str, skip: usize, limit: Duration) -> Result<Event> {
        let found = self
            .on()?
            .recorder
            .wait(skip, limit, |event| event.name == name);
        found.with_context(|| format!("machine {}: waiting for {name}", self.plan.id))
    }

    /// Waits until the guest itself reboots (RESET with reason `guest-reset`).
    pub fn wait_guest_reset(&self, skip: usize, limit: Duration) -> Result<Event> {
        let wanted = |event: &Event| event.name == "RESET" && event.reason() == "guest-reset";
        let found = self.on()?.recorder.wait(skip, limit, wanted);
        found.with_context(|| {
            format!(
                "machine {}: waiting for the guest's own reboot",
                self.plan.id
            )
        })
    }

    /// Waits until the guest has switched itself off and QEMU is gone.
    pub fn wait_off(&mut self, limit: Duration) -> Result<()> {
        let id = self.plan.id;
        let running = self.on_mut()?;
        process::wait_until(&format!("machine {id} to switch itself off"), limit, || {
            Ok(running.child.try_wait()?)
        })?;
        self.past = running.recorder.wait_end(END_OF_EVENTS);
        self.running = None;
        Ok(())
    }

    /// Whether its QEMU runs.
    pub fn is_on(&mut self) -> bool {
        self.running
            .as_mut()
            .is_some_and(|running| matches!(running.child.try_wait(), Ok(None)))
    }

    /// Time since the button was pressed.
    pub fn since_power_on(&self) -> Result<Duration> {
        Ok(self.on()?.power_on.elapsed())
    }

    /// The wall clock at power-on, to compare with captures and other logs.
    pub fn power_on_clock(&self) -> Result<SystemTime> {
        Ok(self.on()?.power_on_clock)
    }

    fn on(&self) -> Result<&Running> {
        self.running
            .as_ref()
            .with_context(|| format!("machine {} is off", self.plan.id))
    }

    fn on_mut(&mut self) -> Result<&mut Running> {
        self.running
            .as_mut()
            .with_context(|| format!("machine {} is off", self.plan.id))
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.plan
            .segment
            .folder()
            .file(format!("m{}.{suffix}", self.plan.id))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.cut();
    }
}
