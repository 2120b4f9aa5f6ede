//! `enforcer support-bundle`: what others need to help with this controller, in one file that holds no secret.

use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Session,
    client::{encode, filtered, read},
    config::{api_socket, typed},
    doctor,
    failure::Failure,
    output::{Output, size, table},
};
use crate::{
    config::{Config, Flags, default_state},
    support::{self, Bundle, Part, journal, rows},
};

/// Entries of a list that are told: a fleet ten times as large as the largest that was measured.
const LISTED: usize = 10_000;
/// Jobs and activations that are told, the newest.
const NEWEST: usize = 1_000;
/// Events that are told: one answer.
const EVENTS: &str = "1000";
/// What `/metrics` may have, bytes.
const METRICS: usize = 4 << 20;

/// Arguments of `enforcer support-bundle`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it on the controller's host as root, with the settings of `enforcer serve`. When the controller does not answer, the file\ntells what the host and the state folder show. It is a tar archive packed with zstd; about.json in it says what the other files are.\n\nIt holds no secret by the way it is made: what is told is chosen field by field, and what people, machines and other programs wrote\n(labels, notes, reasons, scripts, log lines) is not among it. Names of machines and addresses are. Only lines of a machine that --logs names\nare taken as they are: read them before you send the file. Of the controller's own log, where systemd runs it, its own sentences, names and\naddresses are there.\n\nExamples:\n  sudo enforcer support-bundle\n  sudo enforcer support-bundle --list\n  sudo enforcer support-bundle /tmp/help.tar.zst --logs web1\n  tar --zstd -xOf /tmp/help.tar.zst about.json"
)]
pub struct Args {
    /// Where to; must not be there yet [default: enforcer-support-TIME.tar.zst]
    file: Option<PathBuf>,
    /// Only say what the file would hold, and write none
    #[arg(long, conflicts_with = "file")]
    list: bool,
    /// And the last lines that this machine said, word for word (may be given several times)
    #[arg(long, value_name = "MACHINE")]
    logs: Vec<String>,
    /// Settings as for `serve`; without --config the package's file is read where it is there
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, session: &mut Session<'_>) -> Result<(), Failure> {
    let Args {
        file,
        list,
        logs,
        flags,
        output,
    } = args;
    let parts = parts(flags, &logs, session).await?;
    if list {
        return listed(&parts, &output, session);
    }
    let named = session
        .now
        .strftime("enforcer-support-%Y%m%d-%H%M%S.tar.zst");
    let file = file.unwrap_or_else(|| PathBuf::from(named.to_string()));
    let count = parts.len();
    let target = file.clone();
    let written = tokio::task::spawn_blocking(move || support::write(&target, &parts));
    let bytes = written.await.map_err(|e| Failure::Local(e.to_string()))??;
    eprintln!(
        "{count} files, {}; about.json in it says what they are",
        size(bytes)
    );
    session.hint(&format!("tar --zstd -tvf {}", file.display()));
    let told = json!({"name": file.display().to_string(), "bytes": bytes});
    match session.printed(&output, &told)? {
        true => Ok(()),
        false => session.text(&format!("{}\n", file.display())),
    }
}

/// Says what would be written.
fn listed(parts: &[Part], output: &Output, session: &mut Session<'_>) -> Result<(), Failure> {
    let rows: Vec<Value> = (parts.iter())
        .map(|part| json!({"name": part.name, "bytes": part.bytes.len(), "what": part.what}))
        .collect();
    if session.printed(output, &rows)? {
        return Ok(());
    }
    let cells = |part: &Part| {
        [
            part.name.clone(),
            size(part.bytes.len() as u64),
            part.what.to_owned(),
        ]
    };
    session.text(&table(&parts.iter().map(cells).collect::<Vec<_>>()))
}

/// Everything that can be told now.
pub(super) async fn parts(
    flags: Flags,
    logs: &[String],
    session: &Session<'_>,
) -> Result<Vec<Part>, Failure> {
    let flags = flags.or_packaged().at(api_socket());
    let config = Config::load(&flags);
    let state = match &config {
        Ok(config) => config.state.clone(),
        Err(_) => flags.state.clone().unwrap_or_else(default_state),
    };
    let mut bundle = Bundle::default();
    let found = doctor::findings(flags.clone(), session).await?;
    let what = "what `enforcer doctor` found";
    bundle.document("doctor.json", what, &support::findings(found));
    let what = "the settings, and where each comes from";
    bundle.document("config.json", what, &support::settings(&flags, &typed()));
    let running = asked(&mut bundle, session).await;
    let now = session.now;
    let looked = move |state: &Path| (support::host(state, now), support::state(state, running));
    let looked = tokio::task::spawn_blocking(move || looked(&state)).await;
    let (host, state) = looked.map_err(|e| Failure::Local(e.to_string()))?;
    let what = "the host: kernel, memory, clock, interfaces, routes, disk";
    bundle.document("host.json", what, &host);
    let what = "the state folder: files and sizes, the layout and rows of the database";
    bundle.document("state.json", what, &state);
    let log = "controller-log.json";
    match journal::read().await {
        Ok(said) => {
            let what = "the controller's own log where systemd runs it, its own words alone";
            bundle.rows(log, what, &journal::lines(&said), 0);
        }
        Err(why) => bundle.lacks(log, why),
    }
    for machine in logs {
        said(&mut bundle, machine, session).await;
    }
    Ok(bundle.finish(now))
}

/// What the running controller tells; false: it does not answer.
async fn asked(bundle: &mut Bundle, session: &Session<'_>) -> bool {
    match session.client.text("/metrics", METRICS).await {
        Ok(text) => bundle.text(
            "metrics.txt",
            "the controller's metrics",
            rows::metrics(&text),
        ),
        Err(failure) => bundle.lacks("metrics.txt", &reason(&failure)),
    }
    let all = LISTED;
    let mut lists = Lists {
        bundle,
        session,
        answers: false,
    };
    lists
        .of::<rows::Machine>("machines", "machines and their states", all)
        .await;
    lists
        .of::<rows::Member>("members", "agents and their links", all)
        .await;
    lists
        .of::<rows::Activation>("activations", "what was activated, the newest", NEWEST)
        .await;
    lists
        .of::<rows::Deployment>(
            "deployments",
            "deployments and captures, the newest",
            NEWEST,
        )
        .await;
    lists
        .of::<rows::Provider>("providers", "other people's agents", all)
        .await;
    lists.of::<rows::Peer>("peers", "other sites", all).await;
    lists.events().await;
    let answers = lists.answers;
    match session
        .client
        .get("/image-store")
        .await
        .and_then(|value| read::<rows::Images>(&value))
    {
        Ok(images) => bundle.document("images.json", "how full the store of images is", &images),
        Err(failure) => bundle.lacks("images.json", &reason(&failure)),
    }
    answers
}

/// Lists of the controller on their way into an archive.
struct Lists<'a, 's> {
    bundle: &'a mut Bundle,
    session: &'a Session<'s>,
    answers: bool,
}

impl Lists<'_, '_> {
    /// The last `most` entries of a list, each as `T` has it.
    async fn of<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        what: &'static str,
        most: usize,
    ) {
        let told = self.session.client.tail(&format!("/{name}"), most).await;
        self.rows::<T>(name, what, told);
    }

    /// The newest events.
    async fn events(&mut self) {
        let path = filtered("/events", [("limit", Some(EVENTS))]);
        let told = self.session.client.get(&path).await.and_then(|page| {
            let page: crate::http::api::Page<Value> = read(&page)?;
            Ok((page.items, 0))
        });
        let read = |value: &Value| read::<rows::Event>(value).map(rows::Event::told);
        let told = told.and_then(|(items, before)| {
            let events: Result<Vec<_>, _> = items.iter().map(read).collect();
            Ok((events?, before))
        });
        self.add(
            "events",
            "the newest events; their sentences where they are ours alone",
            told,
        );
    }

    fn rows<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        what: &'static str,
        told: Result<(Vec<Value>, usize), Failure>,
    ) {
        let told = told.and_then(|(items, before)| {
            let rows: Result<Vec<T>, _> = items.iter().map(read).collect();
            Ok((rows?, before))
        });
        self.add(name, what, told);
    }

    fn add<T: Serialize>(
        &mut self,
        name: &str,
        what: &'static str,
        told: Result<(Vec<T>, usize), Failure>,
    ) {
        let file = format!("{name}.json");
        match told {
            Ok((rows, before)) => {
                self.answers = true;
                self.bundle.rows(&file, what, &rows, before);
            }
            Err(failure) => self.bundle.lacks(&file, &reason(&failure)),
        }
    }
}

/// The last lines of a machine.
async fn said(bundle: &mut Bundle, machine: &str, session: &Session<'_>) {
    let path = filtered(
        &format!("/machines/{}/logs", encode(machine)),
        [("limit", Some("1000"))],
    );
    let told = session.client.get(&path).await.and_then(|log| {
        let lines = log["lines"].as_array().cloned().unwrap_or_default();
        lines
            .iter()
            .map(read::<rows::LogLine>)
            .collect::<Result<Vec<_>, _>>()
    });
    // Whatever it is called there: a name here.
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let name = format!(
        "log-{}.json",
        machine.chars().filter(plain).take(64).collect::<String>()
    );
    match told {
        Ok(lines) => bundle.rows(
            &name,
            "what this machine said last, word for word",
            &lines,
            0,
        ),
        Err(failure) => bundle.lacks(&name, &reason(&failure)),
    }
}

/// Why something is not there: never in somebody else's words.
fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Refused(problem) => format!("the controller refused: {}", problem.code),
        Failure::Unreachable { source, .. } => format!("no controller answers: {}", source.kind()),
        Failure::Answer(_) => {
            "the controller's answer was not understood: another version?".to_owned()
        }
        Failure::Usage(_) | Failure::Far(_) | Failure::Local(_) | Failure::Output(_) => {
            "it could not be asked".to_owned()
        }
    }
}
