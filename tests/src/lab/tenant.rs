//! A tenant's own operating system: a 24 MiB disk with a real kernel that prints `TENANT-OS-UP <name> fw=bios|uefi` on the serial line.
//!
//! Better evidence than a [`super::marker`] disk (loader, kernel and init really ran from this disk) and slower by seconds. Built without
//! root from Debian's cloud kernel and busybox, and kept in `tests/.cache`, named by everything it was made from.

pub mod image;
pub mod initrd;
pub mod kernel;

use super::machine::Firmware;
use super::marker::BootsOn;
use super::{need, process};
use anyhow::{Context, Result, ensure};
use image::{EspPlace, Image};
use initrd::Initrd;
use kernel::Kernel;
use std::fs;
use std::path::{Path, PathBuf};

/// Room for the kernel (9 MB), a small initrd and two loaders.
const SIZE_MIB: u64 = 24;
/// Goes into the cache key beside all texts and files: raise it when the way a disk is put together changes.
const RECIPE: u32 = 2;
/// No chatter, no waiting for entropy, no mitigations: seconds under emulation. And no test of the timer, whose ticks an
/// emulated machine misses on a busy host.
const QUICK: &str = "loglevel=4 edd=off random.trust_cpu=on mitigations=off nokaslr no_timer_check";

/// The text that disk `name` prints under `firmware`; serial number and kernel version follow on the same line.
pub fn line(name: &str, firmware: Firmware) -> String {
    format!("TENANT-OS-UP {name} fw={}", firmware.name())
}

/// What init does after it has printed its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Then {
    /// A shell on the serial line.
    #[default]
    Stay,
    /// Reboot by itself after a second: a guest's reset.
    Reboot,
    /// Switch off.
    PowerOff,
    /// End: the kernel panics without its init, and reboots ten seconds later.
    Panic,
}

/// A tenant disk as a story asks for it.
#[derive(Debug, Clone, Hash)]
pub struct Tenant {
    name: String,
    boots_on: BootsOn,
    place: EspPlace,
    then: Then,
    modules: Vec<String>,
    files: Vec<(String, PathBuf)>,
    script: String,
}

impl Tenant {
    /// Boots on BIOS and UEFI, stays up, loads no modules (its disk then is invisible to it, which its marker does not need).
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            boots_on: BootsOn::Both,
            place: EspPlace::MbrFirst,
            then: Then::Stay,
            modules: Vec::new(),
            files: Vec::new(),
            script: String::new(),
        }
    }

    /// Default: both.
    pub fn boots_on(mut self, boots_on: BootsOn) -> Self {
        self.boots_on = boots_on;
        self
    }

    /// Where the ESP lies. Default: MBR, partition 1. The other places boot on UEFI only.
    pub fn esp(mut self, place: EspPlace) -> Self {
        self.place = place;
        self
    }

    /// Default: stay.
    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// Kernel modules to load at start, e.g. `virtio_net` and `virtio_pci`, with what they depend on.
    pub fn modules(mut self, names: &[&str]) -> Self {
        self.modules
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// A file of the host (mode 0755) at `path` in the tenant's root.
    pub fn file(mut self, path: &str, source: impl Into<PathBuf>) -> Self {
        self.files.push((path.to_owned(), source.into()));
        self
    }

    /// A shell script that init runs after its line (busybox's commands are there).
    pub fn script(mut self, script: &str) -> Self {
        script.clone_into(&mut self.script);
        self
    }

    /// The disk image: from the cache, or made now. Use it by [`super::Disk::copy_of`], or flash it.
    pub fn image(&self) -> Result<PathBuf> {
        self.check_name()?;
        ensure!(
            !self.boots_on.bios() || self.place == EspPlace::MbrFirst,
            "syslinux boots only from partition 1 of an MBR: choose BootsOn::UefiOnly for this ESP"
        );
        let kernel = kernel::unpacked()?;
        let key = self.key(&kernel)?;
        let name = format!("tenant-{}-{key}.img", self.name);
        kernel::cached(&name, |half| self.write(half, &kernel))
    }

    /// Kernel and initrd of this tenant as files, to boot it over the network: `(vmlinuz, initrd.img)`.
    pub fn kernel_and_initrd(&self) -> Result<(PathBuf, PathBuf)> {
        self.check_name()?;
        let kernel = kernel::unpacked()?;
        let key = self.key(&kernel)?;
        let initrd = kernel::cached(&format!("initrd-{}-{key}.img", self.name), |half| {
            self.initrd(&kernel)?.write_gzip(half)
        })?;
        Ok((kernel.image(), initrd))
    }

    /// The name goes into a script, a command line and a file name.
    fn check_name(&self) -> Result<()> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        ensure!(
            self.name.chars().all(plain),
            "a tenant's name has letters, digits and hyphens: {:?}",
            self.name
        );
        Ok(())
    }

    /// Everything an image or initrd is made from.
    fn key(&self, kernel: &Kernel) -> Result<String> {
        let texts = [self.init(&[]), self.syslinux(), self.grub_config()];
        Ok(kernel::key(&(
            self,
            RECIPE,
            texts,
            kernel.version(),
            stamps(self.inputs())?,
        )))
    }

    fn inputs(&self) -> impl Iterator<Item = &Path> {
        let own = self.files.iter().map(|(_, source)| source.as_path());
        own.chain([Path::new("/bin/busybox")])
    }

    fn write(&self, file: &Path, kernel: &Kernel) -> Result<()> {
        let work = file.with_extension("parts");
        fs::create_dir_all(&work)?;
        let image = Image::create(file, SIZE_MIB, self.place)?;
        let initrd = work.join("initrd.img");
        self.initrd(kernel)?.write_gzip(&initrd)?;
        image.copy_in(&kernel.image(), "/vmlinuz")?;
        image.copy_in(&initrd, "/initrd.img")?;
        let text = |name: &str, content: String| -> Result<PathBuf> {
            fs::write(work.join(name), content)?;
            Ok(work.join(name))
        };
        image.copy_in(&text("marker", format!("{}\n", self.name))?, "/TENANT.TXT")?;
        if self.boots_on.bios() {
            image.copy_in(&text("syslinux.cfg", self.syslinux())?, "/syslinux.cfg")?;
            install_syslinux(&image)?;
        }
        if self.boots_on.uefi() {
            let loader = work.join("BOOTX64.EFI");
            grub(&text("grub.cfg", self.grub_config())?, &loader)?;
            image.folder("/EFI")?;
            image.folder("/EFI/BOOT")?;
            image.copy_in(&loader, "/EFI/BOOT/BOOTX64.EFI")?;
        }
        Ok(fs::remove_dir_all(&work)?)
    }

    fn initrd(&self, kernel: &Kernel) -> Result<Initrd> {
        let mut initrd = Initrd::with_busybox()?;
        let paths = kernel.add_modules(&mut initrd, &self.modules)?;
        for (path, source) in &self.files {
            initrd.file(
                path,
                0o755,
                &fs::read(source).with_context(|| source.display().to_string())?,
            );
        }
        initrd.file("init", 0o755, self.init(&paths).as_bytes());
        Ok(initrd)
    }

    fn init(&self, modules: &[String]) -> String {
        let load: String = modules
            .iter()
            .map(|path| format!("insmod /{path}\n"))
            .collect();
        let then = match self.then {
            Then::Stay => "exec setsid cttyhack sh",
            Then::Reboot => "sleep 1; reboot -f",
            Then::PowerOff => "poweroff -f",
            Then::Panic => "exit 1",
        };
        format!(
            "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\nmount -t proc proc /proc\nmount -t sysfs sysfs /sys\n\
             mount -t devtmpfs dev /dev\nfw=bios; [ -d /sys/firmware/efi ] && fw=uefi\n\
             echo \"TENANT-OS-UP {} fw=$fw serial=$(cat /sys/class/dmi/id/product_serial) kernel=$(uname -r)\"\n{load}{}\n{then}\n",
            self.name, self.script
        )
    }

    fn command_line(&self) -> String {
        format!(
            "console=ttyS0,115200 panic=10 tenant.name={} {QUICK}",
            self.name
        )
    }

    fn syslinux(&self) -> String {
        let append = self.command_line();
        format!(
            "SERIAL 0 115200\nDEFAULT t\nPROMPT 0\nTIMEOUT 1\nLABEL t\n  KERNEL /vmlinuz\n  INITRD /initrd.img\n  APPEND {append}\n"
        )
    }

    /// The disk's own file tells which partition is ours, wherever it lies.
    fn grub_config(&self) -> String {
        let append = self.command_line();
        format!(
            "serial --unit=0 --speed=115200\nterminal_output console serial\nsearch --no-floppy --set=root --file /TENANT.TXT\n\
             linux /vmlinuz {append}\ninitrd /initrd.img\nboot\n"
        )
    }
}

/// Path, size and time of what goes in from the host: a changed file makes a new image.
fn stamps<'a>(files: impl Iterator<Item = &'a Path>) -> Result<Vec<String>> {
    let stamp = |path: &Path| -> Result<String> {
        let meta = fs::metadata(path).with_context(|| path.display().to_string())?;
        Ok(format!(
            "{} {} {:?}",
            path.display(),
            meta.len(),
            meta.modified()?
        ))
    };
    files.map(stamp).collect()
}

fn install_syslinux(image: &Image) -> Result<()> {
    need::programs(&["syslinux"])?;
    need::file("/usr/lib/syslinux/mbr/mbr.bin")?;
    let mut install = process::host("syslinux");
    install
        .args(["--install", "--offset", &image.offset().to_string()])
        .arg(image.file());
    process::output(install)?;
    image.write_boot_code(&fs::read("/usr/lib/syslinux/mbr/mbr.bin")?)
}

fn grub(config: &Path, loader: &Path) -> Result<()> {
    /// What the configuration's commands and the disk's layout need.
    const MODULES: &str =
        "part_msdos part_gpt fat search search_fs_file linux boot serial normal echo";
    need::programs(&["grub-mkimage"])?;
    need::file("/usr/lib/grub/x86_64-efi/moddep.lst")?;
    let mut make = process::host("grub-mkimage");
    make.args(["-O", "x86_64-efi", "-p", "/EFI/BOOT", "-o"])
        .arg(loader)
        .arg("-c")
        .arg(config);
    make.args(MODULES.split(' '));
    process::output(make).map(drop)
}
