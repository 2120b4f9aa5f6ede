//! What a person writes → what the server uses.
//!
//! One TOML file, then `ENFORCER_*` variables and flags over it. Everything is checked before anything binds, and all
//! mistakes are reported at once.

mod api;
mod audit;
mod flags;
mod mail;
mod oidc;
mod origin;
mod providers;
mod read;
mod section;
mod values;

use std::{
    io::{ErrorKind, Read as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

pub use api::{ApiPort, ApiTls};
pub use audit::AuditSettings;
pub use flags::Flags;
use ipxe::LocalBoot;
pub use origin::{Setting, settings};
pub use section::Mistake;
pub use values::local_boot;

use crate::{
    federation::DEFAULT_BYTES,
    notify::MailSettings,
    oidc::OidcSettings,
    providers::ProviderSettings,
    state::{
        lease::Subnet,
        name::ConfigName,
        policy::{Accept, Discovery},
    },
};

/// Largest config file: some hundred subnets take a tenth of it, and a device named by mistake does not end.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How DHCP is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DhcpRole {
    /// Beside another DHCP server: only boot information, never addresses.
    #[default]
    Proxy,
    /// As the DHCP server of the segment.
    Server,
    /// Not at all: another server names the boot files.
    Off,
}

/// Whether an iPXE that is already in the machine's ROM is first replaced by ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rechain {
    /// It is used as it is.
    #[default]
    Never,
    /// Ours is sent first.
    Always,
}

/// Everything a controller is started with. `docs/enforcer.toml` shows each key with its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// State folder (`state`). Default `/var/lib/enforcer`; when not root `$XDG_STATE_HOME/enforcer`.
    pub state: PathBuf,
    /// Path of the API's local socket (`api_socket`).
    pub api_socket: PathBuf,
    /// `[api]`: the API's port on the network. Default none.
    pub api: Option<ApiPort>,
    /// Interfaces served (`interfaces`); empty: all that are up and have an IPv4 address.
    pub interfaces: Vec<String>,
    /// The address that TFTP and boot HTTP listen on (`listen`). Default: all.
    pub listen: Ipv4Addr,
    /// Port of boot HTTP (`http_port`). Default 4880.
    pub http_port: u16,
    /// The site's name (`site`): a host-name label, part of every certificate. Default `home`.
    pub site: String,
    /// What makes a registered machine an accepted one (`accept`). Default `registered`.
    pub accept: Accept,
    /// Whether agents are answered (`mesh`). Default true.
    pub mesh: bool,
    /// Port of the agents' links, UDP (`mesh_port`). Default 4848; 0 takes a free one, which no agent finds again.
    pub mesh_port: u16,
    /// Port of the members' gossip, UDP (`gossip_port`). Default 4849.
    pub gossip_port: u16,
    /// Whether TFTP is served (`tftp`). Default true.
    pub tftp: bool,
    /// Which machines boot the management OS unasked (`discovery`). Default `registered`.
    pub discovery: Discovery,
    /// The boot config that discovery starts in place of the management OS (`discovery.boot`). Default none.
    pub discovery_boot: Option<ConfigName>,
    /// How machines without a method of their own are sent to their disk (`local_boot`). Default `auto`.
    pub local_boot: LocalBoot,
    /// `dhcp.mode`. Default `proxy`.
    pub dhcp: DhcpRole,
    /// Answer router solicitations in server mode (`dhcp.router_advertisements`). Default true.
    pub router_advertisements: bool,
    /// `[[dhcp.subnet]]`, for server mode.
    pub subnets: Vec<Subnet>,
    /// `ipxe.rechain`. Default `never`.
    pub rechain: Rechain,
    /// Kernel arguments of the management OS (`management_os.cmdline`).
    pub management_cmdline: String,
    /// `management_os.idle_wait`, seconds; `None` is `forever`. Default 10 minutes.
    pub idle_wait_s: Option<u32>,
    /// `images.quota`: bytes of chunks the image store may hold; `None`: as many as the disk has room for. Default `None`.
    pub image_quota_bytes: Option<u64>,
    /// `federation.cache`: bytes of other sites' boot files kept here; `None`: as many as the disk has room for. Default 4 GiB.
    pub peers_cache_bytes: Option<u64>,
    /// `management_os.flavour`: the one preferred when several are installed. Default `generic`.
    pub flavour: String,
    /// `[mail]`: the server that notifications go through. Default none.
    pub mail: Option<MailSettings>,
    /// `[oidc]`: the identity provider that people sign in at. Default none.
    pub oidc: Option<OidcSettings>,
    /// `http.web`: serve the web app beside the API. Default false; needs a program built with the feature `web`.
    pub web: bool,
    /// `http.web_origins`: pages of these other origins may call the API. Default none.
    pub web_origins: Vec<String>,
    /// `[audit]`: how much the audit keeps, and where it is copied to.
    pub audit: AuditSettings,
    /// `[[providers]]`: other people's agents (Serf, Consul) whose members become machines. Default none.
    pub providers: Vec<ProviderSettings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state: default_state(),
            api_socket: default_api_socket(),
            api: None,
            interfaces: Vec::new(),
            listen: Ipv4Addr::UNSPECIFIED,
            http_port: 4880,
            site: "home".to_owned(),
            accept: Accept::default(),
            mesh: true,
            mesh_port: 4848,
            gossip_port: 4849,
            tftp: true,
            discovery: Discovery::default(),
            discovery_boot: None,
            local_boot: LocalBoot::default(),
            dhcp: DhcpRole::default(),
            router_advertisements: true,
            subnets: Vec::new(),
            rechain: Rechain::default(),
            // The last console is the one that programs write to: people look at screens.
            management_cmdline: "console=ttyS0,115200 console=tty0".to_owned(),
            idle_wait_s: Some(600),
            image_quota_bytes: None,
            web: false,
            web_origins: Vec::new(),
            peers_cache_bytes: Some(DEFAULT_BYTES),
            flavour: "generic".to_owned(),
            mail: None,
            oidc: None,
            audit: AuditSettings::default(),
            providers: Vec::new(),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {}; name a readable one with --config", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// As the system says.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the config file {} is not TOML: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// Mistakes, all of them.
    #[error("{}", listed(.0))]
    Mistakes(Vec<Mistake>),
}

fn listed(mistakes: &[Mistake]) -> String {
    match mistakes {
        [one] => format!("the configuration has a mistake: {one}"),
        many => many.iter().fold(
            format!("the configuration has {} mistakes:", many.len()),
            |told, mistake| format!("{told}\n  {mistake}"),
        ),
    }
}

impl Config {
    /// Reads the file, if one is named, puts the flags over it and checks the result.
    ///
    /// # Errors
    /// With every mistake found.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        match &flags.config {
            Some(path) => Self::from_text(&read_file(path)?, path, flags),
            None => Self::from_table(toml::Table::new(), flags),
        }
    }

    /// The same from what the file at `path` holds.
    ///
    /// # Errors
    /// With every mistake found.
    pub fn from_text(text: &str, path: &Path, flags: &Flags) -> Result<Self, ConfigError> {
        let table = text
            .parse()
            .map_err(|e: toml::de::Error| ConfigError::Syntax {
                path: path.to_owned(),
                message: syntax_mistake(text, &e),
            })?;
        Self::from_table(table, flags)
    }

    fn from_table(table: toml::Table, flags: &Flags) -> Result<Self, ConfigError> {
        let (mut config, mut mistakes) = read::config(table);
        flags.apply(&mut config, &mut mistakes);
        read::check(&config, &mut mistakes);
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Mistakes(mistakes))
        }
    }
}

/// At most [`MAX_FILE_BYTES`] of it.
fn read_file(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        let mut text = String::new();
        std::fs::File::open(path)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            let problem = format!("it is larger than {MAX_FILE_BYTES} bytes");
            return Err(std::io::Error::new(ErrorKind::FileTooLarge, problem));
        }
        Ok(text)
    };
    read().map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// Where and what, on one line; TOML's own report is a drawing of four.
fn syntax_mistake(text: &str, error: &toml::de::Error) -> String {
    let before = |end: usize| text.get(..end).unwrap_or(text);
    let line = error
        .span()
        .map(|span| format!("line {}: ", before(span.start).matches('\n').count() + 1));
    format!("{}{}", line.unwrap_or_default(), error.message())
}

/// Where state is kept when nobody says otherwise.
#[must_use]
pub fn default_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/enforcer");
    }
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/state"));
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    base.unwrap_or_else(|| PathBuf::from(".")).join("enforcer")
}

/// Where the API's socket is when nobody says otherwise.
#[must_use]
pub fn default_api_socket() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/run/enforcer/api.sock");
    }
    let base = std::env::var_os("XDG_RUNTIME_DIR")
        .map_or_else(default_state, |d| PathBuf::from(d).join("enforcer"));
    base.join("api.sock")
}
