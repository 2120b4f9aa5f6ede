//! `enforcer deployments …`, and with [`ask`] what makes them.

mod ask;
mod show;
mod watch;

use clap::Subcommand;
use hyper::Method;

pub(super) use self::ask::{Capture, Deploy, EraseMachine};
pub(super) use self::ask::{capture, deploy, disk_rule, erase};
use super::{
    Session,
    client::read,
    failure::Failure,
    filters::Filters,
    output::{Columns, Listing, Output},
};
use crate::http::api::{
    deployments::{MoveBody, QueueDoc},
    words::DeploymentState,
};

/// What can be done with deployments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List deployments, newest first
    #[command(
        after_help = "Examples:\n  enforcer deployments list --open\n  enforcer deployments list --machine web1\n  enforcer deployments list --state failed -o json"
    )]
    List {
        /// Only of this machine
        #[arg(long)]
        machine: Option<String>,
        /// Only of this rollout
        #[arg(long)]
        rollout: Option<u64>,
        /// Only in this state
        #[arg(long)]
        state: Option<DeploymentState>,
        /// Only those whose end is still to come
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a deployment: where it stands, what comes next, what it did
    Show {
        /// Its number
        id: u64,
        /// Then follow it to its end; the exit code tells how it went
        #[arg(short, long)]
        watch: bool,
        #[command(flatten)]
        output: Output,
    },
    /// End a deployment; a disk that was being written does not boot then
    Cancel {
        /// Its number
        id: u64,
    },
    /// Move a waiting deployment within its machine's queue
    Move {
        /// Its number
        id: u64,
        /// Its new place; the first is 1
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        place: u32,
    },
    /// Follow a deployment to its end; the exit code tells how it went
    Watch {
        /// Its number
        id: u64,
    },
}
/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List {
            machine,
            rollout,
            state,
            open,
            filters,
            listing,
        } => {
            let rollout = rollout.map(|number| number.to_string());
            let asked = [
                ("machine", machine.as_deref()),
                ("rollout", rollout.as_deref()),
                ("state", state.map(DeploymentState::word)),
                ("open", open.then_some("true")),
            ];
            let columns = Columns::new(show::HEADERS, show::row).wide(show::WIDE);
            let path = filters.of("/deployments", asked);
            session.listed(&listing, &path, columns).await
        }
        Verb::Show { id, watch, output } => {
            let job = session.client.get(&format!("/deployments/{id}")).await?;
            session.show(&output, job, show::lines)?;
            match watch {
                true => watch::to_the_end(&[id], session).await,
                false => Ok(()),
            }
        }
        Verb::Cancel { id } => {
            let path = format!("/deployments/{id}/cancel");
            session
                .client
                .send(Method::POST, &path, &())
                .await
                .map(drop)
        }
        Verb::Move { id, place } => {
            let to = usize::try_from(place - 1).unwrap_or(usize::MAX);
            let path = format!("/deployments/{id}/move");
            let queue = session
                .client
                .send(Method::POST, &path, &MoveBody { to })
                .await?;
            let queue: QueueDoc = read(&queue)?;
            let waiting: Vec<String> = queue.waiting.iter().map(u64::to_string).collect();
            eprintln!("waiting now: {}", waiting.join(", "));
            Ok(())
        }
        Verb::Watch { id } => watch::to_the_end(&[id], session).await,
    }
}
