//! The settings and where each comes from. Values of settings in which nobody can write a secret are told; of all others, also of
//! those that will come, only that they are set.

use serde::Serialize;

use crate::{
    config::{self, ConfigError, Flags, Setting},
    ordered::sort_by,
};

/// What stands for a value that is not told.
const HIDDEN: &str = "(set; not told)";

/// Settings whose values are numbers, closed words, addresses, names or paths. `[]` stands for any place in a list.
const TOLD: &[&str] = &[
    "accept",
    "api.cert_file",
    "api.key_file",
    "api.listen",
    "api.names",
    "api.tls",
    "api_socket",
    "dhcp.mode",
    "dhcp.router_advertisements",
    "dhcp.subnet[].dns",
    "dhcp.subnet[].domain",
    "dhcp.subnet[].lease",
    "dhcp.subnet[].network",
    "dhcp.subnet[].pool",
    "dhcp.subnet[].routers",
    "discovery",
    "discovery.boot",
    "discovery.machines",
    "federation.cache",
    "gossip_port",
    "http.web",
    "http_port",
    "images.quota",
    "interfaces",
    "ipxe.rechain",
    "listen",
    "local_boot",
    "mail.password_file",
    "mail.server",
    "mail.tls",
    "management_os.flavour",
    "management_os.idle_wait",
    "mesh",
    "mesh_port",
    "oidc.ca_file",
    "oidc.client_secret_file",
    "oidc.create_users",
    "oidc.email_domains",
    "oidc.issuer",
    "oidc.name_claim",
    "oidc.passwords",
    "oidc.public_url",
    "oidc.roles[].role",
    "oidc.scopes",
    "providers[].address",
    "providers[].auth_key_file",
    "providers[].ca_file",
    "providers[].name",
    "providers[].token_file",
    "providers[].type",
    "providers[].url",
    "site",
    "state",
    "tftp",
];

/// The settings, or what is wrong with them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settings {
    /// They can be used.
    #[serde(rename = "settings")]
    Usable(Vec<Setting>),
    /// These have mistakes.
    MistakesAt(Vec<String>),
    /// There are none to read.
    Unusable(&'static str),
}

/// What the settings are, for somebody else to see. `typed` is this process's command line.
#[must_use]
pub fn settings(flags: &Flags, typed: &[String]) -> Settings {
    match config::settings(flags, typed) {
        Ok(all) => Settings::Usable(all.into_iter().map(told).collect()),
        // What is wrong with a value is said by repeating it.
        Err(ConfigError::Mistakes(mistakes)) => {
            let mut at: Vec<String> = mistakes.into_iter().map(|m| known(m.at)).collect();
            sort_by(&mut at, Ord::cmp);
            Settings::MistakesAt(at)
        }
        Err(ConfigError::Unreadable { .. }) => Settings::Unusable("the file cannot be read"),
        Err(ConfigError::Syntax { .. }) => Settings::Unusable("the file is not TOML"),
    }
}

/// A setting's name; what is none may be anything.
fn known(at: String) -> String {
    match TOLD.contains(&anywhere(&at).as_str()) {
        true => at,
        false => "(another one)".to_owned(),
    }
}

fn told(setting: Setting) -> Setting {
    if TOLD.contains(&anywhere(&setting.key).as_str()) {
        return setting;
    }
    let value = HIDDEN.to_owned();
    Setting { value, ..setting }
}

/// The key with the places in lists left out: `providers[3].name` is `providers[].name`.
fn anywhere(key: &str) -> String {
    let mut inside = false;
    let kept = key.chars().filter(|c| {
        let number = inside && *c != ']';
        inside = match c {
            '[' => true,
            ']' => false,
            _ => inside,
        };
        !number
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        std::fs::write(&path, text).unwrap();
        let flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        serde_json::to_string(&settings(&flags, &[])).unwrap()
    }

    #[test]
    fn a_setting_that_may_hold_a_secret_is_only_said_to_be_set() {
        let text = "site = \"lab\"\n[management_os]\ncmdline = \"rescue=s3cret\"\n[[providers]]\nname = \"dc1\"\ntype = \"serf\"\naddress = \"10.0.0.9:7373\"\n";
        let all = told_of(text);
        assert!(
            all.contains("lab") && all.contains("10.0.0.9:7373") && all.contains("e.toml:3"),
            "{all}"
        );
        assert!(all.contains(HIDDEN) && !all.contains("s3cret"), "{all}");
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        let mistakes = told_of("site = \"s3cret!\"\ns3cret = 1\n");
        assert_eq!(mistakes, r#"{"mistakes-at":["(another one)","site"]}"#);
        let broken = told_of("site = s3cret");
        assert_eq!(broken, r#"{"unusable":"the file is not TOML"}"#);
    }

    #[test]
    fn places_in_lists_do_not_matter() {
        assert_eq!(anywhere("dhcp.subnet[12].pool"), "dhcp.subnet[].pool");
        assert_eq!(anywhere("site"), "site");
    }
}
