//! `enforcer clock …`

use clap::Subcommand;
use hyper::Method;

use super::{Session, client::read, failure::Failure};
use crate::http::api::clock::ClockDoc;

/// What can be said of it.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say that the controller's clock is right after a jump of more than a day
    #[command(
        after_help = "A clock that jumps ahead is not believed for good: certificates are issued by it, but it may still be corrected.\nThe event `clock.jumped` tells of it. Compare `date` on the controller with another clock, then confirm.\n\nExample:\n  enforcer clock confirm"
    )]
    Confirm,
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Confirm => {
            let said = session.client.send(Method::POST, "/clock/confirm", &());
            let done: ClockDoc = read(&said.await?)?;
            match done.confirmed {
                true => eprintln!("the clock, {}, is taken to be right", done.now),
                false => eprintln!("nothing to confirm: the clock did not jump"),
            }
            Ok(())
        }
    }
}
