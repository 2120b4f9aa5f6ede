//! Who switches a machine, as people write it: `ipmi://USER@HOST`, `redfish://USER@HOST`, `wol`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest address, bytes.
const MAX_TEXT: usize = 500;

/// Who switches a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PowerAddress {
    /// Magic packets switch it on.
    WakeOnLan,
    /// A management controller.
    Board(Board),
}

/// A management controller (BMC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Who we are to it.
    pub user: String,
    /// Its name or address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How a management controller is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// IPMI 2.0 (RMCP+). `cipher`: the suite's number, when ipmitool's usual one is not spoken (`?cipher=3`).
    Ipmi {
        /// See above.
        cipher: Option<u8>,
    },
    /// Redfish.
    Redfish {
        /// Over TLS; `redfish+http://` is not, for a trusted wire.
        tls: bool,
        /// The one certificate that is believed (`?sha256=HEX`), since most boards sign their own.
        pin: Option<[u8; 32]>,
        /// The system's path, when the board has several.
        system: Option<String>,
    },
}

/// Why a text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' switches nothing; write ipmi://user@host, redfish://user@host (with ?sha256=... for its own certificate), or wol"
)]
pub struct BadPower(String);

impl FromStr for PowerAddress {
    type Err = BadPower;

    fn from_str(text: &str) -> Result<Self, BadPower> {
        let refused = || BadPower(text.chars().filter(|c| !c.is_control()).take(80).collect());
        if text == "wol" {
            return Ok(Self::WakeOnLan);
        }
        let fits = text.len() <= MAX_TEXT;
        let board = fits.then(|| board(text)).flatten();
        board.map(Self::Board).ok_or_else(refused)
    }
}

fn board(text: &str) -> Option<Board> {
    let (scheme, rest) = text.split_once("://")?;
    let (rest, option) = rest
        .split_once('?')
        .map_or((rest, None), |(r, o)| (r, Some(o)));
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, None), |(a, p)| (a, Some(p)));
    let (user, place) = authority.rsplit_once('@')?;
    let protocol = protocol(scheme, path.filter(|p| !p.is_empty()), option)?;
    let (host, port) = place_of(place, protocol.port())?;
    // An option of ipmitool starts with a hyphen; a password has no place in what is shown.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '\\' | '$');
    let good =
        !user.is_empty() && user.len() <= 63 && !user.starts_with('-') && user.chars().all(plain);
    good.then(|| Board {
        protocol,
        user: user.to_owned(),
        host,
        port,
    })
}

fn protocol(scheme: &str, path: Option<&str>, option: Option<&str>) -> Option<Protocol> {
    let option = option
        .map(|o| o.split_once('='))
        .map_or(Some(None), |o| o.map(Some))?;
    match (scheme, option) {
        ("ipmi", None) if path.is_none() => Some(Protocol::Ipmi { cipher: None }),
        ("ipmi", Some(("cipher", n))) if path.is_none() => Some(Protocol::Ipmi {
            cipher: Some(n.parse().ok()?),
        }),
        ("redfish", Some(("sha256", hex))) => Some(Protocol::Redfish {
            tls: true,
            pin: Some(pin(hex)?),
            system: system(path)?,
        }),
        ("redfish" | "redfish+http", None) => Some(Protocol::Redfish {
            tls: scheme == "redfish",
            pin: None,
            system: system(path)?,
        }),
        _ => None,
    }
}

/// The outer `None`: no path of ours.
fn system(path: Option<&str>) -> Option<Option<String>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~');
    match path {
        None => Some(None),
        Some(path) => path.chars().all(plain).then(|| Some(format!("/{path}"))),
    }
}

/// A SHA-256 as hex, with colons or without.
fn pin(hex: &str) -> Option<[u8; 32]> {
    let digits: String = hex.chars().filter(|c| *c != ':').collect();
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut sum = [0; 32];
    for (byte, at) in sum.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(sum)
}

fn place_of(place: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':'))
        }
        None => place
            .split_once(':')
            .map_or((place, None), |(h, p)| (h, Some(p))),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let good = !host.is_empty() && !host.starts_with('-') && host.chars().all(plain);
    let port = port.map_or(Some(usual), |p| p.parse().ok())?;
    good.then(|| (host.to_owned(), port))
}

impl Protocol {
    fn port(&self) -> u16 {
        match self {
            Self::Ipmi { .. } => 623,
            Self::Redfish { tls: true, .. } => 443,
            Self::Redfish { tls: false, .. } => 80,
        }
    }
}

impl Board {
    /// Host and port, as URLs have them.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for PowerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let board = match self {
            Self::WakeOnLan => return f.write_str("wol"),
            Self::Board(board) => board,
        };
        let (user, place) = (&board.user, board.authority());
        match &board.protocol {
            Protocol::Ipmi { cipher: None } => write!(f, "ipmi://{user}@{place}"),
            Protocol::Ipmi { cipher: Some(n) } => write!(f, "ipmi://{user}@{place}?cipher={n}"),
            Protocol::Redfish { tls, pin, system } => {
                let scheme = if *tls { "redfish" } else { "redfish+http" };
                let path = system.as_deref().unwrap_or_default();
                write!(f, "{scheme}://{user}@{place}{path}")?;
                pin.map_or(Ok(()), |pin| write!(f, "?sha256={}", crate::hex::of(&pin)))
            }
        }
    }
}

crate::state::name::as_text! { PowerAddress: BadPower }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown_with_its_port_and_read_again() {
        let sum = "ab".repeat(32);
        for (text, shown) in [
            ("wol", "wol".to_owned()),
            ("ipmi://ann@10.0.0.9", "ipmi://ann@10.0.0.9:623".to_owned()),
            (
                "ipmi://ann@[::1]:9623?cipher=3",
                "ipmi://ann@[::1]:9623?cipher=3".to_owned(),
            ),
            ("redfish://ann@bmc", "redfish://ann@bmc:443".to_owned()),
            (
                "redfish+http://ann@bmc:8000/redfish/v1/Systems/1",
                "redfish+http://ann@bmc:8000/redfish/v1/Systems/1".to_owned(),
            ),
            (
                &format!("redfish://ann@bmc/?sha256={sum}"),
                format!("redfish://ann@bmc:443?sha256={sum}"),
            ),
        ] {
            let read: PowerAddress = text.parse().unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse::<PowerAddress>().unwrap(), read);
        }
    }

    #[test]
    fn what_could_be_an_option_a_password_or_a_path_of_others_is_refused() {
        for text in [
            "",
            "ipmi://host",
            "ipmi://@host",
            "ipmi://-H@host",
            "ipmi://ann@-host",
            "ipmi://ann:secret@host",
            "ipmi://ann@host/x",
            "ipmi://ann@host?cipher=x",
            "ipmi://ann@host:x",
            "http://ann@host",
            "redfish://ann@host?sha256=abc",
            "redfish+http://ann@host?sha256=x",
            "redfish://ann@host/a b",
            "ipmi://ann@ho st",
            "ipmi://a\nb@host",
            "redfish://ann@[zz]",
        ] {
            assert!(text.parse::<PowerAddress>().is_err(), "{text}");
        }
    }
}
