//! The spellings of single values, shared by the file and the flags.

use std::net::Ipv4Addr;

use ipxe::LocalBoot;

use super::{DhcpRole, Rechain};
use crate::state::policy::{Accept, Discovery};

/// Reads one of a few words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let known = || words.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
    let found = words
        .iter()
        .find(|(w, _)| *w == text)
        .map(|(_, value)| *value);
    found.ok_or_else(|| format!("'{text}' is none of: {}", known()))
}

pub(super) fn dhcp(text: &str) -> Result<DhcpRole, String> {
    word(
        text,
        &[
            ("proxy", DhcpRole::Proxy),
            ("server", DhcpRole::Server),
            ("off", DhcpRole::Off),
        ],
    )
}

pub(super) fn discovery(text: &str) -> Result<Discovery, String> {
    word(
        text,
        &[
            ("off", Discovery::Off),
            ("registered", Discovery::Registered),
            ("all", Discovery::All),
        ],
    )
}

pub(super) fn accept(text: &str) -> Result<Accept, String> {
    let words = [
        ("registered", Accept::Registered),
        ("manual", Accept::Manual),
    ];
    word(text, &words)
}

/// Reads an origin as browsers write it (RFC 6454 §6.2): scheme, host, and the port unless it is the scheme's own.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
    let host = !rest.is_empty() && rest.chars().all(plain) && !rest.ends_with(default_port);
    if matches!(scheme, "http" | "https") && host {
        return Ok(text.to_owned());
    }
    Err(format!(
        "'{text}' is no origin; write it as a browser does, such as https://ops.example.org, in small letters, without a path or the usual port"
    ))
}

/// Reads how many bytes images may take: `none`, or a number with `MiB`, `GiB` or `TiB`.
pub(super) fn quota(text: &str) -> Result<Option<u64>, String> {
    if text == "none" {
        return Ok(None);
    }
    let units = [("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let read = units.iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
    });
    let known = || format!("'{text}' is neither none nor a size such as 200 GiB");
    read.map(Some).ok_or_else(known)
}

pub(super) fn rechain(text: &str) -> Result<Rechain, String> {
    word(
        text,
        &[("never", Rechain::Never), ("always", Rechain::Always)],
    )
}

/// Reads a local-boot method; also what the API and the command line take.
///
/// # Errors
/// With the known words.
pub fn local_boot(text: &str) -> Result<LocalBoot, String> {
    let words = [
        ("auto", LocalBoot::Auto),
        ("sanboot", LocalBoot::Sanboot),
        ("exit", LocalBoot::Exit),
        ("exit-failure", LocalBoot::ExitFailure),
        ("localboot", LocalBoot::Localboot),
    ];
    word(text, &words)
}

/// A label of a host name (RFC 1123 §2.1): it stands in the names of certificates.
pub(super) fn site(text: &str) -> Result<String, String> {
    if mesh_net::cert::is_site_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "'{text}' is no site name; write lower-case letters, digits and hyphens, such as lab-1"
    ))
}

pub(super) fn address(text: &str) -> Result<Ipv4Addr, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is no IPv4 address; write it like 10.0.0.1"))
}

/// `host` or `host:port`.
pub(super) fn with_port(text: &str, usual: u16) -> Result<(String, u16), String> {
    let wrong = || format!("'{text}' is no server; write it like mail.example.org:587");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (text, usual),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let good = !host.is_empty() && host.chars().all(plain);
    good.then(|| (host.to_owned(), port)).ok_or_else(wrong)
}

/// `10.0.0.0/24`.
pub(super) fn network(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let wrong = || format!("'{text}' is no IPv4 network; write it like 10.0.0.0/24");
    let (ip, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let prefix: u8 = prefix
        .parse()
        .ok()
        .filter(|p| (8..=30).contains(p))
        .ok_or_else(wrong)?;
    Ok((ip.parse().map_err(|_| wrong())?, prefix))
}

/// `10.0.0.100-10.0.0.200`.
pub(super) fn pool(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    let wrong = || format!("'{text}' is no address range; write it like 10.0.0.100-10.0.0.200");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let range = (
        first.trim().parse().map_err(|_| wrong())?,
        last.trim().parse().map_err(|_| wrong())?,
    );
    if range.0 <= range.1 {
        Ok(range)
    } else {
        Err(format!("'{text}' ends before it starts"))
    }
}

/// `90s`, `10m`, `12h`, `7d`, in seconds.
pub(super) fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("'{text}' is no duration; write it like 90s, 10m, 12h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - unit.len_utf8()]
        .trim()
        .parse()
        .map_err(|_| wrong())?;
    number
        .checked_mul(factor)
        .filter(|s| *s > 0)
        .ok_or_else(wrong)
}

/// A duration, or `forever`.
pub(super) fn wait(text: &str) -> Result<Option<u32>, String> {
    if text == "forever" {
        Ok(None)
    } else {
        seconds(text).map(Some)
    }
}
