//! Boot HTTP's paths, parsed once.

use crate::MacAddr;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/boot.ipxe`: the general script.
    General,
    /// `/boot/{mac}`: this machine's script.
    Machine(MacAddr, ScriptQuery),
    /// `/boot/n/{nonce}/{name}`: a file of an activation, for the boot `session`.
    NonceFile {
        /// Which activation.
        nonce: String,
        /// Which file.
        name: String,
        /// Which boot.
        session: Option<String>,
    },
    /// `/boot/n/{nonce}/done|online|failed`: the booted system calls back; `online` is a deployed one's word for `done`.
    Callback {
        /// Which activation or deployment.
        nonce: String,
        /// Whether it is `failed`.
        failed: bool,
        /// What it says about that.
        words: Option<String>,
    },
    /// `/v1/boot/{mac}`: pixiecore's API (its README.api.md).
    Pixiecore(MacAddr),
    /// `/firmware/…` and `/assets/…`: files that everybody may read.
    File(String),
    /// `/healthz`.
    Health,
    /// `/metrics`, for this host only.
    Metrics,
}

/// What iPXE tells about its machine in the query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptQuery {
    /// SMBIOS uuid.
    pub uuid: Option<String>,
    /// SMBIOS serial.
    pub serial: Option<String>,
    /// `${buildarch}`.
    pub arch: Option<String>,
    /// `pcbios` or `efi`.
    pub platform: Option<String>,
    /// Random per boot.
    pub session: Option<String>,
    /// The management OS could not be loaded in this boot.
    pub after_management: bool,
}

/// Longest value taken from a query, characters; iPXE's settings are shorter.
pub const MAX_VALUE: usize = 256;

/// Understands a path and a query; `None` is "not found".
#[must_use]
pub fn parse(path: &str, query: Option<&str>) -> Option<Route> {
    let path = decode(path)?;
    let query = || pairs(query.unwrap_or_default());
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    match segments.as_slice() {
        ["boot.ipxe"] => Some(Route::General),
        ["healthz"] => Some(Route::Health),
        ["metrics"] => Some(Route::Metrics),
        ["boot", mac] => Some(Route::Machine(mac.parse().ok()?, script_query(query()))),
        ["v1", "boot", mac] => Some(Route::Pixiecore(mac.parse().ok()?)),
        ["boot", "n", nonce, end @ ("done" | "online" | "failed")] => Some(Route::Callback {
            nonce: (*nonce).to_owned(),
            failed: *end == "failed",
            words: value(query(), "reason"),
        }),
        ["boot", "n", nonce, name] => Some(Route::NonceFile {
            nonce: (*nonce).to_owned(),
            name: (*name).to_owned(),
            session: value(query(), "s"),
        }),
        ["firmware" | "assets", rest @ ..] => {
            let plain =
                !rest.is_empty() && rest.iter().all(|s| !s.is_empty() && !s.starts_with('.'));
            plain.then(|| Route::File(segments.join("/")))
        }
        _ => None,
    }
}

fn script_query(pairs: Vec<(String, String)>) -> ScriptQuery {
    let mut query = ScriptQuery::default();
    for (name, value) in pairs {
        let value = Some(value).filter(|v| !v.is_empty());
        match name.as_str() {
            "uuid" => query.uuid = value,
            "serial" => query.serial = value,
            "arch" => query.arch = value,
            "platform" => query.platform = value,
            "session" => query.session = value,
            "after" => query.after_management = value.as_deref() == Some("management"),
            _ => {}
        }
    }
    query
}

fn value(pairs: Vec<(String, String)>, wanted: &str) -> Option<String> {
    pairs
        .into_iter()
        .find(|(name, value)| name == wanted && !value.is_empty())
        .map(|(_, value)| value)
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let cut = |text: String| {
        text.chars()
            .filter(|c| !c.is_control())
            .take(MAX_VALUE)
            .collect()
    };
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        // iPXE leaves characters in `${…}` values that are no URL: take them as they are.
        .map(|(name, value)| {
            (
                name.to_owned(),
                cut(decode(value).unwrap_or_else(|| value.to_owned())),
            )
        })
        .collect()
}

/// Percent-decodes; `None` for broken escapes, text that is no UTF-8, and control characters.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => u8::try_from(hex(rest.next()?)? * 16 + hex(rest.next()?)?).ok()?,
            other => other,
        });
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|t| !t.chars().any(char::is_control))
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x77, 0, 1]);

    #[test]
    fn paths_mean_what_the_design_says() {
        let nonce_file = |session: Option<&str>| Route::NonceFile {
            nonce: "ab".into(),
            name: "vmlinuz".into(),
            session: session.map(Into::into),
        };
        let query = ScriptQuery {
            serial: Some("LAB 1".into()),
            platform: Some("efi".into()),
            session: Some("s1".into()),
            after_management: true,
            ..ScriptQuery::default()
        };
        for (path, q, route) in [
            ("/boot.ipxe", None, Some(Route::General)),
            (
                "/boot/52-54-00-77-00-01",
                Some("uuid=&serial=LAB%201&platform=efi&session=s1&after=management"),
                Some(Route::Machine(MAC, query)),
            ),
            (
                "/boot/52%3A54%3A00%3A77%3A00%3A01",
                None,
                Some(Route::Machine(MAC, ScriptQuery::default())),
            ),
            (
                "/v1/boot/52:54:00:77:00:01",
                None,
                Some(Route::Pixiecore(MAC)),
            ),
            (
                "/boot/n/ab/vmlinuz",
                Some("s=x1"),
                Some(nonce_file(Some("x1"))),
            ),
            ("/boot/n/ab/vmlinuz", Some("s="), Some(nonce_file(None))),
            (
                "/boot/n/ab/failed",
                Some("reason=no+disk"),
                Some(Route::Callback {
                    nonce: "ab".into(),
                    failed: true,
                    words: Some("no+disk".into()),
                }),
            ),
            (
                "/boot/n/ab/online",
                None,
                Some(Route::Callback {
                    nonce: "ab".into(),
                    failed: false,
                    words: None,
                }),
            ),
            (
                "/firmware/ipxe.efi",
                None,
                Some(Route::File("firmware/ipxe.efi".into())),
            ),
            ("/firmware/../enforcer.redb", None, None),
            ("/firmware/%2e%2e/enforcer.redb", None, None),
            ("/firmware/a%2f..%2fb", None, None),
            ("/assets//x", None, None),
            ("/assets", None, None),
            ("/boot/not-a-mac", None, None),
            ("/boot/%zz", None, None),
            ("/", None, None),
        ] {
            assert_eq!(parse(path, q), route, "{path}");
        }
    }
}
