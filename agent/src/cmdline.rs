//! What the boot script said on the kernel command line: `enforcer.…=` and `BOOTIF=`.
//! A value that cannot be read is reported and replaced by its default: a typing error must not stop a boot. The one
//! secret among the words is never repeated, not even when it cannot be read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_proto::message::Secret;

/// An idle management OS gives the machine back to its disk after this time (DESIGN §4: `idle_wait`).
pub const DEFAULT_IDLE: Duration = Duration::from_secs(600);

/// Where controllers listen for links when only the boot url is known (DESIGN §2).
pub const LINK_PORT: u16 = 4848;

/// The word that carries the boot's secret; logs are cleaned of it ([`crate::journal`]).
pub const SECRET_WORD: &str = "enforcer.secret";

/// The words meant for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootWords {
    /// Base url of the controller, as it was written.
    pub controller_url: Option<String>,
    /// Path of the archive of tools that only jobs need, below the url.
    pub tools: Option<String>,
    /// Where controllers listen for links: `enforcer.controller=`, else the host of the url.
    pub controllers: Vec<SocketAddr>,
    /// The site's name.
    pub site: Option<String>,
    /// SHA-256 of the site's CA certificate.
    pub ca: Option<[u8; 32]>,
    /// What this boot may enrol with, once.
    pub secret: Option<Secret>,
    /// The boot session, as the controller's audit names it.
    pub session: Option<String>,
    /// The boot config's boot that this is: reported once the agent has a link.
    pub nonce: Option<String>,
    /// What the controller calls the machine it thinks this is.
    pub machine: Option<String>,
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
        tools: None,
        controllers: Vec::new(),
        site: None,
        ca: None,
        secret: None,
        session: None,
        nonce: None,
        machine: None,
        boot_mac: None,
        idle: Idle::After(DEFAULT_IDLE),
        complaints: Vec::new(),
    };
    for (key, value) in cmdline
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        words.take(key, value);
    }
    if words.controllers.is_empty() {
        words
            .controllers
            .extend(words.controller_url.as_deref().and_then(link_address));
    }
    words
}

impl BootWords {
    /// Where the archive of tools is.
    #[must_use]
    pub fn tools_url(&self) -> Option<String> {
        let base = self.controller_url.as_ref()?.trim_end_matches('/');
        Some(format!("{base}{}", self.tools.as_ref()?))
    }

    fn take(&mut self, key: &str, value: &str) {
        let complaint = match key {
            "enforcer.url" => {
                self.controller_url = (!value.is_empty()).then(|| value.to_owned());
                None
            }
            "enforcer.tools" => set(&mut self.tools, path(value), "a path"),
            "enforcer.site" => set(
                &mut self.site,
                name(value),
                "a name of letters, digits and hyphens",
            ),
            "enforcer.session" => set(&mut self.session, name(value), "a session's id"),
            "enforcer.controller" => {
                let read: Option<Vec<_>> = value
                    .split(',')
                    .map(|address| address.parse().ok())
                    .collect();
                read.map(|read| self.controllers = read)
                    .is_none()
                    .then_some("a list of ADDRESS:PORT")
            }
            "enforcer.ca" => set(&mut self.ca, digits(value), "64 hex digits"),
            "enforcer.nonce" => set(
                &mut self.nonce,
                digits::<16>(value).map(|_| value.to_owned()),
                "32 hex digits",
            ),
            SECRET_WORD => set(&mut self.secret, secret(value), "32 hex digits"),
            "enforcer.machine" => set(&mut self.machine, name(value), "a machine's name"),
            "enforcer.idle" => match idle(value) {
                Some(idle) => {
                    self.idle = idle;
                    None
                }
                None => Some("a number of seconds or `forever`"),
            },
            "BOOTIF" => set(&mut self.boot_mac, boot_mac(value), "a hardware address"),
            _ => None,
        };
        if let Some(wanted) = complaint {
            let shown = if key == SECRET_WORD { "…" } else { value };
            self.complaints
                .push(format!("{key}={shown} is not {wanted}"));
        }
    }
}

/// Takes what could be read; else says what was wanted, and leaves an earlier word as it is.
fn set<T>(place: &mut Option<T>, read: Option<T>, wanted: &'static str) -> Option<&'static str> {
    if read.is_none() {
        return Some(wanted);
    }
    *place = read;
    None
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

fn name(value: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    ((1..=64).contains(&value.len()) && value.chars().all(good)).then(|| value.to_owned())
}

fn digits<const N: usize>(value: &str) -> Option<[u8; N]> {
    crate::hex::decode(value)
}

fn secret(value: &str) -> Option<Secret> {
    digits::<16>(value).map(|_| Secret::new(value))
}

/// `http://10.77.0.1:4880/…` → `10.77.0.1:4848`. Names are not looked up: the management OS has no resolver.
fn path(value: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    (value.starts_with('/') && value.chars().all(plain)).then(|| value.to_owned())
}

fn link_address(url: &str) -> Option<SocketAddr> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let ip: IpAddr = match authority.parse::<SocketAddr>() {
        Ok(address) => address.ip(),
        Err(_) => authority.trim_matches(['[', ']']).parse().ok()?,
    };
    Some(SocketAddr::new(ip, LINK_PORT))
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
    fn the_url_is_taken_whole_and_leads_to_the_link_when_nothing_else_does() {
        let words = parse("enforcer.url=http://10.77.0.1:4880/?a=b console=ttyS0");
        assert_eq!(
            words.controller_url.as_deref(),
            Some("http://10.77.0.1:4880/?a=b")
        );
        assert_eq!(words.controllers, ["10.77.0.1:4848".parse().unwrap()]);
        let told =
            parse("enforcer.url=http://10.77.0.1:4880 enforcer.controller=10.77.0.2:9,[fe80::1]:9");
        assert_eq!(
            told.controllers,
            [
                "10.77.0.2:9".parse().unwrap(),
                "[fe80::1]:9".parse().unwrap()
            ]
        );
        assert_eq!(parse("enforcer.url=http://boot.example/").controllers, []);
    }

    #[test]
    fn what_an_enrolment_needs_is_read() {
        let ca = "ab".repeat(32);
        let words = parse(&format!(
            "enforcer.site=home enforcer.ca={ca} enforcer.secret=00112233445566778899aabbccddeeff \
             enforcer.session=7f enforcer.machine=web1"
        ));
        assert_eq!(
            (words.site.as_deref(), words.ca),
            (Some("home"), Some([0xab; 32]))
        );
        assert_eq!(
            words.secret.unwrap().expose(),
            "00112233445566778899aabbccddeeff"
        );
        assert_eq!(words.machine.as_deref(), Some("web1"));
        assert_eq!(
            (words.session.as_deref(), words.complaints.len()),
            (Some("7f"), 0)
        );
    }

    #[test]
    fn the_boot_to_report_is_read_and_a_wrong_one_is_not() {
        let nonce = "00112233445566778899aabbccddeeff";
        let words = parse(&format!("root=/dev/ram enforcer.nonce={nonce}"));
        assert_eq!(words.nonce.as_deref(), Some(nonce));
        for bad in [
            "",
            "0011",
            "../../etc/passwd",
            "00112233445566778899aabbccddeefg",
        ] {
            let words = parse(&format!("enforcer.nonce={bad}"));
            assert_eq!((words.nonce, words.complaints.len()), (None, 1), "{bad}");
        }
    }

    #[test]
    fn the_secret_is_not_repeated_whatever_is_wrong_with_it() {
        for secret in [
            "00112233445566778899aabbccddeeff",
            "00112233445566778899aabbccddeexx",
        ] {
            let shown = format!("{:?}", parse(&format!("enforcer.secret={secret}")));
            assert!(!shown.contains("00112233"), "{shown}");
        }
        assert_eq!(parse("enforcer.secret=short").complaints.len(), 1);
    }
}
