//! A packet capture on a segment, for a test's evidence and for time lines: written by the lab's own `lab-capture`, read by tcpdump.

use super::START_LIMIT;
use crate::lab::{Segment, Service, need, process};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What every boot is made of: DHCP, PXE, and TFTP's requests.
pub const BOOT_PORTS: [u16; 4] = [67, 68, 69, 4011];

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    service: Service,
    file: PathBuf,
}

impl Capture {
    /// Captures DHCP, PXE and TFTP requests from now on into `boot.pcap`.
    pub fn boot(segment: &Segment) -> Result<Self> {
        Self::start(segment, "boot", &BOOT_PORTS)
    }

    /// Captures IPv4 UDP from or to these ports (none: everything) into `NAME.pcap` of the lab's folder. Returns when it listens.
    pub fn start(segment: &Segment, name: &str, udp_ports: &[u16]) -> Result<Self> {
        need::programs(&["tcpdump"])?;
        let program = process::built("lab-capture")
            .context("the lab's capture program is not built: `cargo build -p enforcer-tests`")?;
        let file = segment.folder().file(format!("{name}.pcap"));
        let mut command = segment.namespace().command(program);
        command
            .arg(&file)
            .args(udp_ports.iter().map(u16::to_string));
        let log = segment.folder().file(format!("{name}.capture.log"));
        let mut service = Service::start("lab-capture", command, &log)?;
        service.wait_log("listening", START_LIMIT)?;
        Ok(Self { service, file })
    }

    /// The capture file so far.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The packets so far as tcpdump prints them, verbose and with epoch seconds, one block each.
    pub fn text(&self) -> Result<String> {
        self.matching("")
    }

    /// As [`Self::text`], only what tcpdump's filter language names, e.g. `udp port 4011`.
    pub fn matching(&self, filter: &str) -> Result<String> {
        let mut command = process::host("tcpdump");
        command
            .args(["-tt", "-v", "-n", "-r"])
            .arg(&self.file)
            .arg(filter);
        process::output(command)
    }

    /// Ends the capture and returns its file.
    pub fn stop(mut self) -> PathBuf {
        self.service.stop();
        self.file.clone()
    }
}
