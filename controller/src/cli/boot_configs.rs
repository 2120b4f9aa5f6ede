//! `enforcer boot-configs …`

mod selected;
mod set;
mod wait;

use std::fmt::Write as _;

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    commands,
    failure::Failure,
    output::{Format, Line, Output, ago, size, when},
    span::{Span, parse_span},
};
use crate::{
    http::api::{
        activations::{ActivationDoc, DeactivateBody},
        boot_configs::{
            ActivateBody, ActivateSelectorBody, AssetDoc, ConfigDoc, ConfigSummary, FileState,
            PresetDoc, PreviewDoc, ProgramDoc,
        },
        commands::Doing,
        machines::MachineDoc,
        words::{Kind, Level, MemberState},
    },
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List boot configs
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show a boot config
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Write a boot config: an operating system with your script, kernel and initrds, or an iPXE script of your own
    Set(Box<set::SetArgs>),
    /// Fetch the remote files of a boot config again: their servers may have newer ones
    Fetch {
        /// Its name
        name: String,
        /// Do not wait until they are here
        #[arg(long)]
        no_wait: bool,
    },
    /// Delete a boot config that is active for no machine
    Delete {
        /// Its name
        name: String,
    },
    /// Show the script that a machine would be served, byte for byte
    #[command(
        after_help = "Examples:\n  enforcer boot-configs preview debian web1\n  enforcer boot-configs preview debian web1 --answer preseed.cfg"
    )]
    Preview {
        /// The boot config
        name: String,
        /// Name, id or MAC of a known machine
        machine: String,
        /// Show this answer file instead
        #[arg(long)]
        answer: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Make a boot config due: the machines' next boot gets it
    #[command(
        after_help = "A one-shot activation is spent once its evidence is seen; a standing one is served on every boot until it is\ndeactivated. Activating does not reboot the machine; --reboot does, through its agent.\n\nExamples:\n  enforcer boot-configs activate debian web1\n  enforcer boot-configs activate rescue web1 web2 --until 2h\n  enforcer boot-configs activate live kiosk1 --kind standing\n  enforcer boot-configs activate live --selector pool=kiosk --kind standing --priority 10\n\nOf several that are due a machine gets the one-shot one, else its own standing one, else that of the selector with the highest\npriority. A spent one is armed again by activating it again. What writes to a disk cannot be standing."
    )]
    Activate {
        /// The boot config
        name: String,
        /// Name, id or MAC of registered machines
        #[arg(required_unless_present = "selector")]
        machines: Vec<String>,
        /// In place of names: all registered machines whose labels fit now, such as pool=web,rack!=r1
        #[arg(long, conflicts_with = "machines")]
        selector: Option<String>,
        /// Of two standing configs by selectors the one with the higher priority is served
        #[arg(
            long,
            requires = "selector",
            default_value_t = 0,
            allow_negative_numbers = true
        )]
        priority: i32,
        /// Whether it ends with its first success
        #[arg(long, default_value = "one-shot")]
        kind: Kind,
        /// Not served after this: a span (`30m`, `2h`, `7d`) or a moment (`2026-01-02T03:04:05Z`)
        #[arg(long, value_parser = parse_until)]
        until: Option<Until>,
        /// Restart the machines now, through their agents
        #[arg(long)]
        reboot: bool,
        #[command(flatten)]
        output: Output,
    },
    /// End what is active for machines
    Deactivate {
        /// Name, id or MAC; of several configs that are due it ends what the machine would boot next
        #[arg(required_unless_present = "selector")]
        machines: Vec<String>,
        /// All that this selector made due, as it was written then
        #[arg(long, conflicts_with = "machines")]
        selector: Option<String>,
    },
}

/// A time limit as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    In(Span),
    At(Timestamp),
}

fn parse_until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse() {
        return Ok(Until::At(at));
    }
    let wrong = |e| format!("{e}, or a moment like 2026-01-02T03:04:05Z");
    parse_span(text).map(Until::In).map_err(wrong)
}

impl Until {
    fn from(self, now: Timestamp) -> Result<Timestamp, Failure> {
        match self {
            Self::At(at) => Ok(at),
            Self::In(Span(span)) => now
                .checked_add(span)
                .map_err(|e| Failure::Usage(format!("--until: {e}"))),
        }
    }
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List { output } => {
            let items = session.client.list("/boot-configs?").await?;
            session.list(&output, items, HEADERS, row)
        }
        Verb::Show { name, output } => {
            let value = session.client.get(&path(&name)).await?;
            session.show(&output, value, details)
        }
        Verb::Set(args) => set::run(*args, session).await,
        Verb::Fetch { name, no_wait } => {
            let path = format!("{}/fetch", path(&name));
            session.client.send(Method::POST, &path, &()).await?;
            match no_wait {
                true => Ok(()),
                false => wait::for_files(&name, session).await,
            }
        }
        Verb::Delete { name } => {
            session.client.delete(&path(&name)).await?;
            eprintln!("{name} is deleted");
            Ok(())
        }
        Verb::Preview {
            name,
            machine,
            answer,
            output,
        } => preview(session, &name, &machine, answer, &output).await,
        Verb::Activate {
            name,
            machines,
            selector,
            priority,
            kind,
            until,
            reboot,
            output,
        } => {
            let until = until.map(|u| u.from(session.now)).transpose()?;
            if let Some(selector) = selector {
                let body = ActivateSelectorBody {
                    selector,
                    priority,
                    kind,
                    until,
                };
                return selected::activate(session, &name, &body, reboot, &output).await;
            }
            if reboot {
                ensure_reachable(&machines, session).await?;
            }
            activate(session, &name, &machines, (kind, until), &output).await?;
            if reboot {
                for machine in &machines {
                    commands::issue(Doing::Reboot, None, machine, session).await?;
                }
            }
            Ok(())
        }
        Verb::Deactivate { machines, selector } => match selector {
            Some(selector) => selected::deactivate(session, selector).await,
            None => deactivate(session, machines).await,
        },
    }
}

fn path(name: &str) -> String {
    format!("/boot-configs/{}", encode(name))
}

async fn preview(
    session: &mut Session<'_>,
    name: &str,
    machine: &str,
    answer: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let path = format!("{}/preview?machine={}", path(name), encode(machine));
    let value = session.client.get(&path).await?;
    if output.format == Format::Json {
        return session.json(&value);
    }
    let preview: PreviewDoc = read(value)?;
    let Some(answer) = answer else {
        return session.text(&preview.script);
    };
    let known: Vec<&str> = preview.answers.keys().map(String::as_str).collect();
    let missing = || {
        Failure::Local(format!(
            "{name} has no answer file '{answer}'; it has: {}",
            known.join(", ")
        ))
    };
    session.text(preview.answers.get(&answer).ok_or_else(missing)?)
}

/// Nothing is armed for machines that would then not restart: somebody else's power button would decide when it runs.
async fn ensure_reachable(machines: &[String], session: &Session<'_>) -> Result<(), Failure> {
    for machine in machines {
        let path = format!("/machines/{}", encode(machine));
        let known: MachineDoc = read(session.client.get(&path).await?)?;
        let state = known.member.map(|member| member.state);
        if state != Some(MemberState::Alive) {
            let word = state.map_or("no member of the mesh", MemberState::word);
            return Err(Failure::Local(format!(
                "{} is {word} and cannot be told to reboot: nothing was armed; without --reboot it would be, for its next boot",
                known.name
            )));
        }
    }
    Ok(())
}

async fn activate(
    session: &mut Session<'_>,
    name: &str,
    machines: &[String],
    (kind, until): (Kind, Option<Timestamp>),
    output: &Output,
) -> Result<(), Failure> {
    let path = format!("{}/activate", path(name));
    let mut armed = Vec::new();
    for machine in machines {
        let body = ActivateBody {
            machine: machine.clone(),
            kind,
            until,
        };
        let value = session.client.send(Method::POST, &path, &body).await?;
        let activation: ActivationDoc = read(value.clone())?;
        eprintln!(
            "{name} is armed for {} (activation {})",
            activation.machine_name, activation.id
        );
        armed.push(value);
    }
    match output.format {
        Format::Table => Ok(()),
        Format::Json => session.json(&armed),
    }
}

async fn deactivate(session: &Session<'_>, machines: Vec<String>) -> Result<(), Failure> {
    for machine in machines {
        let body = DeactivateBody { machine };
        let path = "/activations/deactivate";
        let value = session.client.send(Method::POST, path, &body).await?;
        let ended: ActivationDoc = read(value)?;
        eprintln!("{} is ended for {}", ended.config, ended.machine_name);
    }
    Ok(())
}

const HEADERS: [&str; 7] = [
    "NAME",
    "TYPE",
    "REVISION",
    "FILES",
    "EVIDENCE",
    "ACTIVE FOR",
    "CHANGED",
];

fn row(config: &ConfigSummary, now: Timestamp) -> [String; 7] {
    let files: Vec<&str> = config
        .files
        .iter()
        .chain(&config.answers)
        .map(String::as_str)
        .collect();
    [
        config.name.clone(),
        config.r#type.clone(),
        config.revision.to_string(),
        files.join(" "),
        config.evidence.word().to_owned(),
        config.active_for.join(" "),
        ago(config.updated, now),
    ]
}

fn details(config: &ConfigDoc, now: Timestamp) -> Vec<Line> {
    let mut lines = vec![
        ("name", config.name.clone()),
        ("revision", config.revision.to_string()),
        ("changed", when(config.updated, now)),
        ("evidence", config.evidence.word().to_owned()),
        (
            "level",
            config
                .level
                .map_or("all may read it", Level::word)
                .to_owned(),
        ),
    ];
    lines.extend(config.preset.iter().map(|p| ("system", system(p))));
    match &config.program {
        ProgramDoc::Kernel {
            kernel,
            initrds,
            cmdline,
        } => {
            lines.push(("kernel", asset(kernel)));
            lines.extend(initrds.iter().map(|i| ("initrd", asset(i))));
            lines.push(("cmdline", cmdline.clone()));
        }
        ProgramDoc::Ipxe { script, files } => {
            lines.extend(script.lines().map(|l| ("script", l.to_owned())));
            lines.extend(files.iter().map(|f| ("file", asset(f))));
        }
    }
    lines.extend(config.overlays.iter().map(|name| ("overlay", name.clone())));
    for (name, text) in &config.answers {
        lines.push(("answer", format!("{name} ({})", size(text.len() as u64))));
    }
    lines
}

fn system(preset: &PresetDoc) -> String {
    let words = [
        Some(preset.os.word()),
        preset.release.as_deref(),
        Some(preset.arch.word()),
        preset.location.as_deref(),
        preset.disk.as_deref(),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn asset(asset: &AssetDoc) -> String {
    let mut text = format!("{} (", asset.name);
    let _ = match (asset.state, &asset.sha256, asset.got) {
        (FileState::Uploaded | FileState::Cached, Some(sum), _) => {
            let sum = sum.get(..12).unwrap_or_default();
            write!(text, "{}, sha256 {sum}…)", size(asset.size))
        }
        (FileState::Fetching, _, Some(got)) if asset.size > 0 => {
            write!(text, "fetching: {} of {})", size(got), size(asset.size))
        }
        (FileState::Fetching, _, Some(got)) => write!(text, "fetching: {})", size(got)),
        (FileState::Failed, ..) => {
            write!(
                text,
                "failed: {})",
                asset.why.as_deref().unwrap_or_default()
            )
        }
        _ => write!(text, "fetching: waits for its turn)"),
    };
    if let Some(url) = &asset.url {
        let _ = write!(text, " from {url}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_a_span_or_a_moment() {
        let hours = |h| Ok(Until::In(Span(jiff::SignedDuration::from_hours(h))));
        assert_eq!(parse_until("2h"), hours(2));
        assert_eq!(parse_until("7d"), hours(168));
        let moment = "2026-01-02T03:04:05Z";
        assert_eq!(parse_until(moment), Ok(Until::At(moment.parse().unwrap())));
        for bad in ["", "2", "-2h", "0s", "tomorrow", "-1d"] {
            assert!(parse_until(bad).is_err(), "{bad}");
        }
    }
}
