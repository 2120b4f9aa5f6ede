//! The flags and variables of `enforcer serve`, over the file.

use std::path::PathBuf;

use clap::Args;

use super::{Config, Mistake, values};

/// The file that the package's unit serves.
const PACKAGED: &str = "/etc/enforcer/enforcer.toml";

/// What `enforcer serve` takes. Each flag also has a variable; a flag beats its variable, a variable beats the file.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Config file (TOML). Without one the defaults serve: proxyDHCP, safe on an existing LAN.
    #[arg(long, env = "ENFORCER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State folder: database, firmware, kernels.
    #[arg(long, env = "ENFORCER_STATE", value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// Local socket of the API, from the flag that all commands have.
    #[arg(skip)]
    pub api_socket: Option<PathBuf>,
    /// How DHCP is served: `proxy` beside another server, `server` with pools of its own, or `off`.
    #[arg(long, env = "ENFORCER_DHCP", value_name = "MODE")]
    pub dhcp: Option<String>,
    /// Serve only these interfaces.
    #[arg(
        long = "interface",
        env = "ENFORCER_INTERFACES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub interfaces: Vec<String>,
    /// Which machines boot the management OS unasked: `off`, `registered` or `all`.
    #[arg(long, env = "ENFORCER_DISCOVERY", value_name = "WHO")]
    pub discovery: Option<String>,
    /// Send our iPXE first to machines whose ROM already is one: `never` or `always`.
    #[arg(long, env = "ENFORCER_RECHAIN", value_name = "WHEN")]
    pub rechain: Option<String>,
    /// Port of boot HTTP.
    #[arg(long, env = "ENFORCER_HTTP_PORT", value_name = "PORT")]
    pub http_port: Option<u16>,
    /// Port of the agents' links (UDP).
    #[arg(long, env = "ENFORCER_MESH_PORT", value_name = "PORT")]
    pub mesh_port: Option<u16>,
    /// Port of the members' gossip (UDP).
    #[arg(long, env = "ENFORCER_GOSSIP_PORT", value_name = "PORT")]
    pub gossip_port: Option<u16>,
    /// How much to log: `error`, `warn`, `info`, `debug`, `trace`, also per part as in `info,enforcer::boot=debug`.
    #[arg(long, env = "ENFORCER_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
}

impl Flags {
    /// The same, with the API socket that was named before the command.
    #[must_use]
    pub fn at(self, api_socket: Option<PathBuf>) -> Self {
        Self { api_socket, ..self }
    }

    /// The same; when no file was named, with the package's one where there is one.
    #[must_use]
    pub fn or_packaged(self) -> Self {
        let packaged = || Some(PathBuf::from(PACKAGED)).filter(|path| path.exists());
        Self {
            config: self.config.or_else(packaged),
            ..self
        }
    }

    /// Puts what was given over `config`.
    pub(super) fn apply(&self, config: &mut Config, mistakes: &mut Vec<Mistake>) {
        let mut given = Given { mistakes };
        given.text(
            "--dhcp (ENFORCER_DHCP)",
            self.dhcp.as_deref(),
            values::dhcp,
            &mut config.dhcp,
        );
        given.text(
            "--discovery (ENFORCER_DISCOVERY)",
            self.discovery.as_deref(),
            values::discovery,
            &mut config.discovery,
        );
        given.text(
            "--rechain (ENFORCER_RECHAIN)",
            self.rechain.as_deref(),
            values::rechain,
            &mut config.rechain,
        );
        let ports = [
            (self.http_port, &mut config.http_port),
            (self.mesh_port, &mut config.mesh_port),
            (self.gossip_port, &mut config.gossip_port),
        ];
        for (given, port) in ports {
            *port = given.unwrap_or(*port);
        }
        if let Some(state) = &self.state {
            config.state.clone_from(state);
        }
        if let Some(socket) = &self.api_socket {
            config.api_socket.clone_from(socket);
        }
        if !self.interfaces.is_empty() {
            config.interfaces.clone_from(&self.interfaces);
        }
    }
}

struct Given<'m> {
    mistakes: &'m mut Vec<Mistake>,
}

impl Given<'_> {
    fn text<T>(
        &mut self,
        at: &str,
        text: Option<&str>,
        parse: fn(&str) -> Result<T, String>,
        field: &mut T,
    ) {
        match text.map(parse) {
            None => {}
            Some(Ok(value)) => *field = value,
            Some(Err(problem)) => self.mistakes.push(Mistake {
                at: at.to_owned(),
                problem,
            }),
        }
    }
}
