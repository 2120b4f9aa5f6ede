//! `enforcer machines helper NAME on|off`

use super::{Session, failure::Failure, trust::say};
use crate::http::api::helpers::HelperBody;

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Switch {
    /// It serves.
    On,
    /// It does not.
    Off,
}

/// Arguments of `enforcer machines helper`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A helper serves DHCP-proxy, TFTP and boot HTTP where it stands and asks the controller each question over its link:\nno DHCP relay, no switch configuration. Its agent runs on an installed OS as root, is well proved (t2) and no leaf.\n\nExamples:\n  enforcer machines helper rack7-a on\n  enforcer machines helper rack7-a on --interface eth1\n  enforcer machines helper rack7-a off"
)]
pub struct Args {
    /// Name, id or MAC in any spelling
    machine: String,
    /// Whether it shall serve
    switch: Switch,
    /// An interface to serve; may be given several times [default: all that are up and have an IPv4 address]
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
}

/// Gives or takes the role.
pub(super) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let on = args.switch == Switch::On;
    let interfaces = args.interfaces;
    let body = HelperBody { on, interfaces };
    let told = say(&args.machine, "helper", &body, session).await?;
    let what = match on {
        true => "serves boot on its segment; `enforcer machines show` says how that goes",
        false => "is no boot helper any more",
    };
    eprintln!("{} {what}", told.name);
    Ok(())
}
