//! The first archive: busybox, the agent, the drivers with their index, `/init`.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::Flavour;
use super::build::BuildError;
use super::cpio::Archive;
use super::modules::{self, Dependencies};
use super::process;

const INIT: &str = include_str!("init.sh");
const DHCP_HOOK: &str = include_str!("udhcpc.sh");
/// A watchdog goes on while the machine goes down: it is armed only to watch a kernel start without the firmware, and a
/// firmware that resets the board resets it too.
const MODULE_OPTIONS: &str = "options watchdog stop_on_reboot=0\n";

/// Busybox commands that `/init` needs before it can install all of them.
const APPLETS: [&str; 18] = [
    "sh", "mount", "mkdir", "cat", "sort", "xargs", "modprobe", "ip", "ifconfig", "route",
    "udhcpc", "sleep", "tr", "rm", "mv", "echo", "printf", "wc",
];

/// Indexes that busybox's modprobe reads; the `.bin` ones are for kmod.
const INDEXES: [&str; 4] = [
    "modules.dep",
    "modules.alias",
    "modules.softdep",
    "modules.symbols",
];

/// What goes into the archive.
pub(super) struct Parts<'a> {
    /// Folder with the kernel package unpacked.
    pub(super) kernel_root: &'a Path,
    /// Kernel release.
    pub(super) release: &'a str,
    /// Which drivers.
    pub(super) flavour: Flavour,
    /// Static busybox.
    pub(super) busybox: Vec<u8>,
    /// Static agent.
    pub(super) agent: Vec<u8>,
    /// An empty folder to work in.
    pub(super) scratch: &'a Path,
}

/// Puts the archive together; also says how many drivers it has.
pub(super) fn assemble(parts: Parts<'_>) -> Result<(Archive, usize), BuildError> {
    let mut archive = Archive::default();
    for folder in [
        "proc", "sys", "dev", "run", "tmp", "mnt", "root", "usr/sbin", "usr/bin", "sbin", "etc",
    ] {
        archive.folder(folder);
    }
    archive.program("init", INIT);
    archive.program("bin/busybox", parts.busybox);
    for applet in APPLETS {
        archive.symlink(&format!("bin/{applet}"), "busybox");
    }
    // The kernel itself starts this one when it wants a module.
    archive.symlink("sbin/modprobe", "../bin/busybox");
    archive.program("etc/udhcpc/default.script", DHCP_HOOK);
    archive.file("etc/modprobe.d/enforcer.conf", MODULE_OPTIONS);
    archive.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/enforcer-management-os", format!("{}\n", parts.release));
    archive.program("bin/enforcer-agent", parts.agent);
    let count = add_modules(
        &mut archive,
        parts.kernel_root,
        parts.release,
        parts.flavour,
        parts.scratch,
    )?;
    Ok((archive, count))
}

fn add_modules(
    archive: &mut Archive,
    kernel_root: &Path,
    release: &str,
    flavour: Flavour,
    scratch: &Path,
) -> Result<usize, BuildError> {
    let below = format!("lib/modules/{release}");
    // Kernel packages may be laid out with or without /usr.
    let root = [kernel_root.to_owned(), kernel_root.join("usr")]
        .into_iter()
        .find(|root| root.join(&below).is_dir());
    let root =
        root.ok_or_else(|| BuildError::Layout(format!("the kernel package has no {below}")))?;
    // The package has no modules.dep: installing it would make one.
    depmod(&root, release)?;
    let from = root.join(&below);
    let read = |name: &str| {
        fs::read_to_string(from.join(name)).map_err(BuildError::file(&from.join(name)))
    };
    let dependencies = Dependencies::parse(&read("modules.dep")?, &read("modules.softdep")?);
    let files = dependencies.closure(&modules::wanted(flavour));
    let into = scratch.join(&below);
    for file in &files {
        let (plain, content) = plain_module(&from, file)?;
        let copy = into.join(&plain);
        super::build::write(&copy, &content)?;
        archive.file(&format!("{below}/{plain}"), content);
    }
    for name in ["modules.builtin", "modules.order"] {
        super::build::write(&into.join(name), read(name)?.as_bytes())?;
    }
    depmod(scratch, release)?;
    for name in INDEXES {
        let path = into.join(name);
        archive.file(
            &format!("{below}/{name}"),
            fs::read(&path).map_err(BuildError::file(&path))?,
        );
    }
    archive.file(
        &format!("{below}/modules.builtin"),
        read("modules.builtin")?,
    );
    Ok(files.len())
}

fn depmod(root: &Path, release: &str) -> Result<(), BuildError> {
    // Debian keeps it in /usr/sbin, which a user's PATH lacks.
    let program = ["/usr/sbin/depmod", "/sbin/depmod"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    process::run(
        Command::new(program.unwrap_or("depmod"))
            .arg("-b")
            .arg(root)
            .arg(release),
        "kmod",
    )?;
    Ok(())
}

/// A module's path without its compression and its content unpacked: one compression over the whole archive is smaller
/// than many small ones, and busybox reads only some forms.
fn plain_module(from: &Path, file: &str) -> Result<(String, Vec<u8>), BuildError> {
    let path = from.join(file);
    if let Some(plain) = file.strip_suffix(".xz") {
        let content = process::run(
            Command::new("xz")
                .args(["--decompress", "--stdout"])
                .arg(&path),
            "xz-utils",
        )?;
        return Ok((plain.to_owned(), content));
    }
    let mut packed = Vec::new();
    let open = fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut packed));
    open.map_err(BuildError::file(&path))?;
    match file.strip_suffix(".zst") {
        Some(plain) => Ok((
            plain.to_owned(),
            zstd::decode_all(packed.as_slice()).map_err(BuildError::file(&path))?,
        )),
        None => Ok((file.to_owned(), packed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::Stdio;

    #[test]
    fn packed_modules_are_unpacked_and_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let mut xz = Command::new("xz")
            .args(["--check=crc32", "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        xz.stdin.take().unwrap().write_all(b"module").unwrap();
        fs::write(
            folder.path().join("a.ko.xz"),
            xz.wait_with_output().unwrap().stdout,
        )
        .unwrap();
        fs::write(
            folder.path().join("b.ko.zst"),
            zstd::encode_all(&b"module"[..], 3).unwrap(),
        )
        .unwrap();
        fs::write(folder.path().join("c.ko"), "module").unwrap();
        for (file, want) in [("a.ko.xz", "a.ko"), ("b.ko.zst", "b.ko"), ("c.ko", "c.ko")] {
            let (name, content) = plain_module(folder.path(), file).unwrap();
            assert_eq!((name.as_str(), content.as_slice()), (want, &b"module"[..]));
        }
    }

    #[test]
    fn the_shell_accepts_both_scripts() {
        for script in [INIT, DHCP_HOOK] {
            let status = Command::new("sh")
                .args(["-n", "-c", script])
                .status()
                .unwrap();
            assert!(status.success());
        }
    }
}
