//! The section `[api]`: the API's port on the network.

use std::{net::SocketAddr, path::PathBuf};

use toml::Table;

use super::{Mistake, section::Section, values::word};
use crate::http::network::is_name;

/// The API's port on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiPort {
    /// Where it listens (`api.listen`).
    pub listen: SocketAddr,
    /// By what it proves who it is.
    pub tls: ApiTls,
}

/// By what the port proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiTls {
    /// A certificate of the site's CA for the host's names and addresses, and for these (`api.names`).
    Site(Vec<String>),
    /// Files of the host's people.
    Files {
        /// `api.cert_file`: the chain, PEM, the server's certificate first.
        cert: PathBuf,
        /// `api.key_file`, PEM.
        key: PathBuf,
    },
    /// None (`api.tls = "off"`): a proxy speaks TLS.
    Off,
}

#[derive(Clone, Copy)]
enum Word {
    On,
    Off,
}

/// Reads the section; `None` when it is not there, or wrong.
pub(super) fn read(table: Table, mistakes: &mut Vec<Mistake>) -> Option<ApiPort> {
    if table.is_empty() {
        return None;
    }
    let mut section = Section::new("api", table, mistakes);
    let listen = section.take_text("listen", address);
    let words = [("site", Word::On), ("off", Word::Off)];
    let tls = section.take_text("tls", |text| word(text, &words));
    let names = section.take_list("names", name);
    let files: (Option<PathBuf>, Option<PathBuf>) =
        (section.take("cert_file"), section.take("key_file"));
    let tls = match (tls, files, names) {
        (None, (Some(cert), Some(key)), None) => Some(ApiTls::Files { cert, key }),
        (Some(Word::Off), (None, None), None) => Some(ApiTls::Off),
        (None | Some(Word::On), (None, None), names) => {
            Some(ApiTls::Site(names.unwrap_or_default()))
        }
        _ => None,
    };
    if tls.is_none() {
        let problem = "say one of: `cert_file` and `key_file` together; `tls = \"off\"`; or neither, and `names` if you like";
        section.mistake("tls", problem.to_owned());
    }
    if listen.is_none() {
        let problem = "the API's port needs `listen`, such as \"0.0.0.0:4843\"".to_owned();
        section.mistake("listen", problem);
    }
    section.finish();
    Some(ApiPort {
        listen: listen?,
        tls: tls?,
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        || format!("'{text}' is no address with a port; write it like 0.0.0.0:4843 or [::]:4843");
    text.parse().map_err(|_| wrong())
}

fn name(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is no host's name or address; write it like boot.example.org");
    is_name(text).then(|| text.to_owned()).ok_or_else(wrong)
}
