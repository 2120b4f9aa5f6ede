//! Builds a management OS from Debian packages and our static agent: packages → unpacked roots → two archives → manifest
//! → in place. Every step tells its progress; nothing is visible until all of it is there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apt::{self, AptError, AptRoot, Deb};
use super::install::{self, InstallError};
use super::manifest::{self, MANIFEST, Manifest, ManifestError};
use super::process::ToolError;
use super::{Arch, Flavour, elf, initramfs, tools};
use crate::ordered::Gather as _;

/// Measured with the generic archive (31 MB) under an emulated CPU, kernel start to `/init`: zstd 4.6 s (6.6 MB), not
/// compressed 4.7 s, gzip 6.6 s (9.0 MB), xz 12 s (5.9 MB).
const ZSTD_LEVEL: i32 = 19;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// For machines of this architecture.
    pub arch: Arch,
    /// With these drivers.
    pub flavour: Flavour,
    /// The static agent; `None` takes `enforcer-agent` beside the running program.
    pub agent: Option<PathBuf>,
    /// State folder: cache and, without `output`, the result.
    pub state: PathBuf,
    /// Write the result here instead of into the state folder.
    pub output: Option<PathBuf>,
}

/// What was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// Folder that holds it.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Packages could not be had.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no agent to put in.
    #[error(
        "there is no agent at {0}: build it with `tests/build-agent.sh` and name it with --agent"
    )]
    NoAgent(PathBuf),
    /// The agent would need libraries that the management OS does not have.
    #[error(
        "{0} is dynamically linked (it wants {1}), and the management OS has no libraries: build a static one with \
         `tests/build-agent.sh` (cargo with RUSTFLAGS='-C target-feature=+crt-static') and name it with --agent"
    )]
    DynamicAgent(PathBuf, String),
    /// The agent is for another CPU, or no program at all.
    #[error(
        "{0} is not a program for {1}: build the agent for that architecture and name it with --agent"
    )]
    ForeignAgent(PathBuf, Arch),
    /// A package does not look as we know it.
    #[error("{0}: Debian changed its packages, please report this")]
    Layout(String),
    /// The result could not be described.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The result could not be put in place.
    #[error(transparent)]
    Install(#[from] InstallError),
}

impl BuildError {
    /// For `map_err` on file operations.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Builds and puts in place; blocks for a minute or more, most of it downloading and compressing.
///
/// # Errors
/// With a sentence that names the cure.
pub fn build(options: &BuildOptions, progress: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
    let agent = read_agent(options)?;
    let cache = options
        .state
        .join("cache/management-os")
        .join(options.arch.to_string());
    let apt = AptRoot::open(&absolute(&cache)?, options.arch)?;
    progress("fetching Debian's package lists");
    apt.update()?;
    let packages = fetch(&apt, options, progress)?;
    let folder = options
        .output
        .clone()
        .unwrap_or_else(|| install::folder_of(&options.state, options.arch, options.flavour));
    let staging = install::Staging::beside(&folder)?;
    let scratch = Scratch::new(&cache)?;
    let manifest = assemble(
        options,
        &packages,
        agent,
        &scratch.0,
        staging.path(),
        progress,
    )?;
    staging.put_in_place()?;
    Ok(Built { folder, manifest })
}

/// Everything downloaded, by what it is for.
struct Packages {
    kernel: Deb,
    busybox: Deb,
    tools: Vec<Deb>,
}

fn fetch(
    apt: &AptRoot,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Packages, BuildError> {
    let meta = options.flavour.kernel_package(options.arch);
    let kernel = apt
        .record(meta)?
        .depends
        .into_iter()
        .find(|name| name.starts_with("linux-image-"));
    let kernel =
        kernel.ok_or_else(|| BuildError::Layout(format!("{meta} depends on no kernel")))?;
    let tools = tools::packages(apt)?;
    progress(&format!(
        "fetching {kernel}, busybox-static and {} packages of tools",
        tools.len()
    ));
    let mut all = vec![kernel, "busybox-static".to_owned()];
    all.extend(tools);
    let mut debs = apt.download(&all)?;
    let mut take = |name: &str| {
        let at = debs.iter().position(|deb| deb.name == name);
        at.map(|at| debs.remove(at))
            .ok_or_else(|| BuildError::Layout(format!("apt did not fetch {name}")))
    };
    Ok(Packages {
        kernel: take(&all[0])?,
        busybox: take(&all[1])?,
        tools: debs,
    })
}

fn assemble(
    options: &BuildOptions,
    packages: &Packages,
    agent: Vec<u8>,
    scratch: &Path,
    staging: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Manifest, BuildError> {
    let release = packages
        .kernel
        .name
        .trim_start_matches("linux-image-")
        .to_owned();
    progress(&format!("unpacking kernel {release}"));
    let kernel_root = scratch.join("kernel");
    apt::unpack(&packages.kernel.path, &kernel_root)?;
    let vmlinuz = kernel_root.join(format!("boot/vmlinuz-{release}"));
    write(&staging.join("vmlinuz"), &read(&vmlinuz)?)?;
    let agent_sha256 = manifest::sha256_of_bytes(&agent);
    let parts = initramfs::Parts {
        kernel_root: &kernel_root,
        release: &release,
        flavour: options.flavour,
        busybox: busybox(&packages.busybox, &scratch.join("base"))?,
        agent,
        scratch: &scratch.join("modules"),
    };
    let (archive, drivers) = initramfs::assemble(parts)?;
    progress(&format!(
        "compressing the first archive ({drivers} drivers)"
    ));
    compress(&archive.encode(), &staging.join("initrd.img"))?;
    let tools_root = scratch.join("tools");
    for deb in &packages.tools {
        apt::unpack(&deb.path, &tools_root)?;
    }
    progress("compressing the tools");
    let tools = tools::assemble(&tools_root, options.arch)?.encode();
    compress(&tools, &staging.join("tools.img"))?;
    let manifest = Manifest {
        kernel: release,
        agent_sha256,
        packages: versions(packages),
        ..Manifest::describe(staging, options.arch, options.flavour)?
    };
    write_manifest(&manifest, staging)?;
    Ok(manifest)
}

/// The program in its package, unpacked to `root`.
fn busybox(package: &Deb, root: &Path) -> Result<Vec<u8>, BuildError> {
    apt::unpack(&package.path, root)?;
    let places = [root.join("bin/busybox"), root.join("usr/bin/busybox")];
    let found = places.into_iter().find(|path| path.exists());
    let missing = || BuildError::Layout("busybox-static has no busybox".into());
    read(&found.ok_or_else(missing)?)
}

fn versions(packages: &Packages) -> BTreeMap<String, String> {
    let all = packages
        .tools
        .iter()
        .chain([&packages.kernel, &packages.busybox]);
    all.map(|deb| (deb.name.clone(), deb.version.clone()))
        .gather()
}

fn write_manifest(manifest: &Manifest, folder: &Path) -> Result<(), BuildError> {
    let path = folder.join(MANIFEST);
    let mut text = serde_json::to_vec_pretty(manifest)
        .map_err(|error| BuildError::file(&path)(error.into()))?;
    text.push(b'\n');
    write(&path, &text)
}

fn compress(archive: &[u8], path: &Path) -> Result<(), BuildError> {
    let packed = zstd::bulk::compress(archive, ZSTD_LEVEL).map_err(BuildError::file(path))?;
    write(path, &packed)
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(BuildError::file(path))
}

/// Writes a file and the folders above it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), BuildError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, content))
        .map_err(BuildError::file(path))
}

fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(BuildError::file(path))
}

fn read_agent(options: &BuildOptions) -> Result<Vec<u8>, BuildError> {
    let beside = || {
        std::env::current_exe()
            .unwrap_or_default()
            .with_file_name("enforcer-agent")
    };
    let path = options.agent.clone().unwrap_or_else(beside);
    let content = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BuildError::NoAgent(path));
        }
        other => other.map_err(BuildError::file(&path))?,
    };
    check_agent(&path, &content, options.arch)?;
    Ok(content)
}

fn check_agent(path: &Path, content: &[u8], arch: Arch) -> Result<(), BuildError> {
    match elf::read(content) {
        Some(elf) if elf.arch != Some(arch) => Err(BuildError::ForeignAgent(path.to_owned(), arch)),
        Some(elf) => match elf.loader.or_else(|| elf.needed.first().cloned()) {
            Some(wants) => Err(BuildError::DynamicAgent(path.to_owned(), wants)),
            None => Ok(()),
        },
        None => Err(BuildError::ForeignAgent(path.to_owned(), arch)),
    }
}

/// A folder to work in that is gone afterwards, also after an error.
struct Scratch(PathBuf);

impl Scratch {
    fn new(cache: &Path) -> Result<Self, BuildError> {
        let path = cache.join(format!("work-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(BuildError::file(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed only costs space.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(content: &[u8], arch: Arch) -> String {
        check_agent(Path::new("/x/agent"), content, arch)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_dynamic_agent_is_refused_with_the_cure() {
        let dynamic = fs::read(std::env::current_exe().unwrap()).unwrap();
        let (own, other) = if cfg!(target_arch = "x86_64") {
            (Arch::Amd64, Arch::Arm64)
        } else {
            (Arch::Arm64, Arch::Amd64)
        };
        let text = refusal(&dynamic, own);
        assert!(
            text.contains("dynamically linked") && text.contains("build-agent.sh"),
            "{text}"
        );
        assert!(refusal(&dynamic, other).contains(&format!("not a program for {other}")));
        assert!(refusal(b"#!/bin/sh\n", own).contains("not a program for"));
    }

    #[test]
    fn a_missing_agent_is_said_before_anything_is_fetched() {
        let state = tempfile::tempdir().unwrap();
        let options = BuildOptions {
            arch: Arch::Amd64,
            flavour: Flavour::Virtio,
            agent: Some(state.path().join("none")),
            state: state.path().to_owned(),
            output: None,
        };
        let error = build(&options, &mut |line| panic!("did {line}")).unwrap_err();
        assert!(matches!(error, BuildError::NoAgent(_)), "{error}");
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
