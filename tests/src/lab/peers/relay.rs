//! A real DHCP relay: ISC's dhcrelay on the router between the segments, adding option 82 (RFC 3046).

use crate::lab::{Segment, Service, Space, need};
use anyhow::Result;
use std::time::Duration;

/// dhcrelay on the far segment's router.
#[derive(Debug)]
pub struct Relay {
    service: Service,
}

impl Relay {
    /// Relays what is asked on `far` (from [`Space::far_segment`]) to the controller at home.
    pub fn start(far: &Segment) -> Result<Self> {
        need::programs(&["dhcrelay"])?;
        let mut command = far.namespace().command("dhcrelay");
        let server = Space::CONTROLLER.to_string();
        command.args([
            "-4", "-d", "-a", "--no-pid", "-iu", "uplink", "-id", "br0", &server,
        ]);
        let mut service = Service::start("relay", command, &far.folder().file("relay.log"))?;
        service.wait_log("Sending on   Socket/fallback", Duration::from_secs(10))?;
        Ok(Self { service })
    }

    /// What it logged: each packet it forwarded.
    pub fn log(&self) -> String {
        self.service.log()
    }
}
