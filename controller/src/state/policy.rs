//! What the site decided, from the config file and the folders: the part of a [`View`](super::View) that is not stored.

use std::net::Ipv4Addr;

use ipxe::{Arch, LocalBoot};
use serde::{Deserialize, Serialize};

use super::{audit::Retention, lease::Subnet, name::ConfigName, trust::Digest};

/// Which machines boot the management OS without being told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discovery {
    /// None.
    Off,
    /// Registered machines whose hardware is not known yet.
    #[default]
    Registered,
    /// Every machine that asks, also unknown ones.
    All,
}

/// What makes a registered machine an accepted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// Its first enrolment with the boot's secret.
    #[default]
    Registered,
    /// A person, who compares the pairing code.
    Manual,
}

/// The mesh, as a booting machine is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshPolicy {
    /// The site's name, a host-name label.
    pub site: String,
    /// SHA-256 of the CA certificate's DER.
    pub ca_sha256: Digest,
    /// UDP port of the link.
    pub port: u16,
}

/// A management OS that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementOs {
    /// The processor it is built for.
    pub arch: Arch,
    /// `virtio` or `generic`.
    pub flavour: String,
    /// Kernel version.
    pub version: String,
    /// Path of the folder on the boot HTTP server: `/assets/management-os/amd64-generic`.
    pub path: String,
}

/// The site's rules, as `decide` needs them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Who boots the management OS.
    pub discovery: Discovery,
    /// The boot config that discovery starts in its place: it brings an agent that is not ours.
    pub discovery_boot: Option<ConfigName>,
    /// What makes a registered machine an accepted one.
    pub accept: Accept,
    /// The mesh; `None`: there is none, and the management OS is told of none.
    pub mesh: Option<MeshPolicy>,
    /// Installed management OSes, the preferred one first.
    pub management: Vec<ManagementOs>,
    /// Kernel arguments for the management OS, such as its consoles.
    pub management_cmdline: String,
    /// How long an idle management OS waits, seconds; `None`: forever.
    pub idle_wait_s: Option<u32>,
    /// The site's local-boot method for machines without one of their own.
    pub local_boot: LocalBoot,
    /// Subnets we lend addresses on; empty unless in DHCP server mode.
    pub subnets: Vec<Subnet>,
    /// Addresses of the server's own interfaces: never lent.
    pub own_addresses: Vec<Ipv4Addr>,
    /// How much the audit keeps.
    pub audit: Retention,
}
