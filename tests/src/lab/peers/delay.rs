//! A long cable: seconds pass until what is sent arrives (the kernel may lack netem; QEMU holds packets back on any).

use crate::lab::{Namespace, Segment, Service, need, wait_until};
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::time::Duration;

/// Only a failing story waits so long.
const START_LIMIT: Duration = Duration::from_secs(10);

/// While this value lives, nothing is lost on the way to and from one host, but everything is late.
#[derive(Debug)]
pub struct Delay {
    namespace: Arc<Namespace>,
    name: String,
    line: Service,
}

impl Delay {
    /// What goes to and comes from the host that [`Segment::host`] made under `name` (≤ 11 letters) is held, and handed on once in each
    /// `interval`: a question and its answer take between one and two of them. [`Segment::acquaint`] its host with the others first: ARP
    /// forgets what waits for it so long.
    pub fn host(segment: &Segment, name: &str, interval: Duration) -> Result<Self> {
        need::programs(&["qemu-system-x86_64"])?;
        ensure!(name.len() <= 11, "an interface's name has 15 letters");
        let namespace = segment.namespace().clone();
        namespace.sh(&format!(
            "ip link add s{name} type bridge stp_state 0 forward_delay 0
             ip tuntap add dev near{name} mode tap
             ip tuntap add dev far{name} mode tap
             ip link set near{name} up
             ip link set far{name} master s{name} up
             ip link set s{name} up"
        ))?;
        let mut qemu = namespace.command("qemu-system-x86_64");
        let us = interval.as_micros();
        // No machine: two taps on a hub, and a filter that QEMU's checkpointing (COLO) brought.
        let tap = |end: &str| format!("tap,id={end},ifname={end}{name},script=no,downscript=no");
        qemu.args(["-machine", "none", "-nodefaults", "-display", "none"]);
        for end in ["near", "far"] {
            let port = format!("hubport,id=port-{end},hubid=0,netdev={end}");
            qemu.args(["-netdev", &tap(end), "-netdev", &port]);
        }
        let hold = format!("filter-buffer,id=hold,netdev=far,queue=all,interval={us}");
        qemu.args(["-object", &hold]);
        let log = segment.folder().file(format!("slow-{name}.log"));
        let mut line = Service::start(&format!("the slow cable of {name}"), qemu, &log)?;
        wait_until("the slow cable's ends", START_LIMIT, || {
            line.ensure_running()?;
            let up = |end: &str| {
                let shown = namespace.run("ip", &["link", "show", &format!("{end}{name}")]);
                shown.is_ok_and(|s| s.contains("LOWER_UP"))
            };
            Ok((up("near") && up("far")).then_some(()))
        })?;
        namespace
            .sh(&format!(
                "ip link set v{name} master s{name}; ip link set near{name} master br0"
            ))
            .context("putting the slow cable between")?;
        Ok(Self {
            namespace,
            name: name.to_owned(),
            line,
        })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        let name = &self.name;
        let _ = self.namespace.sh(&format!(
            "ip link set v{name} master br0
             ip link del near{name}
             ip link del far{name}
             ip link del s{name}"
        ));
        self.line.stop();
    }
}
