//! `localboot.efi`: a small GRUB that iPXE chains to start the local disk (TRAPS, "Local boot on UEFI").

use std::{fs, io, path::Path, process::Command};

/// What it runs.
const CONFIG: &str = include_str!("localboot.cfg");
/// `-c` is read by GRUB's rescue parser, which knows neither `for` nor `if`: it only points at the real config.
const EARLY: &str = "set prefix=(memdisk)/boot/grub\n";
/// GRUB modules it needs.
const MODULES: [&str; 17] = [
    "memdisk",
    "tar",
    "part_msdos",
    "part_gpt",
    "fat",
    "ext2",
    "chain",
    "boot",
    "normal",
    "echo",
    "sleep",
    "test",
    "configfile",
    "regexp",
    "disk",
    "minicmd",
    "halt",
];

/// Builds it with `grub-mkimage`.
///
/// # Errors
/// When the tool or its x86-64 EFI modules are not installed.
pub(super) fn build() -> io::Result<Vec<u8>> {
    let work = std::env::temp_dir().join(format!("enforcer-localboot-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let made = build_in(&work);
    let cleaned = fs::remove_dir_all(&work);
    made.and_then(|program| cleaned.map(|()| program))
}

fn build_in(work: &Path) -> io::Result<Vec<u8>> {
    let (early, memdisk, out) = (
        work.join("early.cfg"),
        work.join("memdisk.tar"),
        work.join("localboot.efi"),
    );
    fs::write(&early, EARLY)?;
    fs::write(&memdisk, tar("boot/grub/grub.cfg", CONFIG.as_bytes()))?;
    let done = Command::new("grub-mkimage")
        .args(["-O", "x86_64-efi", "-p", "(memdisk)/boot/grub", "-o"])
        .arg(&out)
        .arg("-m")
        .arg(&memdisk)
        .arg("-c")
        .arg(&early)
        .args(MODULES)
        .output()?;
    if !done.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&done.stderr).into_owned(),
        ));
    }
    fs::read(&out)
}

/// A tar archive (ustar) of one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_tar_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        fs::write(&path, tar("boot/grub/grub.cfg", b"hello\n")).unwrap();
        let read = Command::new("tar")
            .arg("-xOf")
            .arg(&path)
            .arg("boot/grub/grub.cfg")
            .output()
            .unwrap();
        assert_eq!(read.stdout, b"hello\n");
    }
}
