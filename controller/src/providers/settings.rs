//! What a person says of a provider: `[[providers]]` of the configuration.

use std::{fmt, path::PathBuf};

use crate::state::provider::{ProviderKind, ProviderName};

/// A provider to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Its name here.
    pub name: ProviderName,
    /// Where it is, and how it is asked.
    pub at: ProviderAddress,
    /// The file with Serf's RPC key, or Consul's ACL token; read for each connection, so that a new one needs no restart.
    pub secret_file: Option<PathBuf>,
}

/// Where a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderAddress {
    /// The RPC of a Serf agent.
    Serf {
        /// Host name or address.
        host: String,
        /// TCP port; 7373 when nobody says otherwise.
        port: u16,
    },
    /// The HTTP API of a Consul agent or server.
    Consul {
        /// `http://host:port` or `https://host:port`.
        url: String,
        /// The CA that speaks for it; `None`: this host's.
        ca_file: Option<PathBuf>,
    },
}

impl fmt::Display for ProviderAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serf { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Serf { host, port } => write!(f, "{host}:{port}"),
            Self::Consul { url, .. } => f.write_str(url),
        }
    }
}

impl ProviderSettings {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> ProviderKind {
        match self.at {
            ProviderAddress::Serf { .. } => ProviderKind::Serf,
            ProviderAddress::Consul { .. } => ProviderKind::Consul,
        }
    }
}
