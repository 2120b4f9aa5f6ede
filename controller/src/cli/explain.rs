//! `enforcer explain MAC`

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Session,
    boot_configs::{Until, parse_until},
    client::{filtered, read},
    failure::Failure,
    output::{Output, clean, dash, table},
    timeline,
};
use crate::http::api::{
    explain::{ExplainDoc, FirmwareWord, Processor},
    words::Standing,
};

/// Arguments of `enforcer explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is claimed or changed: asking is safe at any time. What is supposed counts for this answer alone.\n\nExamples:\n  enforcer explain 52:54:00:77:00:01\n  enforcer explain web1 --arch arm64\n  enforcer explain web1 --activated debian                   # what would come first, and what would be in the way?\n  enforcer explain web1 --state accepted --without-activation\n  enforcer explain 52:54:00:77:00:09 --state registered --firmware uefi --label pool=web\n  enforcer explain web1 --at 2h                              # in two hours: does it still hold?"
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
    /// As if it booted with this firmware
    #[arg(long)]
    firmware: Option<FirmwareWord>,
    /// As if it were just seen, registered or accepted
    #[arg(long)]
    state: Option<Standing>,
    /// As if it had this label, NAME=VALUE, or with NAME- as if it had none of this name (may be given several times)
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// As if it asked then: a moment, or a span from now such as 2h
    #[arg(long, value_parser = parse_until)]
    at: Option<Until>,
    /// As if nothing were activated for it
    #[arg(long)]
    without_activation: bool,
    /// As if no deployment were there for it
    #[arg(long)]
    without_deployment: bool,
    /// As if nobody had read its hardware
    #[arg(long)]
    without_facts: bool,
    /// As if this boot config were activated for it, once
    #[arg(long, value_name = "CONFIG")]
    activated: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, session: &mut Session<'_>) -> Result<(), Failure> {
    let word = |value: Result<Value, serde_json::Error>| {
        let value = value.map_err(|e| Failure::Local(e.to_string()))?;
        Ok::<_, Failure>(value.as_str().map(str::to_owned))
    };
    let arch = word(serde_json::to_value(args.arch))?;
    let firmware = word(serde_json::to_value(args.firmware))?;
    let at = args.at.map(|at| at.from(session.now)).transpose()?;
    let at = at.map(|at| at.to_string());
    let labels = args.labels.join(",");
    let yes = |set: bool| set.then_some("true");
    let asked = [
        ("mac", Some(args.mac.as_str())),
        ("arch", arch.as_deref()),
        ("after_management", yes(args.after_management)),
        ("firmware", firmware.as_deref()),
        ("state", args.state.map(Standing::word)),
        ("label", Some(labels.as_str()).filter(|l| !l.is_empty())),
        ("at", at.as_deref()),
        ("without_activation", yes(args.without_activation)),
        ("without_deployment", yes(args.without_deployment)),
        ("without_facts", yes(args.without_facts)),
        ("activated", args.activated.as_deref()),
    ];
    let value = session.client.get(&filtered("/explain", asked)).await?;
    if session.printed(&args.output, &value)? {
        return Ok(());
    }
    let answer: ExplainDoc = read(&value)?;
    let mut text = words(&answer);
    // What is supposed is about no boot that was.
    if let Some(machine) = answer
        .machine
        .as_ref()
        .filter(|_| answer.supposed.is_empty())
        && let Some(slower) = timeline::slower(machine, session).await?
    {
        let _ = writeln!(text, "{slower}; see: enforcer machines timeline {machine}");
    }
    session.text(&text)
}

fn words(answer: &ExplainDoc) -> String {
    let machine = dash(answer.machine.as_ref());
    let mut text = String::new();
    let boots = match answer.supposed.as_slice() {
        [] => "boots",
        supposed => {
            let _ = writeln!(text, "if {}:", supposed.join(", and "));
            "would boot"
        }
    };
    let _ = writeln!(text, "{} ({machine}) {boots}: {}", answer.mac, answer.plan);
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
