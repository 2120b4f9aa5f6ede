//! `enforcer firmware list|add|fill`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use super::{FirmwareSet, ImportError, Use, add, fill};

/// The boot programs that machines load before any script.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum FirmwareCommand {
    /// Show the files that are served, and what is missing.
    List,
    /// Put a file in, for example an iPXE build of your own.
    #[command(after_help = "Examples:\n  \
        enforcer firmware add ./ipxe-arm64.efi --for uefi-arm64\n  \
        enforcer firmware add ./start4.elf --as raspberry-pi/start4.elf      # for every Raspberry Pi\n  \
        enforcer firmware add ./config.txt --as raspberry-pi/1a2b3c4d/config.txt   # for the one with this serial")]
    Add {
        /// The file to copy in.
        file: PathBuf,
        /// Its name when machines ask for it; its own file name when left out.
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// Machines that load it as their first program.
        #[arg(long = "for", value_name = "KIND")]
        used_for: Option<Use>,
    },
    /// Put in what is missing: Debian's iPXE builds (package ipxe) and localboot.efi (made by GRUB's grub-mkimage).
    Fill,
}

/// Does the command on the firmware folder of `state`; a running controller takes changes in by itself.
///
/// # Errors
/// With a sentence for a person.
pub fn run(command: &FirmwareCommand, state: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = state.join("firmware");
    match command {
        FirmwareCommand::List => {}
        FirmwareCommand::Fill => fill(&folder)?,
        FirmwareCommand::Add {
            file,
            name,
            used_for,
        } => {
            let own = || file.file_name().and_then(|n| n.to_str()).map(str::to_owned);
            let name = name
                .clone()
                .or_else(own)
                .ok_or_else(|| ImportError::Name(file.display().to_string()))?;
            add(&folder, file, &name, *used_for)?;
        }
    }
    let (set, notices) = FirmwareSet::open(&folder)?;
    for entry in &set.manifest().files {
        let used_for = entry
            .used_for
            .map_or_else(String::new, |u| format!("  for {}", u.describe()));
        writeln!(
            out,
            "{:<32} {:>9}  {}{used_for}  ({})",
            entry.name,
            entry.size,
            &entry.sha256[..12],
            entry.origin
        )?;
    }
    notices
        .iter()
        .try_for_each(|notice| writeln!(out, "{notice}"))?;
    Ok(())
}
