//! What the host must have: each missing thing is one sentence that names its Debian package or the command that helps.

use anyhow::{Result, bail, ensure};
use std::env;
use std::path::{Path, PathBuf};

/// Programs that the lab calls, with the Debian package that holds each.
const PROGRAMS: &[(&str, &str)] = &[
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("dnsmasq", "dnsmasq-base"),
    ("nginx", "nginx-light"),
    ("tcpdump", "tcpdump"),
    ("curl", "curl"),
    ("busybox", "busybox-static"),
    ("mmd", "mtools"),
    ("mcopy", "mtools"),
    ("sfdisk", "fdisk"),
    ("mkfs.fat", "dosfstools"),
    ("syslinux", "syslinux"),
    ("grub-mkimage", "grub-common"),
    ("cpio", "cpio"),
    ("dhcrelay", "isc-dhcp-relay"),
    ("apt-get", "apt"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("dpkg-deb", "dpkg"),
];

/// Files that packages bring without a program.
const FILES: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"),
    ("/usr/lib/ipxe/qemu/pxe-virtio.rom", "ipxe-qemu"),
    ("/usr/lib/ipxe/ipxe.efi", "ipxe"),
    ("/usr/lib/syslinux/mbr/mbr.bin", "syslinux-common"),
    ("/usr/lib/grub/x86_64-efi/moddep.lst", "grub-efi-amd64-bin"),
];

/// The search path for lab programs: the user's own, then the system folders that a user's path often lacks.
pub fn search_path() -> String {
    let own = env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
}

/// Where a program is, if anywhere on [`search_path`].
pub fn find(program: &str) -> Option<PathBuf> {
    search_path()
        .split(':')
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.is_file())
}

/// Fails with one sentence unless every named program is installed.
pub fn programs(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| find(name).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "the lab needs {}, which this host lacks: apt-get install {}",
        missing.join(", "),
        packages_of(&missing)
    )
}

/// Fails with one sentence unless a known file of a package is there.
pub fn file(path: &str) -> Result<()> {
    let package = FILES
        .iter()
        .find(|(known, _)| *known == path)
        .map_or("the package that holds it", |(_, package)| package);
    ensure!(
        Path::new(path).exists(),
        "the lab needs {path}, which this host lacks: apt-get install {package}"
    );
    Ok(())
}

/// Every program and file that some part of the lab uses and this host lacks, with the packages to install; empty when all is there.
pub fn missing() -> Vec<(&'static str, &'static str)> {
    let programs = PROGRAMS.iter().filter(|(name, _)| find(name).is_none());
    let files = FILES.iter().filter(|(path, _)| !Path::new(path).exists());
    programs.chain(files).copied().collect()
}

/// Fails with one sentence that names every package this host lacks for the whole lab.
pub fn everything() -> Result<()> {
    let missing = missing();
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    ensure!(
        missing.is_empty(),
        "the lab needs {}, which this host lacks: apt-get install {}",
        names.join(", "),
        packages.join(" ")
    );
    Ok(())
}

fn packages_of(missing: &[&str]) -> String {
    let package = |name: &&str| {
        PROGRAMS
            .iter()
            .find(|(known, _)| known == name)
            .map_or(*name, |(_, package)| package)
            .to_owned()
    };
    let mut packages: Vec<String> = missing.iter().map(package).collect();
    packages.sort();
    packages.dedup();
    packages.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let packages = packages_of(&["mmd", "mcopy", "ip"]);
        assert_eq!(packages, "iproute2 mtools");
        let error = programs(&["no-such-program"]).unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }
}
