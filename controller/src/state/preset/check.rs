//! What a person may give: plain characters, which mean nothing in a preseed, YAML, kickstart, JSON or a shell.

use super::{Preset, PresetError};

/// Keys, packages: more is a mistake.
const MAX_LIST: usize = 64;

pub(super) fn check(preset: &Preset) -> Result<(), PresetError> {
    let word = "use letters, digits and . _ - + / @ : ,";
    for (what, value) in [
        ("the release", &preset.release),
        ("the locale", &preset.locale),
        ("the keyboard", &preset.keyboard),
        ("the time zone", &preset.timezone),
    ] {
        each(what, value.iter(), word, is_word)?;
    }
    let url = "give an http:// or https:// URL without quotes, blanks or braces";
    each("the location", preset.location.iter(), url, is_url)?;
    let disk = "name a device, such as /dev/disk/by-path/pci-0000:00:04.0";
    each("the disk", preset.disk.iter(), disk, |d| {
        d.strip_prefix("/dev/").is_some_and(is_word) && !d.contains("..")
    })?;
    each("a package", preset.packages.iter(), word, is_word)?;
    let key = "give the one line of an OpenSSH public key file";
    each("an SSH key", preset.ssh_keys.iter(), key, is_key)?;
    match preset.ssh_keys.len() > MAX_LIST || preset.packages.len() > 4 * MAX_LIST {
        true => Err(PresetError::Missing(
            "it has too many keys or packages".to_owned(),
        )),
        false => Ok(()),
    }
}

fn each<'a>(
    what: &'static str,
    values: impl Iterator<Item = &'a String>,
    allowed: &'static str,
    good: impl Fn(&str) -> bool,
) -> Result<(), PresetError> {
    let Some(bad) = values.into_iter().find(|v| !good(v)) else {
        return Ok(());
    };
    Err(PresetError::Unfit {
        what,
        value: bad.chars().filter(|c| !c.is_control()).take(80).collect(),
        allowed,
    })
}

fn is_word(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || ".-_+/@:,".contains(c);
    (1..=200).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(good)
}

/// A folder of a user, `/~name`, is common; behind another character a shell may take the `~` for a home (POSIX 2.6.1).
fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let good = |c: char| c.is_ascii_alphanumeric() || ".-_~+/@:,%=[]".contains(c);
    rest.is_some_and(|r| !r.is_empty())
        && text.len() <= 1024
        && text.chars().all(good)
        && !text.contains("[[")
        && !text.replace("/~", "/").contains('~')
}

fn is_key(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || " .-_+/@:,=".contains(c);
    let kind = ["ssh-", "ecdsa-", "sk-"];
    text.len() <= 4096 && kind.iter().any(|k| text.starts_with(k)) && text.chars().all(good)
}
