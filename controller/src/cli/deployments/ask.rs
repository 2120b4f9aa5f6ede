//! `enforcer deploy`, `enforcer capture`, `enforcer machines erase`: what is asked for, and what came of it.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;

use super::watch;
use crate::{
    cli::{
        Session,
        client::{encode, read},
        consent::Consent,
        failure::Failure,
        output::Output,
        span::{Span, parse_span},
        upload::NamedFile,
    },
    http::api::{
        deployments::{
            DeployBody, DeployedDoc, DiskRuleDoc, OrderBody, ProbeDoc, ProvisionFileDoc, SaveDoc,
            UntilDoc,
        },
        machines::MachineDoc,
        words::{After, Erase, When},
    },
};

/// How long a new system may take to speak when nobody says otherwise, seconds.
const ONLINE_WITHIN_S: u32 = crate::state::ops::ONLINE_WITHIN_S;
/// `enforcer deploy`.
#[derive(Debug, Args)]
#[command(
    after_help = "The machine is restarted into the management OS, its disk is written, read back, and started.\nWith --user-data, --join or --probe it is waited for until the new system speaks; else the deployment ends when the disk is started.\n\nExamples:\n  enforcer deploy web1 debian\n  enforcer deploy web1 debian@3 --user-data cloud.yaml --wait\n  enforcer deploy web1 debian --save-current web1-before --roll-back --probe tcp:22\n  enforcer deploy pool=web debian --at-once 4\n  enforcer deploy web1 setup:storage-node --wait"
)]
pub struct Deploy {
    /// Name, id or MAC; or labels such as pool=web for all machines that have them
    machine: String,
    /// NAME, NAME@NUMBER, or setup:NAME
    image: String,
    /// Write only this partition: its name in the GUID table, or # and its number
    #[arg(long, value_name = "NAME|#N")]
    partition: Option<String>,
    /// Save the disk first, as a new version of this image
    #[arg(long, value_name = "NAME")]
    save_current: Option<String>,
    /// Empty the disk before it is written
    #[arg(long)]
    erase: Option<Erase>,
    /// Grow the last partition to the disk's end
    #[arg(long)]
    grow: bool,
    /// cloud-init's user-data, for the new system's first boot
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// More files for the new system: meta-data, network-config, …
    #[arg(long, value_name = "NAME=FILE")]
    provision: Vec<NamedFile>,
    /// Give its agent a join token: it joins by itself, and is online then
    #[arg(long)]
    join: bool,
    /// How to see that the new system is there: tcp:PORT or http:PORT/PATH
    #[arg(long, value_parser = parse_probe)]
    probe: Option<ProbeDoc>,
    /// Wait so long for the new system, such as 10m
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    online_within: Option<Span>,
    /// Write the saved disk back when the new system does not come
    #[arg(long, requires = "save_current")]
    roll_back: bool,
    /// With labels: machines at work at once [default: 8]
    #[arg(long)]
    at_once: Option<u32>,
    /// With labels: after so many failures no further one begins [default: 3]
    #[arg(long)]
    max_failures: Option<u32>,
    #[command(flatten)]
    common: Common,
}

/// What all jobs have.
#[derive(Debug, Args)]
pub(in crate::cli) struct Common {
    /// Which disk, when there are several: serial=…, model=…, by-path=…, smallest; may be given more than once
    #[arg(long, value_name = "RULE")]
    disk: Vec<String>,
    /// What the machine does when all is done
    #[arg(long)]
    after: Option<After>,
    /// Do not restart the machine for it: wait until it starts by itself
    #[arg(long)]
    next_boot: bool,
    /// Wait for the end and show how far it is; the exit code tells how it went
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    output: Output,
}

/// `enforcer capture`.
#[derive(Debug, Args)]
#[command(
    after_help = "Only what the store lacks is sent. A new image is private: it is for machines with a well proved key (T2).\n\nExamples:\n  enforcer capture web1 web1-disk --wait\n  enforcer capture web1 golden --after reboot"
)]
pub struct Capture {
    /// Name, id or MAC
    machine: String,
    /// The image it becomes a version of
    name: String,
    /// Also blocks that no file system uses
    #[arg(long)]
    all_blocks: bool,
    #[command(flatten)]
    common: Common,
}

/// `enforcer machines erase`.
#[derive(Debug, Args)]
#[command(
    after_help = "Everything on the disk is lost, and it is looked that it is. The machine's name has to be typed; scripts say --yes.\n\nExamples:\n  enforcer machines erase web1 --dry-run\n  enforcer machines erase web1 --wait\n  enforcer machines erase web1 --how sanitize --disk serial=QM00001"
)]
pub struct EraseMachine {
    /// Name, id or MAC
    machine: String,
    /// How the disk is emptied
    #[arg(long, default_value = "discard")]
    how: Erase,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    common: Common,
}
/// Reads `tcp:22` and `http:80/health`.
fn parse_probe(text: &str) -> Result<ProbeDoc, String> {
    let wrong = || "write tcp:PORT or http:PORT/PATH".to_owned();
    let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (port, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let port = port.parse().map_err(|_| wrong())?;
    let (host, path) = (None, path.to_owned());
    match kind {
        "tcp" if path == "/" => Ok(ProbeDoc::Tcp { host, port }),
        "http" => Ok(ProbeDoc::Http { host, port, path }),
        _ => Err(wrong()),
    }
}

/// The rule that all `--disk` make together.
pub(in crate::cli) fn disk_rule(rules: &[String]) -> Result<Option<DiskRuleDoc>, Failure> {
    let mut rule = DiskRuleDoc::default();
    for text in rules {
        match text.split_once('=') {
            Some(("serial", value)) => rule.serial = Some(value.to_owned()),
            Some(("model", value)) => rule.model = Some(value.to_owned()),
            Some(("by-path", value)) => rule.by_path = Some(value.to_owned()),
            None if text == "smallest" => rule.smallest = true,
            _ => {
                let text = format!("--disk {text}: write serial=…, model=…, by-path=… or smallest");
                return Err(Failure::Usage(text));
            }
        }
    }
    Ok((!rules.is_empty()).then_some(rule))
}

impl Common {
    fn order(&self) -> Result<OrderBody, Failure> {
        Ok(OrderBody {
            disk: disk_rule(&self.disk)?,
            after: self.after,
            when: self.next_boot.then_some(When::NextBoot),
            ..OrderBody::default()
        })
    }
}

impl Deploy {
    fn body(&self) -> Result<DeployBody, Failure> {
        let mut order = self.common.order()?;
        let setup = self.image.strip_prefix("setup:");
        order.image = setup.is_none().then(|| self.image.clone());
        order.partition = self.partition.clone();
        order.save_current = self.save_current.clone().map(|name| SaveDoc {
            name,
            all_blocks: false,
        });
        (order.erase, order.grow, order.roll_back) = (self.erase, self.grow, self.roll_back);
        (order.provision, order.join) = (self.files()?, self.join);
        if self.probe.is_some() || self.online_within.is_some() {
            order.until = Some(UntilDoc::Online {
                within_s: self.online_within.map_or(ONLINE_WITHIN_S, Span::seconds),
                probe: self.probe.clone(),
            });
        }
        // A machine's name has no '='.
        let many = self.machine.contains('=');
        Ok(DeployBody {
            machine: (!many).then(|| self.machine.clone()),
            selector: many.then(|| self.machine.clone()),
            at_once: self.at_once,
            max_failures: self.max_failures,
            setup: setup.map(str::to_owned),
            order,
        })
    }

    fn files(&self) -> Result<Vec<ProvisionFileDoc>, Failure> {
        let user_data = self.user_data.iter().map(|path| NamedFile {
            name: "user-data".to_owned(),
            path: path.clone(),
        });
        let all = user_data.chain(self.provision.iter().cloned());
        all.map(|file| {
            Ok(ProvisionFileDoc {
                text: file.read_text()?,
                name: file.name,
            })
        })
        .collect()
    }
}

/// `enforcer deploy`.
pub(in crate::cli) async fn deploy(args: Deploy, session: &mut Session<'_>) -> Result<(), Failure> {
    let body = args.body()?;
    ask(&body, &args.common, session).await
}

/// `enforcer capture`.
pub(in crate::cli) async fn capture(
    args: Capture,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let mut order = args.common.order()?;
    order.save_current = Some(SaveDoc {
        name: args.name,
        all_blocks: args.all_blocks,
    });
    let body = DeployBody {
        machine: Some(args.machine),
        order,
        ..DeployBody::default()
    };
    ask(&body, &args.common, session).await
}

/// `enforcer machines erase`.
pub(in crate::cli) async fn erase(
    args: EraseMachine,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let path = format!("/machines/{}", encode(&args.machine));
    let machine: MachineDoc = read(&session.client.get(&path).await?)?;
    let disk = match args.common.disk.as_slice() {
        [] => "a disk".to_owned(),
        rules => format!("the disk with {}", rules.join(" and ")),
    };
    let loss = format!("everything on {disk} of {} is lost", machine.name);
    if !session.agreed(&args.consent, &machine.name, &loss)? {
        return Ok(());
    }
    let mut order = args.common.order()?;
    order.erase = Some(args.how);
    let body = DeployBody {
        machine: Some(args.machine),
        order,
        ..DeployBody::default()
    };
    ask(&body, &args.common, session).await
}

/// Sends an order, says what came of it and, when that is wanted, waits for its end.
async fn ask(body: &DeployBody, common: &Common, session: &mut Session<'_>) -> Result<(), Failure> {
    let answer = session
        .client
        .send(Method::POST, "/deployments", body)
        .await?;
    let asked: DeployedDoc = read(&answer)?;
    for refused in &asked.refused {
        eprintln!("{}: {}", refused.machine, refused.why);
    }
    for job in &asked.deployments {
        let before = if asked.existed {
            ", as asked before"
        } else {
            ""
        };
        let next = if job.next.is_empty() {
            String::new()
        } else {
            format!(": {}", job.next)
        };
        eprintln!(
            "deployment {} of {}: {}{before}{next}",
            job.id, job.machine_name, job.title
        );
    }
    let ids: Vec<u64> = asked.deployments.iter().map(|d| d.id).collect();
    if let ([id], false) = (ids.as_slice(), common.wait) {
        session.hint(&format!("enforcer deployments watch {id}"));
    }
    let ended = if common.wait {
        watch::to_the_end(&ids, session).await
    } else {
        Ok(())
    };
    if !common.output.is_words() {
        let mut now = Vec::new();
        for id in &ids {
            now.push(session.client.get(&format!("/deployments/{id}")).await?);
        }
        session.printed(&common.output, &now)?;
    }
    ended
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_and_a_disk_rule_are_read_as_people_write_them() {
        let tcp = ProbeDoc::Tcp {
            host: None,
            port: 22,
        };
        assert_eq!(parse_probe("tcp:22"), Ok(tcp));
        let path = "/health".to_owned();
        let http = ProbeDoc::Http {
            host: None,
            port: 80,
            path,
        };
        assert_eq!(parse_probe("http:80/health"), Ok(http));
        for wrong in ["22", "tcp:x", "tcp:22/x", "udp:1", "http:99999"] {
            assert!(parse_probe(wrong).is_err(), "{wrong}");
        }
        let rules = ["serial=a=b".to_owned(), "smallest".to_owned()];
        let rule = disk_rule(&rules).unwrap().unwrap();
        assert_eq!((rule.serial.as_deref(), rule.smallest), (Some("a=b"), true));
        assert!(disk_rule(&["sda".to_owned()]).is_err());
        assert_eq!(disk_rule(&[]).unwrap(), None);
    }
}
