//! `enforcer machines …`

mod set;
mod show;
mod sites;

use clap::Subcommand;

use super::{
    Session,
    client::{encode, read},
    commands,
    consent::Consent,
    deployments, facts,
    failure::Failure,
    filters::Filters,
    helpers, holds, logs,
    output::{Columns, Listing, Output},
    power,
    span::{Span, parse_span},
    timeline, trust,
};
use crate::http::api::{
    commands::Doing,
    machines::{MachineDoc, Register},
    power::PowerDo,
    trust::Keep,
    words::Standing,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List known machines
    #[command(
        after_help = "Examples:\n  enforcer machines list\n  enforcer machines list --state seen\n  enforcer machines list --label pool=web --label rack!=r1\n  enforcer machines list --query 'r7 dell'\n  enforcer machines list --site all\n  enforcer machines list --watch\n  enforcer machines list -o json | jq -r '.[].name'"
    )]
    List {
        /// Only machines that were just seen, or that somebody registered
        #[arg(long)]
        state: Option<Standing>,
        /// Only machines whose labels fit: pool=web,rack!=r1
        #[arg(long)]
        selector: Option<String>,
        /// Only machines of this owner
        #[arg(long)]
        owner: Option<String>,
        /// Machines of this site, or of `all`: what other sites show of theirs, to look at
        #[arg(long, value_name = "all|NAME", conflicts_with_all = ["state", "selector", "owner", "watch", "labels", "query"])]
        site: Option<String>,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a machine
    Show {
        /// Name, id or MAC in any spelling
        machine: String,
        #[command(flatten)]
        output: Output,
    },
    /// Say that a machine is yours: from now on it is answered
    #[command(
        after_help = "Examples:\n  enforcer machines register 52:54:00:77:00:01 --name web1\n  enforcer machines register 5254.0077.0001"
    )]
    Register {
        /// The MAC of its boot NIC, in any spelling
        mac: String,
        /// A name for it: letters, digits, hyphens
        #[arg(long)]
        name: Option<String>,
    },
    /// Rename a machine, label it, or say how it starts its disk and who switches it
    #[command(
        after_help = "Examples:\n  enforcer machines set web1 --name web2\n  enforcer machines set web1 --local-boot exit-failure\n  enforcer machines set web1 --power ipmi://admin@10.0.9.1 --power-secret-file -\n  enforcer machines set web1 --power redfish://admin@10.0.9.1?sha256=AB:CD:...   # its own certificate\n  enforcer machines set web1 --power wol\n  enforcer machines set web1 --label pool=web --label spare-"
    )]
    Set(set::Args),
    /// Switch a machine on or off, or ask whether it is on
    #[command(
        after_help = "Examples:\n  enforcer machines power web1 status\n  enforcer machines power web1 cycle"
    )]
    Power {
        /// Name, id or MAC in any spelling
        machine: String,
        /// What to do
        r#do: PowerDo,
        #[command(flatten)]
        output: Output,
    },
    /// Say that a machine may be written to; with the code on its screen its key counts as well proved
    #[command(
        after_help = "The code is computed on both sides and never sent: when the machine's screen shows the same as `machines show`,\nnobody stands between. Type the one on the screen.\n\nExamples:\n  enforcer machines accept web1 --code 1234-5678\n  enforcer machines accept web1"
    )]
    Accept {
        /// Name, id or MAC in any spelling
        machine: String,
        /// The code on its screen
        #[arg(long)]
        code: Option<String>,
    },
    /// Say that a machine is not yours: what waits is turned away, its keys end at once
    Refuse {
        /// Name, id or MAC in any spelling
        machine: String,
    },
    /// Decide which of two is the machine
    Resolve {
        /// Name, id or MAC in any spelling
        machine: String,
        /// The one that was there, or the one that came
        #[arg(long)]
        keep: Keep,
    },
    /// Have a machine for a while: others' deployments, restarts and changes are refused until then
    #[command(
        after_help = "Who has it may reserve it again, for longer or shorter, or hand it on.\n\nExamples:\n  enforcer machines reserve web1 --for 2h\n  enforcer machines reserve web1 --for 7d --holder ann"
    )]
    Reserve {
        /// Name, id or MAC in any spelling
        machine: String,
        /// For how long: `30m`, `2h`, `7d`
        #[arg(long = "for", value_parser = parse_span)]
        span: Span,
        /// For whom, by the name of their account [default: you]
        #[arg(long)]
        holder: Option<String>,
    },
    /// Give a machine back before its time
    Release {
        /// Name, id or MAC in any spelling
        machine: String,
    },
    /// Let a machine boot the management OS next time, once, also when its hardware is known
    Inspect {
        /// Name, id or MAC in any spelling
        machine: String,
    },
    /// Let a machine's agent serve boot on its own segment, or end that
    Helper(helpers::Args),
    /// End all keys of a machine at once; it may enrol anew
    Revoke {
        /// Name, id or MAC in any spelling
        machine: String,
    },
    /// Restart machines, through their agents
    #[command(after_help = "Example:\n  enforcer machines reboot web1 web2 -w")]
    Reboot(commands::Target),
    /// Let machines show themselves, by screen and lamp
    Identify {
        #[command(flatten)]
        target: commands::Target,
        /// For how long, seconds
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Let machines read their hardware again
    Inventory(commands::Target),
    /// Management OS: start the disk. Installed OS: power off
    Stop(commands::Target),
    /// Let machines make new keys
    RotateKeys(commands::Target),
    /// Empty a disk of a machine, and look that it is empty
    Erase(deployments::EraseMachine),
    /// Send magic packets for a machine
    Wake {
        /// Name, id or MAC in any spelling
        machine: String,
    },
    /// Show what a machine is made of
    Facts {
        /// Name, id or MAC in any spelling
        machine: String,
        /// Show how it changed
        #[arg(long)]
        history: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show the steps of a machine's last boots, and what was slower than usual
    Timeline(timeline::Args),
    /// Show what a machine said while it ran; `-f` follows it
    Logs(logs::Args),
    /// Forget a machine and its activations; if it asks again, it is seen anew
    #[command(
        after_help = "The machine's name has to be typed; scripts say --yes.\n\nExamples:\n  enforcer machines delete web1 --dry-run\n  enforcer machines delete web1 --yes"
    )]
    Delete {
        /// Name, id or MAC in any spelling
        machine: String,
        #[command(flatten)]
        consent: Consent,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List {
            state,
            selector,
            owner,
            site,
            filters,
            listing,
        } => {
            let asked = [selector, owner, site];
            list(state, asked, &filters, &listing, session).await
        }
        Verb::Show { machine, output } => {
            let value = session.client.get(&path(&machine)).await?;
            session.show(&output, value, show::details)
        }
        Verb::Register { mac, name } => set::register(Register { mac, name }, session).await,
        Verb::Set(args) => set::run(args, session).await,
        Verb::Power {
            machine,
            r#do,
            output,
        } => power::switch(&machine, r#do, &output, session).await,
        Verb::Accept { machine, code } => trust::accept(&machine, code, session).await,
        Verb::Refuse { machine } => trust::refuse(&machine, session).await,
        Verb::Resolve { machine, keep } => trust::resolve(&machine, keep, session).await,
        Verb::Reserve {
            machine,
            span,
            holder,
        } => holds::reserve(&machine, holder, span, session).await,
        Verb::Release { machine } => holds::release(&machine, session).await,
        Verb::Inspect { machine } => trust::inspect(&machine, session).await,
        Verb::Helper(args) => helpers::run(args, session).await,
        Verb::Revoke { machine } => trust::revoke(&machine, session).await,
        Verb::Reboot(target) => commands::run(Doing::Reboot, None, &target, session).await,
        Verb::Identify { target, seconds } => {
            commands::run(Doing::Identify, Some(seconds), &target, session).await
        }
        Verb::Inventory(target) => commands::run(Doing::Inventory, None, &target, session).await,
        Verb::Stop(target) => commands::run(Doing::Stop, None, &target, session).await,
        Verb::RotateKeys(target) => commands::run(Doing::RotateKeys, None, &target, session).await,
        Verb::Erase(args) => deployments::erase(args, session).await,
        Verb::Wake { machine } => commands::wake(&machine, session).await,
        Verb::Facts {
            machine,
            history,
            output,
        } => facts::run(&machine, history, &output, session).await,
        Verb::Timeline(args) => timeline::run(args, session).await,
        Verb::Logs(args) => logs::run(args, session).await,
        Verb::Delete { machine, consent } => forget(&machine, &consent, session).await,
    }
}

async fn list(
    state: Option<Standing>,
    [selector, owner, site]: [Option<String>; 3],
    filters: &Filters,
    listing: &Listing,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    if let Some(site) = site {
        return sites::list(&site, &listing.output, session).await;
    }
    let asked = [
        ("state", state.map(Standing::word)),
        ("selector", selector.as_deref()),
        ("owner", owner.as_deref()),
    ];
    let columns = Columns::new(show::HEADERS, show::row).wide(show::WIDE);
    session
        .listed(listing, &filters.of("/machines", asked), columns)
        .await
}

async fn forget(
    machine: &str,
    consent: &Consent,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let known: MachineDoc = read(&session.client.get(&path(machine)).await?)?;
    let active = known.active.map_or_else(String::new, |active| {
        format!(", and {} is not due for it any more", active.config)
    });
    let loss = format!(
        "{} is forgotten, with its facts and keys{active}",
        known.name
    );
    if !session.agreed(consent, &known.name, &loss)? {
        return Ok(());
    }
    session.client.delete(&path(&known.id)).await?;
    eprintln!("{} is forgotten", known.name);
    Ok(())
}

fn path(machine: &str) -> String {
    format!("/machines/{}", encode(machine))
}
