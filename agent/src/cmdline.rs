//! What the boot script said on the kernel command line: `enforcer.url=`, `enforcer.idle=`, `BOOTIF=`.
//! A value that cannot be read is reported and replaced by its default: a typing error must not stop a boot.

use std::time::Duration;

/// An idle management OS gives the machine back to its disk after this time (DESIGN §4: `idle_wait`).
pub const DEFAULT_IDLE: Duration = Duration::from_secs(600);

/// The words meant for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootWords {
    /// Base url of the controller, as it was written.
    pub controller_url: Option<String>,
    /// The boot card's hardware address, lower-case with colons.
    pub boot_mac: Option<String>,
    /// When to give the machine back.
    pub idle: Idle,
    /// Plain sentences about words we could not read.
    pub complaints: Vec<String>,
}

/// How long to wait for something to do before the reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Reboot after this time.
    After(Duration),
    /// Stay until somebody acts.
    Forever,
}

/// Reads the words; the last of several equal ones counts, as the kernel does it.
#[must_use]
pub fn parse(cmdline: &str) -> BootWords {
    let mut words = BootWords {
        controller_url: None,
        boot_mac: None,
        idle: Idle::After(DEFAULT_IDLE),
        complaints: Vec::new(),
    };
    for (key, value) in cmdline
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        match key {
            "enforcer.url" => words.controller_url = (!value.is_empty()).then(|| value.to_owned()),
            "enforcer.idle" => match idle(value) {
                Some(idle) => words.idle = idle,
                None => words.complaints.push(format!(
                    "enforcer.idle={value} is neither a number of seconds nor `forever`"
                )),
            },
            "BOOTIF" => match boot_mac(value) {
                Some(mac) => words.boot_mac = Some(mac),
                None => words
                    .complaints
                    .push(format!("BOOTIF={value} is not a hardware address")),
            },
            _ => {}
        }
    }
    words
}

fn idle(value: &str) -> Option<Idle> {
    match value {
        "forever" => Some(Idle::Forever),
        seconds => seconds
            .parse()
            .ok()
            .map(|seconds| Idle::After(Duration::from_secs(seconds))),
    }
}

/// PXELINUX writes `01-52-54-…` (01 is Ethernet's ARP type); iPXE users also write it without the type or with colons.
fn boot_mac(value: &str) -> Option<String> {
    let parts: Vec<&str> = value.split(['-', ':']).collect();
    let octets = match parts.len() {
        7 => &parts[1..],
        6 => &parts[..],
        _ => return None,
    };
    let bytes: Vec<u8> = octets
        .iter()
        .filter(|part| part.len() == 2)
        .filter_map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    // A card's own address is never a group address (bit 0); this also tells `01-…` with an octet missing.
    let is_station = bytes.len() == 6 && bytes[0] & 1 == 0;
    is_station.then(|| octets.join(":").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootif_is_read_in_every_form_that_boot_loaders_write() {
        let want = Some("52:54:00:77:00:0a".to_owned());
        for value in [
            "01-52-54-00-77-00-0A",
            "52-54-00-77-00-0a",
            "52:54:00:77:00:0a",
            "01:52:54:00:77:00:0A",
        ] {
            assert_eq!(
                parse(&format!("quiet BOOTIF={value}")).boot_mac,
                want,
                "{value}"
            );
        }
        for value in ["", "eth0", "01-52-54-00-77-00", "zz-54-00-77-00-0a"] {
            let words = parse(&format!("BOOTIF={value}"));
            assert_eq!(
                (words.boot_mac, words.complaints.len()),
                (None, 1),
                "{value}"
            );
        }
    }

    #[test]
    fn idle_is_ten_minutes_unless_said_otherwise() {
        for (cmdline, want) in [
            ("", Idle::After(DEFAULT_IDLE)),
            ("enforcer.idle=5", Idle::After(Duration::from_secs(5))),
            ("enforcer.idle=forever", Idle::Forever),
            ("enforcer.idle=5 enforcer.idle=forever", Idle::Forever),
            ("enforcer.idle=soon", Idle::After(DEFAULT_IDLE)),
        ] {
            assert_eq!(parse(cmdline).idle, want, "{cmdline}");
        }
        assert_eq!(parse("enforcer.idle=soon").complaints.len(), 1);
    }

    #[test]
    fn the_url_is_taken_whole() {
        let words = parse("enforcer.url=http://10.77.0.1:4880/?a=b console=ttyS0");
        assert_eq!(
            words.controller_url.as_deref(),
            Some("http://10.77.0.1:4880/?a=b")
        );
    }
}
