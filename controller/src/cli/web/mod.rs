//! `enforcer web`: the web app for one person.

#[cfg(feature = "web")]
mod door;

use super::{Session, failure::Failure};

/// Where to listen.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 4890)]
    port: u16,
}

#[cfg(feature = "web")]
pub(super) async fn run(args: &Args, session: &mut Session<'_>) -> Result<(), Failure> {
    door::run(args.port, session).await
}

#[cfg(not(feature = "web"))]
pub(super) async fn run(args: &Args, _session: &mut Session<'_>) -> Result<(), Failure> {
    let port = args.port;
    Err(Failure::Local(format!(
        "nothing to show on port {port}: this program was built without the web app; build one with `--features web` (docs/WEB.md)"
    )))
}
