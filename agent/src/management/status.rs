//! The sentences a person reads on the console. Pure: facts in, lines out.

use std::time::Duration;

use mesh_proto::facts::{HardwareFacts, Nic};

use super::lease::Lease;
use crate::cmdline::{BootWords, Idle};

/// First complaint about a missing lease after this, then as often again: switches with spanning tree block a port for
/// about 30 s, so the second complaint is the first that means something.
const COMPLAIN_EVERY: Duration = Duration::from_secs(20);

/// What is known before the network is up.
pub(super) fn opening(words: &BootWords) -> Vec<String> {
    let controller = words
        .controller_url
        .as_deref()
        .unwrap_or("not named on the kernel command line (enforcer.url=)");
    let mut lines = vec![format!("management OS started; controller {controller}")];
    lines.extend(
        words
            .complaints
            .iter()
            .map(|complaint| format!("kernel command line: {complaint}")),
    );
    let card = words
        .boot_mac
        .as_deref()
        .map_or("every network card".to_owned(), |mac| {
            format!("boot card {mac}")
        });
    lines.push(format!("stage network: asking for an address on {card}"));
    lines
}

/// How many complaints about a missing lease are due by now.
pub(super) fn complaints_due(waited: Duration) -> u64 {
    waited.as_secs() / COMPLAIN_EVERY.as_secs()
}

/// Why there may be no lease, from what can be seen.
pub(super) fn no_lease(waited: Duration, nics: &[Nic], words: &BootWords) -> Vec<String> {
    let mut lines = vec![format!(
        "ERROR: no DHCP lease after {} s; still asking",
        waited.as_secs()
    )];
    if nics.is_empty() {
        lines.push(
            "no network card has a driver here: build the management OS with `--flavour generic`"
                .to_owned(),
        );
    }
    if let Some(mac) = words
        .boot_mac
        .as_ref()
        .filter(|mac| !nics.iter().any(|nic| nic.mac == **mac))
    {
        lines.push(format!(
            "the boot card {mac} is not among the cards with a driver"
        ));
    }
    lines.extend(nics.iter().map(|nic| {
        let link = if nic.link {
            "link is up: is a DHCP server on this segment?"
        } else {
            "no link: check cable and switch"
        };
        format!(
            "card {} {} ({}): {link}",
            nic.name,
            nic.mac,
            nic.driver.as_deref().unwrap_or("no driver")
        )
    }));
    lines
}

/// The screen above the READY line; `uptime` is in seconds.
pub(super) fn ready(
    facts: &HardwareFacts,
    lease: &Lease,
    words: &BootWords,
    uptime: &str,
) -> Vec<String> {
    let nic = facts.nics.iter().find(|nic| nic.name == lease.nic);
    let server = lease
        .server
        .map_or("an unnamed server".to_owned(), |server| server.to_string());
    vec![
        format!(
            "machine {}",
            lease
                .hostname
                .clone()
                .unwrap_or_else(|| or_unknown(facts.smbios.serial.as_deref()).to_owned())
        ),
        format!(
            "hardware {}, {} threads, {} MiB, {} disks, firmware {:?}",
            hardware(facts),
            facts.cpu.threads,
            facts.memory.bytes >> 20,
            facts.disks.len(),
            facts.firmware,
        ),
        format!(
            "boot card {} {}",
            lease.nic,
            nic.map_or("unknown", |nic| nic.mac.as_str())
        ),
        format!("address {}/{} from {server}", lease.address, lease.prefix),
        format!(
            "stage ready {uptime} s after the kernel's start: waiting for work, {}",
            match words.idle {
                Idle::After(limit) => format!("back to the disk after {} s", limit.as_secs()),
                Idle::Forever => "for as long as it takes".to_owned(),
            }
        ),
    ]
}

/// Vendor, product and serial number.
pub(super) fn hardware(facts: &HardwareFacts) -> String {
    let smbios = &facts.smbios;
    format!(
        "{} {}, serial {}",
        or_unknown(smbios.vendor.as_deref()),
        or_unknown(smbios.product.as_deref()),
        or_unknown(smbios.serial.as_deref()),
    )
}

fn or_unknown(text: Option<&str>) -> &str {
    text.unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmdline;

    fn nic(mac: &str, link: bool) -> Nic {
        Nic {
            name: "eth0".into(),
            mac: mac.into(),
            permanent_mac: None,
            driver: Some("e1000".into()),
            speed_mbps: None,
            link,
        }
    }

    #[test]
    fn a_missing_lease_names_what_can_be_seen() {
        let words = cmdline::parse("BOOTIF=01-52-54-00-77-00-01");
        let check = |nics: &[Nic], want: &str| {
            let text = no_lease(Duration::from_secs(20), nics, &words).join("\n");
            assert!(text.contains(want), "{text}");
        };
        check(&[], "--flavour generic");
        check(&[], "after 20 s");
        check(
            &[nic("52:54:00:77:00:02", true)],
            "the boot card 52:54:00:77:00:01 is not among",
        );
        check(&[nic("52:54:00:77:00:01", false)], "check cable");
        check(
            &[nic("52:54:00:77:00:01", true)],
            "is a DHCP server on this segment?",
        );
    }

    #[test]
    fn complaints_come_every_twenty_seconds() {
        assert_eq!(
            [0, 19, 20, 59, 60].map(|s| complaints_due(Duration::from_secs(s))),
            [0, 0, 1, 2, 3]
        );
    }
}
