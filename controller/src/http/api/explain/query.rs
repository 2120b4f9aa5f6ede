//! Whose boot is to be explained, and what is supposed of it.

use std::collections::BTreeMap;

use ipxe::{Arch, Firmware, MacAddr};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        Api,
        api::{machines, words::Standing},
        error::{Code, Problem},
        extract::parse,
    },
    ordered::Gather as _,
    state::{
        Timestamp, View,
        boot::{BootRequest, Suppose, SupposeError},
        label::LabelText,
    },
};

/// Processors that a machine can say it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Processor {
    /// 32-bit x86.
    X86,
    /// x86-64.
    X64,
    /// 32-bit Arm.
    Arm32,
    /// 64-bit Arm.
    Arm64,
}

impl From<Processor> for Arch {
    fn from(processor: Processor) -> Self {
        match processor {
            Processor::X86 => Self::X86,
            Processor::X64 => Self::X64,
            Processor::Arm32 => Self::Arm32,
            Processor::Arm64 => Self::Arm64,
        }
    }
}

/// What a machine can boot with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareWord {
    /// Legacy PXE.
    Bios,
    /// UEFI's PXE client.
    Uefi,
    /// UEFI's HTTP boot client.
    UefiHttp,
    /// The Raspberry Pi's.
    RaspberryPi,
}

impl FirmwareWord {
    /// The firmware on this processor; `None`: there is none.
    fn on(self, arch: Option<Arch>) -> Option<Firmware> {
        match (self, arch) {
            (Self::Bios, None | Some(Arch::X64 | Arch::X86)) => Some(Firmware::Bios),
            (Self::RaspberryPi, None | Some(Arch::Arm64)) => Some(Firmware::RaspberryPi),
            (Self::Bios | Self::RaspberryPi, Some(_)) => None,
            (Self::Uefi, arch) => Some(Firmware::UefiPxe(arch.unwrap_or(Arch::X64))),
            (Self::UefiHttp, arch) => Some(Firmware::UefiHttp(arch.unwrap_or(Arch::X64))),
        }
    }
}

/// Whose boot to explain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// A MAC in any spelling, also an unknown one; or a machine's name or id.
    mac: String,
    /// Its processor; without it, what its firmware told last.
    #[serde(default)]
    arch: Option<Processor>,
    /// As if the management OS could not be loaded.
    #[serde(default)]
    after_management: bool,
    /// As if it booted with this.
    #[serde(default)]
    firmware: Option<FirmwareWord>,
    /// As if it were so far trusted to be ours.
    #[serde(default)]
    state: Option<Standing>,
    /// As if it had the label `pool=web`, or with `spare-` as if it had none of this name; repeat it for more.
    #[serde(default)]
    #[param(value_type = Option<Vec<String>>, style = Form, explode)]
    label: Option<String>,
    /// As if it asked then; everything else as it is now.
    #[serde(default)]
    at: Option<Timestamp>,
    /// As if nothing were activated for it.
    #[serde(default)]
    without_activation: bool,
    /// As if no deployment were there for it.
    #[serde(default)]
    without_deployment: bool,
    /// As if nobody had read its hardware.
    #[serde(default)]
    without_facts: bool,
    /// As if this boot config were activated for it, once.
    #[serde(default)]
    activated: Option<String>,
}

/// A question that can be decided.
pub(super) struct Asked {
    pub(super) request: BootRequest,
    /// What is known, with what is supposed.
    pub(super) view: View,
    /// When it asks.
    pub(super) at: Timestamp,
    /// What is supposed, in words.
    pub(super) supposed: Vec<String>,
}

impl ExplainQuery {
    /// The question on what is known now.
    pub(super) fn read(&self, view: &View, api: &Api, now: Timestamp) -> Result<Asked, Problem> {
        let mac = match self.mac.parse() {
            Ok(mac) => mac,
            Err(_) => machine_mac(view, &self.mac)?,
        };
        let suppose = self.suppose()?;
        let mut supposed = suppose.words();
        supposed.extend(self.at.map(|at| format!("it asked at {at}")));
        let view = suppose.of(view, mac, now).map_err(cannot)?;
        let told = view.machine_by_mac(mac).and_then(|m| m.firmware);
        let request = BootRequest {
            mac,
            arch: self.arch.map(Into::into).or(told.and_then(processor)),
            session: None,
            after_management: self.after_management,
            base: api.boot_base.to_string(),
            known_address: None,
            controller: None,
            peers: Default::default(),
        };
        let at = self.at.unwrap_or(now);
        Ok(Asked {
            request,
            view,
            at,
            supposed,
        })
    }

    fn suppose(&self) -> Result<Suppose, Problem> {
        let arch = self.arch.map(Arch::from);
        let firmware = self.firmware.map(|word| {
            let none = "firmware: there is none of this kind on this processor; bios is of x64 and x86, raspberry-pi of arm64";
            word.on(arch).ok_or_else(|| Problem::new(Code::BadValue, none))
        });
        let activated = self.activated.as_ref().map(|name| parse(name, "activated"));
        Ok(Suppose {
            standing: self.state.map(Into::into),
            firmware: firmware.transpose()?,
            labels: labels(self.label.as_deref())?,
            without_activation: self.without_activation,
            without_deployment: self.without_deployment,
            without_facts: self.without_facts,
            activated: activated.transpose()?,
        })
    }
}

/// `pool=web,spare-`.
fn labels(text: Option<&str>) -> Result<BTreeMap<LabelText, Option<LabelText>>, Problem> {
    let each = |text: &str| {
        if let Some((name, value)) = text.split_once('=') {
            return Ok((parse(name, "label")?, Some(parse(value, "label")?)));
        }
        let wrong = "label: write pool=web, or spare- for no label of this name";
        let name = text
            .strip_suffix('-')
            .ok_or_else(|| Problem::new(Code::BadValue, wrong))?;
        Ok((parse(name, "label")?, None))
    };
    text.into_iter()
        .flat_map(|text| text.split(','))
        .map(|text| each(text.trim()))
        .try_gather()
}

fn cannot(error: SupposeError) -> Problem {
    match error {
        SupposeError::Activate(error) => error.into(),
        SupposeError::TooManyLabels => Problem::new(Code::BadValue, format!("label: {error}")),
    }
}

fn machine_mac(view: &View, text: &str) -> Result<MacAddr, Problem> {
    let machine = machines::find(view, text)?;
    machine.main_mac().ok_or_else(|| {
        Problem::new(
            Code::BadValue,
            format!("{} has no MAC; nothing can ask for it", machine.name),
        )
    })
}

fn processor(firmware: Firmware) -> Option<Arch> {
    match firmware {
        Firmware::UefiPxe(arch) | Firmware::UefiHttp(arch) => Some(arch),
        Firmware::RaspberryPi => Some(Arch::Arm64),
        // A 64-bit processor, or one from before 2004; the decision's own default is right.
        Firmware::Bios => None,
    }
}
