//! `enforcer boot-configs set`: local files go up by content, then the config that names them.

use std::{collections::BTreeMap, path::PathBuf};

use hyper::Method;

use super::{path, wait};
use crate::{
    cli::{
        Session,
        client::read,
        failure::Failure,
        upload::{FileArgument, NamedFile},
    },
    http::api::{
        boot_configs::{ConfigDoc, FileInput, OsInput, ProgramInput, SetBody},
        words::{Evidence, Level, Os, PresetArch},
    },
    ordered::Gather as _,
};

/// What a person reads before the first config.
const HELP: &str = "\
With --os you name the system, where its files are, and a script; kernel, initrds, command line and answer file come from
the preset and from what is known of the machine. With --release the location is the system's mirror, without it the
folder that holds the files. The script runs in the installed system (flatcar and custom: in the booted one); its exit status
decides: 0 is done, anything else failed. Remote files are fetched and checked by the controller now, not when a machine boots.

  enforcer boot-configs set web --os debian  --location https://deb.debian.org/debian --release bookworm --script web.sh
  enforcer boot-configs set web --os ubuntu  --location https://releases.ubuntu.com --release 24.04 --script web.sh --ssh-key ~/.ssh/id_ed25519.pub
  enforcer boot-configs set web --os alpine  --location https://dl-cdn.alpinelinux.org/alpine --release v3.20 --script web.sh
  enforcer boot-configs set web --os fedora  --location https://dl.fedoraproject.org/pub/fedora/linux --release 42 --script web.sh
  enforcer boot-configs set ram --os flatcar --location https://stable.release.flatcar-linux.net --release current --script run.sh
  enforcer boot-configs set own --os custom  --kernel vmlinuz --initrd initrd.img --script run.sh --append 'console=ttyS0'
  enforcer boot-configs preview web web1 --answer preseed.cfg && enforcer boot-configs activate web web1 --reboot

By hand:
  enforcer boot-configs set live --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0 boot=live'
  enforcer boot-configs set live --kernel 'http://mirror/vmlinuz#sha256=…' --initrd http://mirror/initrd.img
  enforcer boot-configs set debian --kernel linux --initrd initrd.gz --answer preseed.cfg=web.preseed \\
      --cmdline \"auto url={{ answer('preseed.cfg') }}\" --evidence callback
  enforcer boot-configs set memtest --ipxe memtest.ipxe --file memtest.bin=/srv/mt86plus.bin

Scripts, command lines and answer files are templates: {{ name }}, {{ mac }}, {{ uuid }}, {{ serial }}, {{ server }}, {{ file('x') }} and
{{ answer('x') }} (URLs), {{ done }} and {{ failed }} (the callbacks), {{ machine.facts.disks[0].serial }} and other facts; the
management OS reads them first when they are not known. Quote what comes from a machine for the format it stands in:
{{ serial | shell }}, also json, yaml, line (preseed), word (command line), url. Between {% raw %} and {% endraw %} nothing is filled in.";

/// Arguments of `enforcer boot-configs set`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("program").required(true).multiple(true).args(["os", "kernel", "ipxe"]),
    after_help = HELP
)]
pub struct SetArgs {
    /// Its name; an existing one is replaced
    name: String,
    /// The operating system; a preset makes the rest
    #[arg(long, requires = "script", conflicts_with_all = ["ipxe", "cmdline"])]
    os: Option<Os>,
    #[command(flatten)]
    system: SystemArgs,
    /// The kernel to load: a file of this host, or a URL that the controller fetches
    #[arg(long, value_name = "[NAME=]PATH|URL[#sha256=SUM]")]
    kernel: Option<FileArgument>,
    /// An initrd to load; repeat it, the order counts
    #[arg(
        long = "initrd",
        value_name = "[NAME=]PATH|URL[#sha256=SUM]",
        requires = "kernel"
    )]
    initrds: Vec<FileArgument>,
    /// The kernel's command line, a template
    #[arg(long, requires = "kernel", allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// An iPXE script of your own, a template
    #[arg(long, value_name = "PATH", conflicts_with = "kernel")]
    ipxe: Option<PathBuf>,
    /// A file that the iPXE script loads
    #[arg(
        long = "file",
        value_name = "[NAME=]PATH|URL[#sha256=SUM]",
        requires = "ipxe"
    )]
    files: Vec<FileArgument>,
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
    /// Serve it only to machines whose key was proved so well; others wait, and `explain` says why [default: to all]
    ///
    /// `t1`: the machine enrolled with its boot's secret. `t2`: by a join token, or a person compared its pairing code. The files
    /// still travel in the clear: whoever listens on the machine's segment reads them.
    #[arg(long)]
    level: Option<Level>,
    /// It writes to a disk without asking: for accepted machines only, and never standing. The presets of installers say so by
    /// themselves
    #[arg(long)]
    writes_disk: bool,
    /// Do not wait until the remote files are here
    #[arg(long)]
    no_wait: bool,
}

/// What a preset wants to know.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Operating system")]
struct SystemArgs {
    /// With --release the system's mirror, else the folder with its files
    #[arg(long, value_name = "URL", requires = "os")]
    location: Option<String>,
    /// Which release, as the mirror names it: bookworm, 24.04, v3.20, 42
    #[arg(long, requires = "os")]
    release: Option<String>,
    /// For which processor [default: amd64]
    #[arg(long, requires = "os")]
    arch: Option<PresetArch>,
    /// The provisioning script, a template; its exit status decides
    #[arg(long, value_name = "PATH", requires = "os")]
    script: Option<PathBuf>,
    /// An OpenSSH public key that may log in as root (flatcar: core); repeat it
    #[arg(long = "ssh-key", value_name = "PATH", requires = "os")]
    ssh_keys: Vec<PathBuf>,
    /// The disk to install on [default: the first that is not removable]
    #[arg(long, value_name = "/dev/…", requires = "os")]
    disk: Option<String>,
    /// A package beside the usual ones; repeat it
    #[arg(long = "package", value_name = "NAME", requires = "os")]
    packages: Vec<String>,
    /// Language and country [default: en_US.UTF-8]
    #[arg(long, requires = "os")]
    locale: Option<String>,
    /// Keyboard [default: us]
    #[arg(long, requires = "os")]
    keyboard: Option<String>,
    /// Time zone [default: UTC]
    #[arg(long, requires = "os")]
    timezone: Option<String>,
    /// More words for the kernel, a template
    #[arg(
        long,
        value_name = "WORDS",
        requires = "os",
        allow_hyphen_values = true
    )]
    append: Option<String>,
}

pub(super) async fn run(args: SetArgs, session: &Session<'_>) -> Result<(), Failure> {
    // Before files go up, which may take minutes: whoever writes the config meanwhile is not overwritten.
    let as_now = session.client.condition(&path(&args.name)).await?;
    let body = SetBody {
        // Read before anything is uploaded: a wrong name should not cost minutes.
        answers: answers(&args.answers)?,
        program: program(&args, session).await?,
        evidence: args.evidence,
        level: args.level,
        writes_disk: args.writes_disk,
    };
    let value = session
        .client
        .send_if(Method::PUT, &path(&args.name), as_now, &body)
        .await?;
    let config: ConfigDoc = read(&value)?;
    eprintln!("{} is now revision {}", config.name, config.revision);
    match args.no_wait {
        true => Ok(()),
        false => wait::for_files(&config.name, session).await,
    }
}

fn answers(files: &[NamedFile]) -> Result<BTreeMap<String, String>, Failure> {
    files
        .iter()
        .map(|file| Ok((file.name.clone(), file.read_text()?)))
        .try_gather()
}

async fn program(args: &SetArgs, session: &Session<'_>) -> Result<ProgramInput, Failure> {
    if let Some(os) = args.os {
        return system(os, args, session).await;
    }
    if let Some(kernel) = &args.kernel {
        return Ok(ProgramInput::Kernel {
            kernel: kernel.settle(&session.client).await?,
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

async fn system(os: Os, args: &SetArgs, session: &Session<'_>) -> Result<ProgramInput, Failure> {
    let text = |path: &PathBuf| {
        let file = NamedFile {
            name: String::new(),
            path: path.clone(),
        };
        file.read_text()
    };
    let given = &args.system;
    let Some(script) = &given.script else {
        return Err(Failure::Usage("give --script".to_owned()));
    };
    let keys = given
        .ssh_keys
        .iter()
        .map(|k| Ok(text(k)?.trim().to_owned()));
    let keys = keys.collect::<Result<_, Failure>>()?;
    Ok(ProgramInput::Os(Box::new(OsInput {
        os,
        location: given.location.clone(),
        release: given.release.clone(),
        arch: given.arch,
        script: text(script)?,
        ssh_keys: keys,
        disk: given.disk.clone(),
        packages: given.packages.clone(),
        locale: given.locale.clone(),
        keyboard: given.keyboard.clone(),
        timezone: given.timezone.clone(),
        append: given.append.clone().unwrap_or_default(),
        kernel: match &args.kernel {
            Some(kernel) => Some(kernel.settle(&session.client).await?),
            None => None,
        },
        initrds: upload_all(&args.initrds, session).await?,
        writes_disk: args.writes_disk,
    })))
}

async fn upload_all(
    files: &[FileArgument],
    session: &Session<'_>,
) -> Result<Vec<FileInput>, Failure> {
    let mut uploaded = Vec::new();
    for file in files {
        uploaded.push(file.settle(&session.client).await?);
    }
    Ok(uploaded)
}
