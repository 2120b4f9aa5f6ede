//! Waiting until a config's remote files are here, with a line that tells how far they are.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use super::path;
use crate::{
    cli::{Session, client::read, failure::Failure, output::size},
    http::api::boot_configs::{AssetDoc, ConfigDoc, FileState, ProgramDoc},
};

/// How often the controller is asked.
const EVERY: Duration = Duration::from_millis(500);

/// Waits until every file of the config is here, or one could not be fetched.
pub(super) async fn for_files(name: &str, session: &Session<'_>) -> Result<(), Failure> {
    let terminal = io::stderr().is_terminal();
    let mut asked = false;
    loop {
        let config: ConfigDoc = read(&session.client.get(&path(name)).await?)?;
        let files = files(&config.program);
        if let Some(failed) = files.iter().find(|f| f.state == FileState::Failed) {
            let why = failed.why.as_deref().unwrap_or_default();
            return Err(Failure::Local(format!(
                "{} is not here: {why}",
                failed.name
            )));
        }
        let open = files.iter().find(|f| f.state == FileState::Fetching);
        let Some(open) = open else {
            if asked {
                let sizes: Vec<String> = files
                    .iter()
                    .map(|f| format!("{} ({})", f.name, size(f.size)))
                    .collect();
                eprintln!(
                    "{}its files are here: {}",
                    if terminal { "\r\x1b[K" } else { "" },
                    sizes.join(", ")
                );
            }
            return Ok(());
        };
        if terminal {
            let got = size(open.got.unwrap_or_default());
            eprint!(
                "\r\x1b[Kfetching {}: {got} of {}",
                open.name,
                size(open.size)
            );
        }
        asked = true;
        tokio::time::sleep(EVERY).await;
    }
}

fn files(program: &ProgramDoc) -> Vec<&AssetDoc> {
    match program {
        ProgramDoc::Kernel {
            kernel, initrds, ..
        } => std::iter::once(kernel).chain(initrds).collect(),
        ProgramDoc::Ipxe { files, .. } => files.iter().collect(),
    }
}
