//! What this machine is made of, read from `/sys` and `/proc` below a given root so that tests can lay out a machine
//! as a folder. Nothing here fails: what cannot be read is absent from the facts, and every read has a limit.

mod cpu;
mod disks;
mod firmware;
mod memory;
mod nics;
mod pci;
mod permanent;
mod read;
mod smbios;

use std::collections::BTreeMap;
use std::path::Path;

use mesh_proto::facts::{FACTS_VERSION, HardwareFacts};

/// Reads the facts of the machine whose `/sys` and `/proc` are below `root` (`/` for this one).
#[must_use]
pub fn gather(root: &Path) -> HardwareFacts {
    HardwareFacts {
        v: FACTS_VERSION,
        arch: std::env::consts::ARCH.to_owned(),
        firmware: firmware::mode(root),
        secure_boot: firmware::secure_boot(root),
        tpm: firmware::tpm(root),
        smbios: smbios::gather(root),
        cpu: cpu::gather(root),
        memory: memory::gather(root),
        nics: nics::gather(root, &permanent_addresses(root)),
        disks: disks::gather(root),
        pci: pci::gather(root),
        kernel: read::text(&root.join("proc/sys/kernel/osrelease")),
    }
    .bounded()
}

/// The kernel is asked only about the machine it runs on.
fn permanent_addresses(root: &Path) -> BTreeMap<String, String> {
    if root == Path::new("/") {
        permanent::addresses()
    } else {
        BTreeMap::new()
    }
}

/// True when every NVMe controller shows a namespace: they are probed after the driver's load has returned.
#[must_use]
pub fn disks_are_settled(root: &Path) -> bool {
    disks::nvme_controllers_have_namespaces(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::facts::FirmwareMode;

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
}
