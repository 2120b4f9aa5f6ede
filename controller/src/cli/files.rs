//! `enforcer files …`

use clap::Subcommand;
use serde_json::Value;

use super::{
    Session,
    client::encode,
    failure::Failure,
    output::{Output, size},
};
use crate::http::api::files::FileDoc;

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List uploaded files and the boot configs that need them
    #[command(
        after_help = "Example, delete all that nothing needs:\n  enforcer files list --unused -o json | jq -r '.[].sha256' | xargs -n1 enforcer files delete"
    )]
    List {
        /// Only files that nothing needs
        #[arg(long)]
        unused: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Delete a file that nothing needs
    Delete {
        /// Its SHA-256
        sha256: String,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List { unused, output } => {
            let mut items = session.client.list("/files").await?;
            items.retain(|item| !unused || item["used_by"] == Value::Array(vec![]));
            let headers = ["SHA-256", "SIZE", "USED BY"];
            session.list(&output, items, headers, |file: &FileDoc, _| {
                let users = file.used_by.join(" ");
                [file.sha256.clone(), size(file.size), users]
            })
        }
        Verb::Delete { sha256 } => {
            let path = format!("/files/{}", encode(&sha256));
            session.client.delete(&path).await?;
            eprintln!("{sha256} is deleted");
            Ok(())
        }
    }
}
