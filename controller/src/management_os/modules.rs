//! Which kernel modules go into the first archive: a list of drivers by flavour, closed over `modules.dep`. Names that a
//! kernel does not have (built in, renamed, left out of the cloud kernel) are skipped.

use std::collections::{BTreeMap, BTreeSet};

use super::Flavour;
use crate::ordered::Gather as _;

/// Both flavours: the virtio devices of virtual machines, packet sockets for the DHCP client, EFI variables and FAT, the TPM;
/// what kernels are kept on, and who watches their start, for those that start without the firmware.
const COMMON: &str = "virtio_pci virtio_mmio virtio_net virtio_blk virtio_scsi virtio_console virtio_rng sd_mod nvme tpm_tis tpm_crb \
    af_packet efivarfs vfat ext4 xfs crc32c_generic i6300esb iTCO_wdt wdat_wdt nls_ascii nls_cp437 nls_iso8859_1 loop xen_netfront xen_blkfront ena gve hv_vmbus hv_netvsc \
    hv_storvsc vmxnet3 vmw_pvscsi";

/// Real network cards. Left out are those that cannot work without firmware files, which Debian's main archive does not
/// have (bnx2, bnx2x, qede, cxgb4).
const NETWORK: &str = "e1000 e1000e igb igc ixgbe i40e ice r8169 tg3 bnxt_en mlx4_en mlx5_core be2net 8139cp 8139too atlantic alx \
    atl1 atl1c atl1e sky2 skge forcedeth jme pcnet32 via_rhine via_velocity tulip amd_xgbe macb bcmgenet lan743x \
    stmmac_pci dwmac_intel cdc_ether cdc_ncm r8152 ax88179_178a asix smsc95xx lan78xx realtek broadcom";

/// Real disks, and the buses they hang on.
const STORAGE: &str = "ahci ahci_platform ata_piix ata_generic pata_acpi sata_nv sata_sil sata_sil24 sata_via sata_mv sata_sis sata_uli \
    megaraid_sas mpt3sas mptsas mptspi hpsa aacraid smartpqi arcmsr 3w_9xxx 3w_sas sym53c8xx vmd xhci_pci xhci_hcd ehci_pci \
    uhci_hcd ohci_pci usb_storage uas mmc_block sdhci_pci sdhci_acpi sdhci_iproc rtsx_pci_sdmmc pcie_brcmstb usbhid hid_generic \
    lpc_ich i2c_i801 sp5100_tco hpwdt bcm2835_wdt";

/// The names wanted for a flavour.
pub(super) fn wanted(flavour: Flavour) -> Vec<&'static str> {
    let lists: &[&'static str] = match flavour {
        Flavour::Virtio => &[COMMON],
        Flavour::Generic => &[COMMON, NETWORK, STORAGE],
    };
    lists
        .iter()
        .flat_map(|list| list.split_whitespace())
        .collect()
}

/// `modules.dep` and `modules.softdep` as `depmod` wrote them: name to file, file to what it needs.
pub(super) struct Dependencies {
    file_of: BTreeMap<String, String>,
    needs: BTreeMap<String, Vec<String>>,
    before: BTreeMap<String, Vec<String>>,
}

impl Dependencies {
    /// Reads both texts.
    pub(super) fn parse(modules_dep: &str, modules_softdep: &str) -> Self {
        let needs: BTreeMap<String, Vec<String>> = modules_dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(file, needs)| {
                (
                    file.to_owned(),
                    needs.split_whitespace().map(str::to_owned).collect(),
                )
            })
            .gather();
        let file_of = needs
            .keys()
            .map(|file| (name_of(file), file.clone()))
            .gather();
        let before = modules_softdep.lines().filter_map(soft_dependency).gather();
        Self {
            file_of,
            needs,
            before,
        }
    }

    /// The files of these modules and of everything they need, relative to the kernel's module folder.
    pub(super) fn closure(&self, wanted: &[&str]) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let mut open: Vec<String> = wanted
            .iter()
            .filter_map(|name| self.file_of.get(*name).cloned())
            .collect();
        while let Some(file) = open.pop() {
            if files.contains(&file) {
                continue;
            }
            open.extend(self.needs.get(&file).into_iter().flatten().cloned());
            let before = self.before.get(&name_of(&file)).into_iter().flatten();
            open.extend(before.filter_map(|name| self.file_of.get(name).cloned()));
            files.insert(file);
        }
        files
    }
}

/// `kernel/drivers/net/e1000/e1000.ko.xz` is `e1000`; hyphens and underscores are the same to the kernel.
fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base).replace('-', "_")
}

/// `softdep r8169 pre: realtek post: x` → r8169 wants realtek before it.
fn soft_dependency(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.strip_prefix("softdep ")?.split_whitespace();
    let name = words.next()?.replace('-', "_");
    let before = words
        .skip_while(|word| *word != "pre:")
        .skip(1)
        .take_while(|word| *word != "post:");
    Some((name, before.map(|word| word.replace('-', "_")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/net/r8169.ko.xz: kernel/phy/libphy.ko.xz kernel/phy/mdio-devres.ko.xz\n\
                       kernel/phy/libphy.ko.xz:\nkernel/phy/mdio-devres.ko.xz: kernel/phy/libphy.ko.xz\n\
                       kernel/phy/realtek.ko.xz: kernel/phy/libphy.ko.xz\nkernel/fs/xfs.ko.xz:\n";

    #[test]
    fn hard_and_soft_dependencies_come_along_and_unknown_names_do_not() {
        let dependencies =
            Dependencies::parse(DEP, "softdep r8169 pre: realtek post: other\nalias x y\n");
        let files = dependencies.closure(&["r8169", "not_there", "mdio_devres"]);
        let names: Vec<_> = files.iter().map(|file| name_of(file)).collect();
        assert_eq!(names, ["r8169", "libphy", "mdio_devres", "realtek"]);
    }

    #[test]
    fn the_generic_flavour_has_everything_the_virtio_one_has() {
        let (virtio, generic) = (wanted(Flavour::Virtio), wanted(Flavour::Generic));
        assert!(virtio.iter().all(|name| generic.contains(name)));
        assert!(
            generic.iter().all(|name| !name.contains('-')),
            "names are looked up with underscores"
        );
    }
}
