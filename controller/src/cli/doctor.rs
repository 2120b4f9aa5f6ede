//! `enforcer doctor`: what is wrong with this host, and what cures it.

use super::{
    Session,
    client::read,
    failure::Failure,
    output::{Output, clean, table},
};
use crate::{
    config::{Config, Flags},
    doctor::{self, Controller, Finding, Findings, Grade},
    http::api::{Page, events::EventDoc},
};

/// Arguments of `enforcer doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it on the controller's host as root, with the settings of `enforcer serve`: also before the first start, also when the\ncontroller does not start. It asks each served segment once for its DHCP servers and takes nothing from them. Each code has a\nrow in docs/TROUBLESHOOTING.md. The exit code is 1 when there is a problem; warnings and notes leave it 0.\n\nExamples:\n  sudo enforcer doctor\n  sudo enforcer doctor --config /etc/enforcer/enforcer.toml -o json"
)]
pub struct Args {
    /// Settings as for `serve`; without --config the package's file is read where it is there
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, session: &mut Session<'_>) -> Result<(), Failure> {
    let found = findings(args.flags, session).await?;
    if !session.printed(&args.output, &found)? {
        session.text(&words(&found))?;
    }
    match found.iter().filter(|f| f.grade == Grade::Problem).count() {
        0 => Ok(()),
        1 => Err(Failure::Local("there is a problem".to_owned())),
        many => Err(Failure::Local(format!("there are {many} problems"))),
    }
}

/// Everything that was found, the worst first.
pub(super) async fn findings(flags: Flags, session: &Session<'_>) -> Result<Vec<Finding>, Failure> {
    let config = match Config::load(&flags.or_packaged()) {
        Ok(config) => config,
        Err(error) => {
            let mut found = Findings::default();
            let cure = "`enforcer config check` shows each mistake; nothing else was looked at";
            found.add(Grade::Problem, "config-invalid", error.to_string(), cure);
            return Ok(found.sorted());
        }
    };
    let controller = match session.client.get("/events?limit=1").await {
        Ok(page) => {
            let page: Page<EventDoc> = read(&page)?;
            Controller::Answers(page.items.last().map(|event| event.at))
        }
        Err(failure) => Controller::Away(failure.to_string()),
    };
    let now = session.now;
    // It waits for what comes over the wire.
    let looked = tokio::task::spawn_blocking(move || doctor::examine(&config, &controller, now));
    let found = looked.await.map_err(|e| Failure::Local(e.to_string()))?;
    Ok(found.sorted())
}

fn words(found: &[Finding]) -> String {
    let rows = found.iter().map(|f| {
        let cure = match f.cure.as_str() {
            "" => String::new(),
            cure => format!("; {cure}"),
        };
        [
            f.grade.word().to_owned(),
            f.code.clone(),
            clean(&format!("{}{cure}", f.found)),
        ]
    });
    table(&rows.collect::<Vec<_>>())
}
