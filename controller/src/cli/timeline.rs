//! `enforcer machines timeline`: the steps of a machine's last boots, how long each took, and what was slower than usual.

use std::fmt::Write as _;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Output, clean, moment, table},
};
use crate::http::api::{
    Page,
    boots::{BootDoc, ComparedDoc},
};

/// Arguments of `enforcer machines timeline`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A boot is compared with the last ones that were told the same and came as far, five at most.\n\nExamples:\n  enforcer machines timeline web1\n  enforcer machines timeline web1 --boots 5\n  enforcer machines timeline web1 -o json | jq '.[0].compared'"
)]
pub struct Args {
    /// Name, id or MAC in any spelling
    machine: String,
    /// How many boots to show, the newest last
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    boots: u16,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, session: &mut Session<'_>) -> Result<(), Failure> {
    let path = format!(
        "/machines/{}/boots?limit={}",
        encode(&args.machine),
        args.boots
    );
    let page: Page<serde_json::Value> = read(&session.client.get(&path).await?)?;
    if session.printed(&args.output, &page.items)? {
        return Ok(());
    }
    if page.items.is_empty() {
        eprintln!("no boot of {} is in the record", clean(&args.machine));
    }
    for boot in page.items.iter().rev() {
        session.text(&words(&read(boot)?))?;
    }
    Ok(())
}

/// What `explain` says of a machine's last boot: one line, where it was slower than usual.
pub(super) async fn slower(
    machine: &str,
    session: &Session<'_>,
) -> Result<Option<String>, Failure> {
    let path = format!("/machines/{}/boots?limit=1", encode(machine));
    let page: Page<BootDoc> = read(&session.client.get(&path).await?)?;
    let boot = page.items.first();
    let told = boot.and_then(|b| b.compared.as_ref()?.slower.as_ref().map(|_| verdict(b)));
    Ok(told.map(|told| format!("its last boot {told}")))
}

fn words(boot: &BootDoc) -> String {
    let mut text = format!(
        "{}  {}\n",
        moment(boot.from),
        boot.plan.as_deref().unwrap_or("-")
    );
    let rows: Vec<[String; 4]> = boot
        .steps
        .iter()
        .map(|step| {
            let since = step.at.duration_since(boot.from);
            let since = u64::try_from(since.as_millis()).unwrap_or_default();
            [
                format!("  +{}", span(since)),
                span(step.took_ms),
                step.kind.clone(),
                clean(&step.text),
            ]
        })
        .collect();
    text += &table(&rows);
    let _ = writeln!(text, "  it {}", verdict(boot));
    text
}

/// How long it took, beside what is usual.
fn verdict(boot: &BootDoc) -> String {
    let took = format!("took {}", span(boot.took_ms));
    match &boot.compared {
        Some(ComparedDoc {
            boots,
            slower: Some(slower),
            ..
        }) => format!(
            "{took}: slower than the last {boots} boots by {}, at {} ({} more)",
            span(slower.by_ms),
            slower.at,
            span(slower.at_by_ms)
        ),
        Some(ComparedDoc {
            boots, usual_ms, ..
        }) => format!("{took}; the last {boots} boots took {}", span(*usual_ms)),
        None if boot.finished => took,
        None => format!("{took} so far"),
    }
}

/// `850 ms`, `12.3 s`, `2 m 05 s`.
fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} m {:02} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::boots::{BootStepDoc, SlowerDoc};

    fn boot(slower: Option<SlowerDoc>) -> BootDoc {
        let from = "2026-01-01T00:00:00Z".parse().unwrap();
        let step = |kind: &str, s: i64, took_ms| BootStepDoc {
            seq: 1,
            kind: kind.to_owned(),
            text: "x".to_owned(),
            at: from + jiff::SignedDuration::from_secs(s),
            took_ms,
        };
        BootDoc {
            from,
            took_ms: 65_000,
            finished: true,
            plan: Some("config".to_owned()),
            steps: vec![
                step("boot.told", 0, 65_000),
                step("activation.confirmed", 65, 0),
            ],
            compared: Some(ComparedDoc {
                boots: 5,
                usual_ms: 50_000,
                slower,
            }),
        }
    }

    #[test]
    fn a_slow_boot_says_by_how_much_and_where() {
        let slow = boot(Some(SlowerDoc {
            by_ms: 15_000,
            at: "boot.told".to_owned(),
            at_by_ms: 14_250,
        }));
        let text = words(&slow);
        let verdict =
            "it took 1 m 05 s: slower than the last 5 boots by 15.0 s, at boot.told (14.2 s more)";
        assert!(text.contains(verdict), "{text}");
        assert!(text.contains("+1 m 05 s"), "{text}");
        let usual = words(&boot(None));
        assert!(
            usual.contains("it took 1 m 05 s; the last 5 boots took 50.0 s"),
            "{usual}"
        );
    }

    #[test]
    fn spans_are_told_as_people_do() {
        assert_eq!(
            [span(0), span(999), span(1000), span(59_999), span(60_000)],
            ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 m 00 s"]
        );
    }
}
