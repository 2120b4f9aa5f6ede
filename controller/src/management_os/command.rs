//! `enforcer management-os build|import|list`: the command line around [`mod@super::build`] and [`mod@super::import`].

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Arch, BuildError, BuildOptions, Built, Flavour, ImportError, build, import, install};

/// The management OS is what a machine boots over the network to show its hardware and to receive images.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ManagementOsCommand {
    /// Build a management OS from Debian packages and the agent.
    ///
    /// Works on any Debian host, also for another architecture (a Raspberry Pi builds for PCs): packages come from the
    /// host's own Debian mirrors into a private apt root in the state folder; neither root nor the host's apt is
    /// touched. Needs the network, and the packages kmod and xz-utils. The result appears whole or not at all.
    #[command(
        after_help = "Examples:\n  enforcer management-os build\n  enforcer management-os build --flavour virtio --agent ./enforcer-agent\n  \
        enforcer management-os build --output /tmp/mgmt && tar -C /tmp/mgmt -cf mgmt.tar .   # to import elsewhere"
    )]
    Build(BuildArgs),
    /// Take in a management OS that was built on another host.
    ///
    /// SOURCE is the folder that `build --output` wrote, or a tar file of it. Sizes and SHA-256 of every file are
    /// checked against its manifest first; on any difference the one in place stays.
    Import {
        /// Folder, or uncompressed tar file.
        source: PathBuf,
    },
    /// Show which management OS are in place.
    List,
}

/// What to build.
#[derive(Debug, Clone, clap::Args)]
pub struct BuildArgs {
    /// Architecture of the machines that will boot it.
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    pub arch: Arch,
    /// `generic` for real hardware, `virtio` for virtual machines only.
    #[arg(long, value_enum, default_value_t = Flavour::Generic)]
    pub flavour: Flavour,
    /// Static agent to put in [default: `enforcer-agent` beside this program].
    ///
    /// It must be linked statically, for the architecture of the machines; `tests/build-agent.sh` builds one.
    #[arg(long, value_name = "PATH")]
    pub agent: Option<PathBuf>,
    /// Write the files to this folder, for `import` elsewhere, instead of putting them in place here.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ManagementOsError {
    /// Nothing was built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Nothing was taken in.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The report could not be written.
    #[error("writing the report")]
    Report(#[from] io::Error),
}

/// Does the command; `state` is the state folder, `out` takes the report and the progress of a build.
///
/// # Errors
/// With a sentence for a person.
pub fn run(
    command: &ManagementOsCommand,
    state: &Path,
    out: &mut dyn Write,
) -> Result<(), ManagementOsError> {
    match command {
        ManagementOsCommand::Build(args) => {
            let options = BuildOptions {
                arch: args.arch,
                flavour: args.flavour,
                agent: args.agent.clone(),
                state: state.to_owned(),
                output: args.output.clone(),
            };
            // A closed pipe must not stop a build half-way.
            let built = build(&options, &mut |line| drop(writeln!(out, "{line}")))?;
            report(&built, out)?;
        }
        ManagementOsCommand::Import { source } => report(&import(source, state)?, out)?,
        ManagementOsCommand::List => list(state, out)?,
    }
    Ok(())
}

fn report(built: &Built, out: &mut dyn Write) -> io::Result<()> {
    let manifest = &built.manifest;
    writeln!(
        out,
        "management OS {}-{}, kernel {}",
        manifest.arch, manifest.flavour, manifest.kernel
    )?;
    for (name, entry) in &manifest.files {
        writeln!(
            out,
            "  {name:<12} {:>10} bytes  sha256 {}",
            entry.bytes, entry.sha256
        )?;
    }
    writeln!(out, "in {}", built.folder.display())
}

fn list(state: &Path, out: &mut dyn Write) -> io::Result<()> {
    let found = install::list(state);
    if found.is_empty() {
        return writeln!(
            out,
            "no management OS is in place: `enforcer management-os build` makes one"
        );
    }
    writeln!(
        out,
        "{:<6} {:<8} {:<28} {:>10}",
        "ARCH", "FLAVOUR", "KERNEL", "MIB"
    )?;
    for (_, manifest) in found {
        let bytes: u64 = manifest.files.values().map(|entry| entry.bytes).sum();
        let (arch, flavour) = (manifest.arch.to_string(), manifest.flavour.to_string());
        writeln!(
            out,
            "{arch:<6} {flavour:<8} {:<28} {:>10}",
            manifest.kernel,
            bytes >> 20
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::management_os::manifest::tests::sample;
    use clap::{FromArgMatches, Subcommand};

    #[test]
    fn the_command_line_parses_and_its_help_is_sound() {
        let command = ManagementOsCommand::augment_subcommands(clap::Command::new("management-os"));
        command.clone().debug_assert();
        let matches = command.get_matches_from([
            "management-os",
            "build",
            "--arch",
            "arm64",
            "--flavour",
            "virtio",
        ]);
        let ManagementOsCommand::Build(args) =
            ManagementOsCommand::from_arg_matches(&matches).unwrap()
        else {
            panic!()
        };
        assert_eq!((args.arch, args.flavour), (Arch::Arm64, Flavour::Virtio));
    }

    #[test]
    fn the_list_is_empty_with_a_hint_then_names_what_was_imported() {
        let (from, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        sample(from.path());
        let said = |command: &ManagementOsCommand| {
            let mut out = Vec::new();
            run(command, state.path(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(said(&ManagementOsCommand::List).contains("management-os build"));
        said(&ManagementOsCommand::Import {
            source: from.path().to_owned(),
        });
        assert!(said(&ManagementOsCommand::List).contains("6.1.0-1-amd64"));
    }
}
