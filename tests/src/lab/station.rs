//! A computer on a wire that asks as firmware does, but is none: `lab-station` asks by DHCP, curl fetches. It costs milliseconds where
//! an emulated machine costs half a minute, and can be many machines in turn.

use super::folder::RunFolder;
use super::process::{self, output};
use super::{Namespace, need};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a file.
const FETCH_LIMIT_S: &str = "20";

/// What firmware says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A PXE ROM of a PC with a BIOS.
    Bios,
    /// PXE of a UEFI on x86-64.
    Uefi,
    /// iPXE on a BIOS.
    Ipxe,
}

impl Asks {
    const ALL: [Self; 3] = [Self::Bios, Self::Uefi, Self::Ipxe];

    /// The word on `lab-station`'s command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
            Self::Ipxe => "ipxe",
        }
    }

    /// By that word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|asks| asks.name() == name)
    }

    /// Its DHCP options: architecture (93), interface (94), vendor class (60), wishes (55), and iPXE's user class (77).
    pub fn options(self) -> &'static [u8] {
        match self {
            Self::Bios => b"\x5d\x02\x00\x00\x5e\x03\x01\x02\x01\x3c\x20PXEClient:Arch:00000:UNDI:002001\x37\x06\x01\x03\x2b\x3c\x42\x43",
            Self::Uefi => b"\x5d\x02\x00\x07\x5e\x03\x01\x03\x10\x3c\x20PXEClient:Arch:00007:UNDI:003016\x37\x06\x01\x03\x2b\x3c\x42\x43",
            Self::Ipxe => b"\x5d\x02\x00\x00\x5e\x03\x01\x02\x01\x3c\x20PXEClient:Arch:00000:UNDI:002001\x37\x06\x01\x03\x2b\x3c\x42\x43\x4d\x04iPXE",
        }
    }
}

/// An OFFER as the station got it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Who made it (option 54).
    pub server: Ipv4Addr,
    /// Where files are (siaddr).
    pub next: Ipv4Addr,
    /// Whether it is an answer to a boot client, not only an address.
    pub boots: bool,
    /// The boot file.
    pub file: String,
    /// Since the DISCOVER, milliseconds.
    pub after_ms: f64,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Station {
    host: Arc<Namespace>,
    folder: Arc<RunFolder>,
}

impl Station {
    /// On this host of a wire, by its `eth0`.
    pub fn new(host: Arc<Namespace>, folder: Arc<RunFolder>) -> Self {
        Self { host, folder }
    }

    /// As the machine with this card: one DISCOVER, and every OFFER that comes within `window`.
    ///
    /// # Errors
    /// When the program cannot run.
    pub fn offers(&self, mac: &str, asks: Asks, window: Duration) -> Result<Vec<Offer>> {
        self.ask(mac, asks, window, &[])
    }

    /// The first offer of something to boot, if one comes within `window`.
    ///
    /// # Errors
    /// When the program cannot run.
    pub fn boot_offer(&self, mac: &str, asks: Asks, window: Duration) -> Result<Option<Offer>> {
        let offers = self.ask(mac, asks, window, &["first"])?;
        Ok(offers.into_iter().find(|offer| offer.boots))
    }

    fn ask(&self, mac: &str, asks: Asks, window: Duration, more: &[&str]) -> Result<Vec<Offer>> {
        let program = process::built("lab-station")
            .context("lab-station is not built: `cargo build -p enforcer-tests`")?;
        let mut command = self.host.command(program);
        let ms = window.as_millis().to_string();
        command.args([mac, asks.name(), &ms]).args(more);
        let said = output(command)?;
        serde_json::from_str(&said).with_context(|| format!("lab-station said {said:?}"))
    }

    /// Fetches an URL, `http` or `tftp`: the status (0 by TFTP), and the bytes.
    ///
    /// # Errors
    /// When there is no answer, or no such file by TFTP.
    pub fn fetch(&self, url: &str) -> Result<(u16, Vec<u8>)> {
        need::programs(&["curl"])?;
        let file = self.folder.file("station.fetched");
        // An empty body makes no file.
        let _none = fs::remove_file(&file);
        let mut command = self.host.command("curl");
        command.args(["-sS", "--max-time", FETCH_LIMIT_S, "-w", "%{http_code}"]);
        command.arg("-o").arg(&file).arg(url);
        let status = output(command)?.trim().parse()?;
        let bytes = fs::read(&file).unwrap_or_default();
        Ok((status, bytes))
    }

    /// Fetches a text that must be there.
    ///
    /// # Errors
    /// When there is no answer, or another status than 200.
    pub fn text(&self, url: &str) -> Result<String> {
        let (status, bytes) = self.fetch(url)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        ensure!(status == 200, "{url}: {status}: {text}");
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp;

    #[test]
    fn what_a_station_says_is_read_as_it_is_meant() {
        for (asks, arch) in [(Asks::Bios, 0), (Asks::Uefi, 7), (Asks::Ipxe, 0)] {
            assert_eq!(Asks::named(asks.name()), Some(asks));
            let message = dhcp::request([2; 6], 1, dhcp::DISCOVER, asks.options());
            let class = dhcp::option(&message, 60).map(String::from_utf8_lossy);
            let begins = format!("PXEClient:Arch:{arch:05}:");
            assert!(class.is_some_and(|c| c.starts_with(&begins)), "{asks:?}");
            assert_eq!(dhcp::option(&message, 93), Some(&[0, arch][..]));
            let is_ipxe = dhcp::option(&message, 77) == Some(b"iPXE");
            assert_eq!(is_ipxe, asks == Asks::Ipxe);
        }
    }
}
