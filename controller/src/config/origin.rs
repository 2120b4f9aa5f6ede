//! Every setting with its value and where that comes from: the default, a line of the file, a variable or a flag.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, Flags, read_file};

/// What holds when nobody says otherwise; a test reads it and gets [`Config::default`].
const DEFAULTS: &str = include_str!("../../../docs/enforcer.toml");

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Where it stands in the file: `dhcp.mode`.
    pub key: String,
    /// Its value, as it would be written there.
    pub value: String,
    /// `default`, `FILE:LINE`, `ENFORCER_…` or `--…`.
    pub origin: String,
}

/// A setting that has a flag and a variable.
struct Over {
    key: &'static str,
    flag: &'static str,
    variable: &'static str,
    value: Option<String>,
}

impl Over {
    /// Puts what it says, with whether the flag or the variable said it.
    fn put(&self, all: &mut BTreeMap<String, Setting>, value: String, typed: &[String]) {
        let is_flag = |word: &String| {
            word.strip_prefix(self.flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let origin = if typed.iter().any(is_flag) {
            self.flag
        } else {
            self.variable
        };
        // The file may say it as a table.
        let inner = format!("{}.machines", self.key);
        let key = if all.contains_key(&inner) {
            inner.as_str()
        } else {
            self.key
        };
        put(all, key, value, origin);
    }
}

/// What flags and variables said.
fn overs(flags: &Flags, config: &Config) -> [Over; 10] {
    let over = |key, flag, variable, value| Over {
        key,
        flag,
        variable,
        value,
    };
    let number = |value: Option<u16>| value.map(|port| port.to_string());
    let word = |value: &Option<String>| value.as_ref().map(|word| format!("{word:?}"));
    let state = flags.state.as_ref().map(|_| quoted(&config.state));
    let socket = flags.api_socket.as_ref();
    let socket = socket.map(|_| quoted(&config.api_socket));
    let interfaces = (!flags.interfaces.is_empty()).then(|| format!("{:?}", flags.interfaces));
    [
        over("state", "--state", "ENFORCER_STATE", state),
        over("api_socket", "--api-socket", "ENFORCER_API_SOCKET", socket),
        over("dhcp.mode", "--dhcp", "ENFORCER_DHCP", word(&flags.dhcp)),
        over(
            "interfaces",
            "--interface",
            "ENFORCER_INTERFACES",
            interfaces,
        ),
        over(
            "discovery",
            "--discovery",
            "ENFORCER_DISCOVERY",
            word(&flags.discovery),
        ),
        over(
            "ipxe.rechain",
            "--rechain",
            "ENFORCER_RECHAIN",
            word(&flags.rechain),
        ),
        over(
            "http_port",
            "--http-port",
            "ENFORCER_HTTP_PORT",
            number(flags.http_port),
        ),
        over(
            "mesh_port",
            "--mesh-port",
            "ENFORCER_MESH_PORT",
            number(flags.mesh_port),
        ),
        over(
            "gossip_port",
            "--gossip-port",
            "ENFORCER_GOSSIP_PORT",
            number(flags.gossip_port),
        ),
        over("log", "--log", "ENFORCER_LOG", word(&flags.log)),
    ]
}

/// All settings, by key. `typed` is this process's command line, by which a flag is told from its variable.
///
/// # Errors
/// When the configuration cannot be used, as [`Config::load`] says.
pub fn settings(flags: &Flags, typed: &[String]) -> Result<Vec<Setting>, ConfigError> {
    let config = Config::load(flags)?;
    let mut all = BTreeMap::new();
    put(
        &mut all,
        "state",
        quoted(&super::default_state()),
        "default",
    );
    put(
        &mut all,
        "api_socket",
        quoted(&super::default_api_socket()),
        "default",
    );
    put(&mut all, "log", "\"info\"".to_owned(), "default");
    layer(&mut all, DEFAULTS, None);
    if let Some(path) = &flags.config {
        layer(&mut all, &read_file(path)?, Some(path));
    }
    for over in overs(flags, &config) {
        if let Some(value) = &over.value {
            let value = value.clone();
            over.put(&mut all, value, typed);
        }
    }
    Ok(all.into_values().collect())
}

fn put(all: &mut BTreeMap<String, Setting>, key: &str, value: String, origin: &str) {
    let setting = Setting {
        key: key.to_owned(),
        value,
        origin: origin.to_owned(),
    };
    all.insert(key.to_owned(), setting);
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// Puts what a file says over what is there. It was read as a configuration before, so it is TOML.
fn layer(all: &mut BTreeMap<String, Setting>, text: &str, path: Option<&Path>) {
    let Ok(table) = DeTable::parse(text) else {
        return;
    };
    let mut found = Vec::new();
    walk("", table.get_ref(), &mut found);
    for (key, span) in found {
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count() + 1;
        let origin = path.map_or_else(
            || "default".to_owned(),
            |p| format!("{}:{line}", p.display()),
        );
        // A value over several lines is told on one.
        let words = text.get(span).unwrap_or_default().split_whitespace();
        let value = words.collect::<Vec<_>>().join(" ");
        // `[discovery]` takes the place of `discovery`.
        if let Some((outer, _)) = key.split_once('.') {
            all.remove(outer);
        }
        put(all, &key, value, &origin);
    }
}

/// Every value of a table that is no table itself, with its place in the text.
fn walk(prefix: &str, table: &DeTable<'_>, found: &mut Vec<(String, std::ops::Range<usize>)>) {
    for (name, value) in table {
        let key = match prefix {
            "" => name.get_ref().to_string(),
            prefix => format!("{prefix}.{}", name.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(inner) => walk(&key, inner, found),
            DeValue::Array(items)
                if items
                    .iter()
                    .any(|item| matches!(item.get_ref(), DeValue::Table(_))) =>
            {
                for (at, item) in items.iter().enumerate() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        walk(&format!("{key}[{at}]"), inner, found);
                    }
                }
            }
            _ => found.push((key, value.span())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, flags: Flags, typed: &[&str]) -> BTreeMap<String, (String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        std::fs::write(&path, text).unwrap();
        let flags = Flags {
            config: Some(path),
            ..flags
        };
        let typed: Vec<String> = typed.iter().map(|word| (*word).to_owned()).collect();
        let place = format!("{}/", folder.path().display());
        let all = settings(&flags, &typed).unwrap();
        all.into_iter()
            .map(|s| (s.key, (s.value, s.origin.replace(&place, ""))))
            .collect()
    }

    #[test]
    fn each_setting_says_who_set_it() {
        let file = "site = \"lab\"\nhttp_port = 5000\ninterfaces = [\n  \"eth0\",\n]\n[discovery]\nmachines = \"all\"\n\n[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.0.0.0/24\"\npool = \"10.0.0.5-10.0.0.9\"\n";
        let flags = Flags {
            http_port: Some(6000),
            mesh_port: Some(7000),
            ..Flags::default()
        };
        let all = told(
            file,
            flags,
            &["enforcer", "config", "show", "--http-port=6000"],
        );
        for (key, value, origin) in [
            ("site", "\"lab\"", "e.toml:1"),
            ("http_port", "6000", "--http-port"),
            ("mesh_port", "7000", "ENFORCER_MESH_PORT"),
            ("gossip_port", "4849", "default"),
            ("interfaces", "[ \"eth0\", ]", "e.toml:3"),
            ("discovery.machines", "\"all\"", "e.toml:7"),
            ("dhcp.mode", "\"server\"", "e.toml:10"),
            ("dhcp.subnet[0].pool", "\"10.0.0.5-10.0.0.9\"", "e.toml:13"),
            ("dhcp.router_advertisements", "true", "default"),
        ] {
            let expected = (value.to_owned(), origin.to_owned());
            assert_eq!(all.get(key), Some(&expected), "{key}");
        }
        assert!(!all.contains_key("discovery"), "{all:?}");
    }

    #[test]
    fn a_flag_changes_a_setting_that_the_file_says_as_a_table() {
        let flags = Flags {
            discovery: Some("off".to_owned()),
            ..Flags::default()
        };
        let all = told(
            "[discovery]\nmachines = \"all\"\n",
            flags,
            &["--discovery", "off"],
        );
        let expected = ("\"off\"".to_owned(), "--discovery".to_owned());
        assert_eq!(all.get("discovery.machines"), Some(&expected));
    }
}
