//! `enforcer explain MAC`

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Session,
    client::{filtered, read},
    failure::Failure,
    output::{Output, clean, dash, table},
};
use crate::http::api::explain::{ExplainDoc, Processor};

/// Arguments of `enforcer explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is claimed or changed: asking is safe at any time.\n\nExamples:\n  enforcer explain 52:54:00:77:00:01\n  enforcer explain web1 --arch arm64"
)]
pub struct Args {
    /// A MAC in any spelling, also an unknown one; or a machine's name or id
    mac: String,
    /// As if it had this processor
    #[arg(long)]
    arch: Option<Processor>,
    /// As if the management OS could not be loaded
    #[arg(long)]
    after_management: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, session: &mut Session<'_>) -> Result<(), Failure> {
    let arch = args.arch.map(serde_json::to_value).transpose();
    let arch = arch.map_err(|e| Failure::Local(e.to_string()))?;
    let asked = [
        ("mac", Some(args.mac.as_str())),
        ("arch", arch.as_ref().and_then(Value::as_str)),
        ("after_management", args.after_management.then_some("true")),
    ];
    let value = session.client.get(&filtered("/explain", asked)).await?;
    if session.printed(&args.output, &value)? {
        return Ok(());
    }
    session.text(&words(&read(&value)?))
}

fn words(answer: &ExplainDoc) -> String {
    let machine = dash(answer.machine.as_ref());
    let mut text = format!("{} ({machine}) boots: {}\n", answer.mac, answer.plan);
    let rules: Vec<[String; 3]> = answer
        .why
        .iter()
        .map(|rule| {
            let mark = if rule.decided { "=>" } else { "  " };
            [mark.to_owned(), rule.rule.clone(), clean(&rule.found)]
        })
        .collect();
    text += &table(&rules);
    if !answer.helpers.is_empty() {
        let helpers = answer.helpers.join(", ");
        let _ = writeln!(text, "the same through boot helpers: {helpers}");
    }
    let _ = writeln!(text, "to its own disk by: {}", answer.local_boot.word());
    text
}
