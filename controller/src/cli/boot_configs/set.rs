//! `enforcer boot-configs set`: local files go up by content, then the config that names them.

use std::{collections::BTreeMap, path::PathBuf};

use hyper::Method;

use super::path;
use crate::{
    cli::{Session, client::read, failure::Failure, upload::NamedFile},
    http::api::{
        boot_configs::{ConfigDoc, FileInput, ProgramInput, SetBody},
        words::Evidence,
    },
};

/// Arguments of `enforcer boot-configs set`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("program").required(true).args(["kernel", "ipxe"]),
    after_help = "Command line, script and answer files are templates: {{ name }}, {{ mac }}, {{ uuid }}, {{ serial }}, {{ server }},\n{{ file('x') }} and {{ answer('x') }} (URLs), {{ done }} and {{ failed }} (the callbacks),\n{{ machine.facts.disks[0].serial }} and other facts; the management OS reads them first when they are not known.\n\nExamples:\n  enforcer boot-configs set live --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0 boot=live'\n  enforcer boot-configs set debian --kernel linux --initrd initrd.gz --answer preseed.cfg=web.preseed \\\n      --cmdline \"auto url={{ answer('preseed.cfg') }}\" --evidence callback\n  enforcer boot-configs set memtest --ipxe memtest.ipxe --file memtest.bin=/srv/mt86plus.bin"
)]
pub struct SetArgs {
    /// Its name; an existing one is replaced
    name: String,
    /// The kernel to load
    #[arg(long, value_name = "[NAME=]PATH")]
    kernel: Option<NamedFile>,
    /// An initrd to load; repeat it, the order counts
    #[arg(long = "initrd", value_name = "[NAME=]PATH", requires = "kernel")]
    initrds: Vec<NamedFile>,
    /// The kernel's command line, a template
    #[arg(long, requires = "kernel", allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// An iPXE script of your own, a template
    #[arg(long, value_name = "PATH", conflicts_with = "kernel")]
    ipxe: Option<PathBuf>,
    /// A file that the iPXE script loads
    #[arg(long = "file", value_name = "[NAME=]PATH", requires = "ipxe")]
    files: Vec<NamedFile>,
    /// A text file for the booted system, such as a preseed; a template
    #[arg(long = "answer", value_name = "[NAME=]PATH")]
    answers: Vec<NamedFile>,
    /// What closes a one-shot activation [default: callback with answer files, else fetched]
    ///
    /// `fetched`: all its boot files arrived. An iPXE script of your own says so before its `boot` with
    /// `imgfetch {{ file('loaded') }} ||`, since the end of its last file may never be acknowledged. `callback`: the booted system
    /// asked for {{ done }} or {{ failed }}. `agent`: the agent in the booted system reported {{ nonce }} over its own link, which
    /// nobody else can.
    #[arg(long)]
    evidence: Option<Evidence>,
}

pub(super) async fn run(args: SetArgs, session: &Session<'_>) -> Result<(), Failure> {
    let body = SetBody {
        // Read before anything is uploaded: a wrong name should not cost minutes.
        answers: answers(&args.answers)?,
        program: program(&args, session).await?,
        evidence: args.evidence,
    };
    let value = session
        .client
        .send(Method::PUT, &path(&args.name), &body)
        .await?;
    let config: ConfigDoc = read(value)?;
    eprintln!("{} is now revision {}", config.name, config.revision);
    Ok(())
}

fn answers(files: &[NamedFile]) -> Result<BTreeMap<String, String>, Failure> {
    files
        .iter()
        .map(|file| Ok((file.name.clone(), file.read_text()?)))
        .collect()
}

async fn program(args: &SetArgs, session: &Session<'_>) -> Result<ProgramInput, Failure> {
    if let Some(kernel) = &args.kernel {
        return Ok(ProgramInput::Kernel {
            kernel: kernel.upload(&session.client).await?,
            initrds: upload_all(&args.initrds, session).await?,
            cmdline: args.cmdline.clone().unwrap_or_default(),
        });
    }
    let Some(ipxe) = &args.ipxe else {
        return Err(Failure::Usage("give --kernel or --ipxe".to_owned()));
    };
    let script = NamedFile {
        name: String::new(),
        path: ipxe.clone(),
    };
    Ok(ProgramInput::Ipxe {
        script: script.read_text()?,
        files: upload_all(&args.files, session).await?,
    })
}

async fn upload_all(files: &[NamedFile], session: &Session<'_>) -> Result<Vec<FileInput>, Failure> {
    let mut uploaded = Vec::new();
    for file in files {
        uploaded.push(file.upload(&session.client).await?);
    }
    Ok(uploaded)
}
