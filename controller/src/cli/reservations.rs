//! `enforcer reservations …`

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::encode,
    failure::Failure,
    output::{Output, dash},
};
use crate::http::api::reservations::{ReservationDoc, Reserve};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List addresses fixed for stations
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Fix an address for a station; replaces the one it has
    #[command(
        after_help = "Example:\n  enforcer reservations set 52:54:00:77:00:01 10.0.0.5 --hostname web1"
    )]
    Set {
        /// The MAC, in any spelling
        mac: String,
        /// The address: inside the subnet, also outside the pool
        ip: String,
        /// A host name to give to the station
        #[arg(long)]
        hostname: Option<String>,
    },
    /// End a reservation; a lease on the address runs on
    Delete {
        /// The MAC, in any spelling
        mac: String,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List { output } => {
            let items = session.client.list("/reservations").await?;
            let headers = ["ADDRESS", "MAC", "MACHINE", "HOST NAME"];
            session.list(&output, items, headers, |kept: &ReservationDoc, _| {
                [
                    kept.ip.to_string(),
                    kept.mac.to_string(),
                    dash(kept.machine.as_ref()),
                    dash(kept.hostname.as_ref()),
                ]
            })
        }
        Verb::Set { mac, ip, hostname } => {
            let body = Reserve { ip, hostname };
            session.client.send(Method::PUT, &path(&mac), &body).await?;
            eprintln!("{} is reserved for {mac}", body.ip);
            Ok(())
        }
        Verb::Delete { mac } => {
            session.client.delete(&path(&mac)).await?;
            eprintln!("{mac} has no reservation any more");
            Ok(())
        }
    }
}

fn path(mac: &str) -> String {
    format!("/reservations/{}", encode(mac))
}
