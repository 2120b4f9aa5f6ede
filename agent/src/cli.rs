//! The command line, and what its help teaches.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mesh_proto::message::Secret;

use crate::cmdline::LINK_PORT;
use crate::{GOSSIP_PORT, keystore};

/// Joins a machine to an Enforcer site.
#[derive(Debug, Parser)]
#[command(
    name = "enforcer-agent",
    version,
    about = "The Enforcer agent: makes this machine a member of its site's mesh and obeys its controller.",
    after_help = "A new machine, in three steps:\n\
        \n  1. on the controller's host:  enforcer join-tokens create\
        \n  2. here, as root:             enforcer-agent join TOKEN --controller 192.0.2.1\
        \n  3. here, as root:             systemctl enable --now enforcer-agent\n\
        \nKey and certificate are kept in /var/lib/enforcer-agent. They belong to this board:\
        \na disk that is moved or cloned to another one is enrolled anew there, with a token\
        \nof its own."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the agent can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what this machine is made of, as JSON (serial numbers need root)
    Facts(FactsArgs),
    /// Enrol this machine once and keep its key; then start the daemon
    Join(JoinArgs),
    /// Stay a member and obey the controller; systemd starts this
    Daemon(DaemonArgs),
    /// Say goodbye to the controller and delete the key
    Leave(StateArgs),
    /// Run the management OS; only its /init starts this
    Management,
}

/// For `facts`.
#[derive(Debug, Args)]
pub struct FactsArgs {
    /// Print only the digest by which the mesh knows them
    #[arg(long)]
    pub digest: bool,
}

/// Where the state is.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// Folder of the key and the certificate
    #[arg(long, value_name = "FOLDER", default_value = keystore::DEFAULT_FOLDER)]
    pub state: PathBuf,
}

/// Where an agent that shares its host with others finds its machine: a hundred of them on one host are how a mesh is
/// tried out. Nobody else needs these, so no help shows them.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// Folder whose `sys` and `proc` are the machine
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// The address to speak from, where the host has several
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub bind: Option<IpAddr>,
}

/// For `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The token a person made with `enforcer join-tokens create`; without one, a person has to compare the pairing
    /// code that is printed here
    #[arg(env = "ENFORCER_JOIN_TOKEN", hide_env_values = true, value_parser = secret)]
    pub token: Option<Secret>,
    /// Address of a controller, with its port when it is not 4848; may be given several times. Not a name: the agent
    /// does not look up names
    #[arg(long = "controller", value_name = "ADDRESS", required = true, value_parser = link_address)]
    pub controllers: Vec<SocketAddr>,
    /// Only leave the token for the daemon, which enrols when it starts: for images that are built elsewhere
    #[arg(long)]
    pub later: bool,
    /// The folder.
    #[command(flatten)]
    pub state: StateArgs,
    /// The machine.
    #[command(flatten)]
    pub lab: LabArgs,
}

/// For `daemon`.
#[derive(Debug, Args)]
pub struct DaemonArgs {
    /// Address of a controller to try beside those that are remembered
    #[arg(long = "controller", value_name = "ADDRESS", value_parser = link_address)]
    pub controllers: Vec<SocketAddr>,
    /// UDP port to gossip on; 0 takes any
    #[arg(long, value_name = "PORT", default_value_t = GOSSIP_PORT)]
    pub gossip_port: u16,
    /// Keep only a link: no gossip, and no gossip key on this machine
    #[arg(long)]
    pub leaf: bool,
    /// Only say what would be done to the machine (restart, power off, lamp, wake): for trying out
    #[arg(long)]
    pub pretend: bool,
    /// Say on standard error which members come and go, as this agent hears it: for measuring a mesh
    #[arg(long, hide = true)]
    pub say_members: bool,
    /// The folder.
    #[command(flatten)]
    pub state: StateArgs,
    /// The machine.
    #[command(flatten)]
    pub lab: LabArgs,
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.trim()))
}

fn link_address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().ok();
    let without = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    with_port
        .or_else(|| without().map(|ip| SocketAddr::new(ip, LINK_PORT)))
        .ok_or_else(|| {
            "an address is needed, such as 192.0.2.1 or 192.0.2.1:4848; names are not looked up"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_controller_is_an_address_and_its_port_may_be_left_out() {
        for (text, want) in [
            ("192.0.2.1", Some("192.0.2.1:4848")),
            ("192.0.2.1:9", Some("192.0.2.1:9")),
            ("fd00::1", Some("[fd00::1]:4848")),
            ("[fd00::1]:9", Some("[fd00::1]:9")),
            ("controller.example", None),
        ] {
            assert_eq!(
                link_address(text).ok(),
                want.map(|want| want.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let cli = Cli::parse_from([
            "enforcer-agent",
            "join",
            "enforcer-secret",
            "--controller",
            "192.0.2.1",
        ]);
        assert!(!format!("{cli:?}").contains("enforcer-secret"));
    }
}
