//! A packet capture on a segment's bridge, for a test's evidence and for time lines.

use super::START_LIMIT;
use crate::lab::{Segment, Service, need, process};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What every boot is made of: DHCP, PXE and TFTP's first packets.
pub const BOOT_FILTER: &str = "udp and (port 67 or port 68 or port 69 or port 4011)";

/// A running tcpdump.
#[derive(Debug)]
pub struct Capture {
    service: Service,
    file: PathBuf,
}

impl Capture {
    /// Captures DHCP, PXE and TFTP requests from now on; returns when it listens.
    pub fn boot(segment: &Segment) -> Result<Self> {
        Self::start(segment, "boot", BOOT_FILTER)
    }

    /// Captures what `filter` (tcpdump's language) names into `NAME.pcap` of the lab's folder.
    pub fn start(segment: &Segment, name: &str, filter: &str) -> Result<Self> {
        need::programs(&["tcpdump"])?;
        let file = segment.folder().file(format!("{name}.pcap"));
        let mut command = segment.namespace().command("tcpdump");
        // -Z root: it must not change its user, which would also end the parent-death signal; -U: each packet at once
        command
            .args([
                "-i",
                "br0",
                "-n",
                "-s",
                "2048",
                "-U",
                "--immediate-mode",
                "-Z",
                "root",
                "-w",
            ])
            .arg(&file)
            .arg(filter);
        let mut service = Service::start(
            "tcpdump",
            command,
            &segment.folder().file(format!("{name}.tcpdump.log")),
        )?;
        service.wait_log("listening on", START_LIMIT)?;
        Ok(Self { service, file })
    }

    /// The capture file so far.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The packets so far as tcpdump prints them, verbose and with epoch seconds, one block each.
    pub fn text(&self) -> Result<String> {
        let mut command = process::host("tcpdump");
        command.args(["-tt", "-v", "-n", "-r"]).arg(&self.file);
        process::output(command)
    }

    /// Ends the capture and returns its file.
    pub fn stop(mut self) -> PathBuf {
        self.service.stop();
        self.file.clone()
    }
}
