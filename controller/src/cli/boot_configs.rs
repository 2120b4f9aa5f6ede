//! `enforcer boot-configs …`

mod activate;
mod selected;
mod set;
mod show;
mod wait;

use clap::Subcommand;
use hyper::Method;

pub(super) use self::activate::{Until, parse_until};
use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Columns, Listing, Output},
};
use crate::http::api::{
    boot_configs::{ActivateSelectorBody, PreviewDoc},
    words::Kind,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List boot configs
    List(Listing),
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
        #[arg(long, value_parser = activate::parse_until)]
        until: Option<activate::Until>,
        /// Put it into the hands of this boot helper (name, id or MAC), which then alone serves it, also while the controller is away
        #[arg(long, value_name = "MACHINE", conflicts_with = "selector")]
        helper: Option<String>,
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

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List(listing) => {
            let columns = Columns::new(show::HEADERS, show::row);
            session.listed(&listing, "/boot-configs", columns).await
        }
        Verb::Show { name, output } => {
            let value = session.client.get(&path(&name)).await?;
            session.show(&output, value, show::details)
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
            helper,
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
            let how = activate::How {
                kind,
                until,
                helper,
                reboot,
            };
            activate::activate(session, &name, &machines, &how, &output).await
        }
        Verb::Deactivate { machines, selector } => match selector {
            Some(selector) => selected::deactivate(session, selector).await,
            None => activate::deactivate(session, machines).await,
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
    if session.printed(output, &value)? {
        return Ok(());
    }
    let preview: PreviewDoc = read(&value)?;
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
