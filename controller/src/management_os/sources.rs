//! Which Debian archive to take packages from: the mirrors and suites this host already uses, with its keyring. Only
//! Debian's own archives are taken over; others (Raspberry Pi's, Node's…) do not have what we need for every
//! architecture.

use crate::ordered::sort_by;
use std::fs;
use std::path::{Path, PathBuf};

/// One archive line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Base address.
    pub uri: String,
    /// Suite: `bookworm`, `bookworm-security`…
    pub suite: String,
}

/// Where Debian's keys are, whichever package version laid them out.
const KEYRINGS: [&str; 2] = [
    "usr/share/keyrings/debian-archive-keyring.gpg",
    "usr/share/keyrings/debian-archive-keyring.pgp",
];

/// Debian's own archive, when the host (a Raspberry Pi OS of 32 bits, for one) uses none.
const FALLBACK: [(&str, &str); 2] = [
    ("http://deb.debian.org/debian", ""),
    ("http://deb.debian.org/debian-security", "-security"),
];

/// The host's keyring for Debian's archive.
#[must_use]
pub(super) fn keyring(root: &Path) -> Option<PathBuf> {
    KEYRINGS
        .iter()
        .map(|path| root.join(path))
        .find(|path| path.exists())
}

/// The archives of the host below `root`, else Debian's own for the host's release; empty when this is no Debian.
#[must_use]
pub(super) fn of_host(root: &Path) -> Vec<Source> {
    let apt = root.join("etc/apt");
    let mut found =
        one_line_style(&fs::read_to_string(apt.join("sources.list")).unwrap_or_default());
    let mut files: Vec<PathBuf> = fs::read_dir(apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    sort_by(&mut files, Ord::cmp);
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|end| end.to_str()) {
            Some("list") => found.extend(one_line_style(&text)),
            Some("sources") => found.extend(deb822_style(&text)),
            _ => {}
        }
    }
    found.retain(|source| is_debian(&source.uri));
    let mut unique: Vec<Source> = Vec::new();
    for source in found {
        if !unique.contains(&source) {
            unique.push(source);
        }
    }
    if unique.is_empty() {
        fallback(&fs::read_to_string(root.join("etc/os-release")).unwrap_or_default())
    } else {
        unique
    }
}

/// The list in apt's one-line style, for our private root.
#[must_use]
pub(super) fn render(sources: &[Source], keyring: &Path) -> String {
    let line = |s: &Source| {
        format!(
            "deb [signed-by={}] {} {} main\n",
            keyring.display(),
            s.uri,
            s.suite
        )
    };
    sources.iter().map(line).collect()
}

fn is_debian(uri: &str) -> bool {
    let path = uri.trim_end_matches('/');
    let ours = path.ends_with("/debian") || path.ends_with("/debian-security");
    ours && !uri.contains("raspberrypi")
        && (uri.starts_with("http://") || uri.starts_with("https://"))
}

fn one_line_style(text: &str) -> Vec<Source> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("deb "));
    lines
        .filter_map(|line| {
            let line = line.trim();
            let rest = if line.starts_with('[') {
                line.split_once(']')?.1
            } else {
                line
            };
            let mut words = rest.split_whitespace();
            Some(Source {
                uri: words.next()?.to_owned(),
                suite: words.next()?.to_owned(),
            })
        })
        .collect()
}

fn deb822_style(text: &str) -> Vec<Source> {
    text.split("\n\n").flat_map(stanza).collect()
}

fn stanza(text: &str) -> Vec<Source> {
    let field = |name: &str| -> Vec<&str> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let value = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        value
            .map(|(_, value)| value.split_whitespace().collect())
            .unwrap_or_default()
    };
    if !field("Types").contains(&"deb") || field("Enabled") == ["no"] {
        return Vec::new();
    }
    let suites = field("Suites");
    let pair = |uri: &str| {
        suites
            .iter()
            .map(|suite| Source {
                uri: uri.to_owned(),
                suite: (*suite).to_owned(),
            })
            .collect::<Vec<_>>()
    };
    field("URIs").into_iter().flat_map(pair).collect()
}

fn fallback(os_release: &str) -> Vec<Source> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|value| value.trim_matches('"'))
    };
    let (Some("debian" | "raspbian"), Some(codename)) = (value("ID="), value("VERSION_CODENAME="))
    else {
        return Vec::new();
    };
    FALLBACK
        .iter()
        .map(|(uri, end)| Source {
            uri: (*uri).to_owned(),
            suite: format!("{codename}{end}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn check(files: &[(&str, &str)], want: &[(&str, &str)]) {
        let got = of_host(host(files).path());
        let got: Vec<_> = got
            .iter()
            .map(|source| (source.uri.as_str(), source.suite.as_str()))
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn the_hosts_own_debian_mirrors_are_taken_in_both_styles() {
        let deb822 = "# Debian\nTypes: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
                      Types: deb\nURIs: https://deb.example/node\nSuites: nodistro\n\nEnabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: x\n";
        let list = "deb [arch=arm64 signed-by=/k] http://deb.debian.org/debian-security bookworm-security main\n\
                    # deb http://no.example/debian sid main\ndeb http://archive.raspberrypi.com/debian bookworm main\n";
        check(
            &[
                ("etc/apt/sources.list.d/debian.sources", deb822),
                ("etc/apt/sources.list", list),
            ],
            &[
                ("http://deb.debian.org/debian-security", "bookworm-security"),
                ("http://mirror.example/debian", "bookworm"),
                ("http://mirror.example/debian", "bookworm-updates"),
            ],
        );
    }

    #[test]
    fn a_pi_of_32_bits_falls_back_to_debians_own_archive() {
        let list = "deb http://raspbian.raspberrypi.org/raspbian/ bookworm main\n";
        let release = "ID=raspbian\nVERSION_CODENAME=bookworm\n";
        check(
            &[("etc/apt/sources.list", list), ("etc/os-release", release)],
            &[
                ("http://deb.debian.org/debian", "bookworm"),
                ("http://deb.debian.org/debian-security", "bookworm-security"),
            ],
        );
        check(&[("etc/os-release", "ID=fedora\n")], &[]);
    }
}
