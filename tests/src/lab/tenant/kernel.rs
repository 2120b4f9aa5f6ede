//! Debian's cloud kernel, fetched once by apt into `tests/.cache`, and the cache itself.

use super::initrd::Initrd;
use crate::lab::{need, process};
use anyhow::{Context, Result, ensure};
use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// The package that depends on the newest kernel of its flavour.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// An unpacked kernel package.
#[derive(Debug)]
pub struct Kernel {
    root: PathBuf,
    version: String,
}

impl Kernel {
    /// e.g. `6.1.0-56-cloud-amd64`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The kernel itself, an x86 bzImage with EFI stub.
    pub fn image(&self) -> PathBuf {
        self.root
            .join("boot")
            .join(format!("vmlinuz-{}", self.version))
    }

    /// Puts modules and what they depend on into an initrd; their paths in loading order.
    pub fn add_modules(&self, initrd: &mut Initrd, names: &[String]) -> Result<Vec<String>> {
        let mut order = Vec::new();
        for name in names {
            let mut show = process::host("modprobe");
            show.args(["-S", &self.version, "--show-depends", name, "-d"])
                .arg(&self.root);
            for line in process::output(show)?.lines() {
                let Some(path) = line.strip_prefix("insmod ").map(str::trim) else {
                    continue;
                };
                let inside = Path::new(path)
                    .strip_prefix(&self.root)?
                    .display()
                    .to_string();
                if !order.contains(&inside) {
                    initrd.file(&inside, 0o644, &fs::read(path)?);
                    order.push(inside);
                }
            }
        }
        Ok(order)
    }
}

/// The kernel, fetched and unpacked if it is not there yet.
pub fn unpacked() -> Result<Kernel> {
    need::programs(&["apt-get", "dpkg-deb", "depmod", "modprobe"])?;
    let package = newest_package()?;
    let version = package.trim_start_matches("linux-image-").to_owned();
    let root = cached(&package, |half| {
        fs::create_dir_all(half)?;
        fetch(&package, half)?;
        // the package has no modules.dep: its postinst would make it
        let mut depmod = process::host("depmod");
        depmod.arg("-b").arg(half).arg(&version);
        process::output(depmod).map(drop)
    })?;
    Ok(Kernel { root, version })
}

/// What the meta package depends on; without apt's lists, what the cache already holds.
fn newest_package() -> Result<String> {
    let mut depends = process::host("apt-cache");
    depends.args(["depends", PACKAGE]);
    let listing = process::output(depends).unwrap_or_default();
    let listed = listing
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"));
    if let Some(package) = listed {
        return Ok(package.to_owned());
    }
    let names =
        fs::read_dir(folder()?)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let held = names
        .filter(|name| name.starts_with("linux-image-") && name.ends_with("cloud-amd64"))
        .max();
    held.with_context(|| {
        format!("apt knows no {PACKAGE} on this host: run `apt-get update` (Debian amd64)")
    })
}

fn fetch(package: &str, half: &Path) -> Result<()> {
    let mut download = process::host("apt-get");
    download
        .current_dir(half)
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", package]);
    process::output(download)
        .context("the tenant's kernel comes from Debian's archive, which must be reachable once")?;
    let entries = fs::read_dir(half)?.filter_map(|entry| Some(entry.ok()?.path()));
    let deb = entries
        .into_iter()
        .find(|path| path.extension().is_some_and(|kind| kind == "deb"))
        .context("apt-get downloaded no package")?;
    let mut unpack = process::host("dpkg-deb");
    unpack.arg("-x").arg(&deb).arg(half);
    process::output(unpack)?;
    Ok(fs::remove_file(deb)?)
}

/// A short key for a cached file's name from everything it was made of.
pub fn key(inputs: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    inputs.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// `tests/.cache` (git-ignored), or what `ENFORCER_TESTS_CACHE` names.
pub fn folder() -> Result<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache");
    let path = env::var_os("ENFORCER_TESTS_CACHE").map_or_else(default, PathBuf::from);
    fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

/// The file or folder `name` of the cache; when it is missing, `make` writes it under another name first, so that it appears whole or not at
/// all. One maker at a time, over all processes; the lock goes with the process that holds it.
pub fn cached(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = folder()?;
    let whole = folder.join(name);
    if whole.exists() {
        return Ok(whole);
    }
    let lock = File::create(folder.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !whole.exists() {
        let half = folder.join(format!("{name}.half"));
        let _ = fs::remove_dir_all(&half);
        let _ = fs::remove_file(&half);
        make(&half).with_context(|| format!("making {name}"))?;
        ensure!(half.exists(), "{name} was not made");
        fs::rename(&half, &whole)?;
    }
    Ok(whole)
}
