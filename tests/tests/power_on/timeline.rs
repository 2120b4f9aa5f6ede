//! The boot timeline: what the controller says happened, in order.

use anyhow::{Context, Result};
use enforcer_tests::lab::{Controller, wait_until};
use serde_json::Value;
use std::time::Duration;

/// The record is written at most a second after the event.
const WRITTEN: Duration = Duration::from_secs(10);

/// How a machine boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    /// BIOS with a ROM that is iPXE, which is used as it is.
    RomIpxe,
    /// The same ROM, sent our own iPXE first.
    Rechained,
    /// UEFI by PXE.
    UefiPxe,
    /// UEFI by HTTP.
    UefiHttp,
}

impl Story {
    /// Kinds of events and a part of their texts, in order.
    fn expected(self) -> Vec<(&'static str, &'static str)> {
        let first: &[_] = match self {
            Self::RomIpxe => &[],
            Self::Rechained => &[
                ("boot.firmware-offered", "undionly.kpxe"),
                ("boot.firmware-loaded", "undionly.kpxe by TFTP"),
            ],
            Self::UefiPxe => &[
                ("boot.firmware-offered", ".efi"),
                ("boot.firmware-loaded", "by TFTP"),
            ],
            Self::UefiHttp => &[
                ("boot.firmware-offered", ".efi"),
                ("boot.firmware-loaded", "by HTTP"),
            ],
        };
        let then = [
            ("boot.script-offered", "iPXE"),
            ("boot.told", "the management OS"),
            ("boot.management-os", "fetches the management OS"),
        ];
        first.iter().copied().chain(then).collect()
    }
}

/// Waits until the events of this machine tell the story in its order; others may lie between.
pub(crate) fn check(controller: &Controller, mac: &str, story: Story) -> Result<()> {
    let mut told = String::new();
    let waited = wait_until("the boot timeline", WRITTEN, || {
        let events = events(controller, mac)?;
        told = events
            .iter()
            .map(|(kind, text)| format!("{kind}: {text}\n"))
            .collect();
        let mut rest = events.iter();
        let in_order = story
            .expected()
            .iter()
            .all(|(kind, text)| rest.any(|(k, t)| k == kind && t.contains(text)));
        Ok(in_order.then_some(()))
    });
    waited.with_context(|| {
        format!(
            "{story:?} expects {:?}, but the record says\n{told}",
            story.expected()
        )
    })
}

fn events(controller: &Controller, mac: &str) -> Result<Vec<(String, String)>> {
    let json = controller.cli(&["events", "-o", "json", "--machine", mac])?;
    let list: Vec<Value> = serde_json::from_str(&json)?;
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    Ok(list
        .iter()
        .map(|event| (text(event, "kind"), text(event, "text")))
        .collect())
}
