//! `[[providers]]`: other people's agents.

use std::{collections::BTreeSet, path::PathBuf};

use toml::Table;

use super::{
    Mistake,
    section::Section,
    values::{with_port, word},
};
use crate::{
    providers::{ProviderAddress, ProviderSettings},
    state::provider::ProviderKind,
};

/// The port of Serf's RPC when its configuration names none.
const SERF_PORT: u16 = 7373;
/// More is a mistake in a loop that wrote the file.
const MAX_PROVIDERS: usize = 16;

/// Reads the sections; one that is wrong is left out.
pub(super) fn read(tables: Vec<Table>, mistakes: &mut Vec<Mistake>) -> Vec<ProviderSettings> {
    let (mut names, mut all) = (BTreeSet::new(), Vec::new());
    if tables.len() > MAX_PROVIDERS {
        mistakes.push(Mistake {
            at: "providers".to_owned(),
            problem: format!("there are {}; {MAX_PROVIDERS} is the most", tables.len()),
        });
    }
    for (at, table) in tables.into_iter().enumerate() {
        let mut section = Section::new(&format!("providers[{at}]"), table, mistakes);
        if let Some(settings) = read_one(&mut section) {
            if !names.insert(settings.name.clone()) {
                let problem = format!("another provider is called '{}', too", settings.name);
                section.mistake("name", problem);
            }
            all.push(settings);
        }
        section.finish();
    }
    all
}

fn read_one(section: &mut Section<'_>) -> Option<ProviderSettings> {
    let name = section.take_text("name", |t| t.parse().map_err(|e| format!("{e}")));
    let kind = section.take_text("type", kind);
    let serf = section.take_text("address", |t| with_port(t, SERF_PORT));
    let consul = section.take_text("url", url);
    let ca_file: Option<PathBuf> = section.take("ca_file");
    let key_file = section.take("auth_key_file");
    let token_file = section.take("token_file");
    if name.is_none() || kind.is_none() {
        let problem = "a provider needs a `name` and a `type`".to_owned();
        section.mistake("name", problem);
    }
    match kind? {
        ProviderKind::Serf => {
            let misplaced = [
                ("url", consul.is_some()),
                ("ca_file", ca_file.is_some()),
                ("token_file", token_file.is_some()),
            ];
            refuse(section, "serf", &misplaced);
            let (host, port) = needed(section, "address", "127.0.0.1:7373", serf)?;
            Some(ProviderSettings {
                name: name?,
                at: ProviderAddress::Serf { host, port },
                secret_file: key_file,
            })
        }
        ProviderKind::Consul => {
            let misplaced = [
                ("address", serf.is_some()),
                ("auth_key_file", key_file.is_some()),
            ];
            refuse(section, "consul", &misplaced);
            let url = needed(section, "url", "http://127.0.0.1:8500", consul)?;
            Some(ProviderSettings {
                name: name?,
                at: ProviderAddress::Consul { url, ca_file },
                secret_file: token_file,
            })
        }
    }
}

fn refuse(section: &mut Section<'_>, kind: &str, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, given)| *given) {
        section.mistake(
            key,
            format!("a provider of type \"{kind}\" has no such setting"),
        );
    }
}

fn needed<T>(section: &mut Section<'_>, key: &str, example: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        section.mistake(key, format!("it is needed here, such as \"{example}\""));
    }
    value
}

fn kind(text: &str) -> Result<ProviderKind, String> {
    word(
        text,
        &[
            ("serf", ProviderKind::Serf),
            ("consul", ProviderKind::Consul),
        ],
    )
}

/// `http://host:port` or `https://host:port`, nothing behind it.
fn url(text: &str) -> Result<String, String> {
    let wrong = || {
        format!("'{text}' is no address of Consul; write it like https://consul.example.org:8501")
    };
    let uri: hyper::Uri = text.parse().map_err(|_| wrong())?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let bare = uri.query().is_none() && matches!(uri.path(), "" | "/");
    let host = uri.authority().is_some_and(|a| !a.as_str().contains('@'));
    let good = scheme && bare && host;
    good.then(|| text.to_owned()).ok_or_else(wrong)
}
