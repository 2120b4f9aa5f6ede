//! `enforcer setups …`

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::encode,
    failure::Failure,
    output::{Line, Output, ago, dash, when},
};
use crate::{
    http::api::{
        deployments::DiskRuleDoc,
        setups::{SetupBody, SetupDoc, SetupItemDoc},
    },
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List setups
    List(Output),
    /// Show a setup
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Write a setup: images in their order, each for a disk of its own
    #[command(
        after_help = "Deploy it with: enforcer deploy MACHINE setup:NAME\n\nExamples:\n  enforcer setups set storage-node debian:smallest data@3:serial=WD-123\n  enforcer setups set desk debian home@7:partition=home"
    )]
    Set {
        /// Its name
        name: String,
        /// IMAGE:DISK, where DISK is serial=…, model=…, by-path=… or smallest, and then ,partition=NAME or ,partition=#N
        #[arg(required = true)]
        items: Vec<String>,
        /// Words about it
        #[arg(long)]
        note: Option<String>,
    },
    /// Delete a setup; what was deployed of it goes on
    Delete {
        /// Its name
        name: String,
    },
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List(output) => {
            let items = session.client.list("/setups").await?;
            let headers = ["NAME", "IMAGES", "OWNER", "CHANGED"];
            session.list(&output, items, headers, row)
        }
        Verb::Show { name, output } => {
            let setup = session.client.get(&path(&name)).await?;
            session.show(&output, setup, lines)
        }
        Verb::Set { name, items, note } => {
            let items: Result<Vec<_>, _> = items.iter().map(|i| item(i)).collect();
            let body = SetupBody {
                items: items?,
                owner: None,
                note,
            };
            session
                .client
                .send(Method::PUT, &path(&name), &body)
                .await
                .map(drop)
        }
        Verb::Delete { name } => session.client.delete(&path(&name)).await,
    }
}

fn path(name: &str) -> String {
    format!("/setups/{}", encode(name))
}

/// Reads `debian@3:serial=…`.
fn item(text: &str) -> Result<SetupItemDoc, Failure> {
    let (image, rule) = text.split_once(':').unwrap_or((text, ""));
    let (rule, partition) = match rule.split_once("partition=") {
        Some((rule, partition)) => (rule.trim_end_matches(','), Some(partition.to_owned())),
        None => (rule, None),
    };
    let rules: Vec<String> = (!rule.is_empty())
        .then(|| rule.to_owned())
        .into_iter()
        .collect();
    Ok(SetupItemDoc {
        image: image.to_owned(),
        disk: super::deployments::disk_rule(&rules)?.unwrap_or_default(),
        partition,
        grow: false,
    })
}

fn row(setup: &SetupDoc, now: Timestamp) -> [String; 4] {
    let images: Vec<&str> = setup.items.iter().map(|i| i.image.as_str()).collect();
    [
        setup.name.clone(),
        images.join(", "),
        dash(setup.owner.clone()),
        ago(setup.updated, now),
    ]
}

fn lines(setup: &SetupDoc, now: Timestamp) -> Vec<Line> {
    let mut lines = vec![
        ("name", setup.name.clone()),
        ("owner", dash(setup.owner.clone())),
        ("note", dash(setup.note.clone())),
        ("changed", when(setup.updated, now)),
    ];
    let items = setup.items.iter();
    lines.extend(items.map(|i| ("image", place(i))));
    lines
}

fn place(item: &SetupItemDoc) -> String {
    let on = format!("{} → {}", item.image, disk(&item.disk));
    match &item.partition {
        Some(partition) => format!("{on}, partition {partition}"),
        None => on,
    }
}

fn disk(rule: &DiskRuleDoc) -> String {
    let text = |what: &str, value: &Option<String>| Some(format!("{what}={}", value.as_ref()?));
    let parts = [
        text("serial", &rule.serial),
        text("model", &rule.model),
        text("by-path", &rule.by_path),
        rule.smallest.then(|| "smallest".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "the only disk".to_owned()
    } else {
        parts.join(", ")
    }
}
