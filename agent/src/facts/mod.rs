//! What this machine is made of, read from `/sys` and `/proc` below a given root so that tests can lay out a machine
//! as a folder. Nothing here fails: what cannot be read is absent from the facts, and every read has a limit.

mod disks;
mod memory;
mod nics;
mod read;
mod smbios;

use std::path::Path;

use mesh_proto::facts::{Cpu, FACTS_VERSION, FirmwareMode, HardwareFacts, normalised};

/// `/proc/cpuinfo` of a 2-socket, 512-thread server is about 900 KB.
const CPUINFO_LIMIT_BYTES: u64 = 4 << 20;

/// Reads the facts of the machine whose `/sys` and `/proc` are below `root` (`/` for this one).
#[must_use]
pub fn gather(root: &Path) -> HardwareFacts {
    HardwareFacts {
        v: FACTS_VERSION,
        arch: std::env::consts::ARCH.to_owned(),
        firmware: firmware(root),
        smbios: smbios::gather(root),
        cpu: cpu(
            &read::text_up_to(&root.join("proc/cpuinfo"), CPUINFO_LIMIT_BYTES).unwrap_or_default(),
        ),
        memory: memory::gather(root),
        nics: nics::gather(root),
        disks: disks::gather(root),
        kernel: read::text(&root.join("proc/sys/kernel/osrelease")),
    }
}

/// True when every NVMe controller shows a namespace: they are probed after the driver's load has returned.
#[must_use]
pub fn disks_are_settled(root: &Path) -> bool {
    disks::nvme_controllers_have_namespaces(root)
}

fn firmware(root: &Path) -> FirmwareMode {
    if root.join("sys/firmware/efi").is_dir() {
        FirmwareMode::Uefi
    } else {
        FirmwareMode::Bios
    }
}

fn cpu(cpuinfo: &str) -> Cpu {
    let fields = || {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim(), value))
    };
    Cpu {
        model: fields()
            .find(|(key, _)| *key == "model name")
            .and_then(|(_, value)| normalised(value)),
        // arm64 has "processor" lines too; saturating because a text file cannot be trusted to be short.
        threads: u32::try_from(fields().filter(|(key, _)| *key == "processor").count())
            .unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_and_the_model_is_the_first() {
        let text =
            "processor\t: 0\nmodel name\t: QEMU TCG CPU \n\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(
            cpu(text),
            Cpu {
                model: Some("QEMU TCG CPU".into()),
                threads: 2
            }
        );
    }

    #[test]
    fn an_empty_root_gives_empty_facts_and_no_error() {
        let root = tempfile::tempdir().unwrap();
        let facts = gather(root.path());
        assert_eq!(facts.firmware, FirmwareMode::Bios);
        assert_eq!(
            (facts.nics.len(), facts.disks.len(), facts.cpu.threads),
            (0, 0, 0)
        );
        assert_eq!(facts.smbios, mesh_proto::facts::Smbios::default());
    }

    #[test]
    fn an_efi_folder_means_uefi() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sys/firmware/efi")).unwrap();
        assert_eq!(gather(root.path()).firmware, FirmwareMode::Uefi);
    }
}
