//! `enforcer leases …`

use clap::Subcommand;

use super::{
    Session,
    failure::Failure,
    output::{Output, ago, dash},
};
use crate::http::api::leases::LeaseDoc;

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List addresses lent to stations, also expired ones
    List {
        #[command(flatten)]
        output: Output,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    let Verb::List { output } = verb;
    let items = session.client.list("/leases").await?;
    let headers = ["ADDRESS", "MAC", "MACHINE", "HOST NAME", "EXPIRES"];
    session.list(&output, items, headers, |lease: &LeaseDoc, now| {
        [
            lease.ip.to_string(),
            lease.mac.to_string(),
            dash(lease.machine.as_ref()),
            dash(lease.hostname.as_ref()),
            ago(lease.expires, now),
        ]
    })
}
