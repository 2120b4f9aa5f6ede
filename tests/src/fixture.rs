//! What stories boot: the management OS, built once by the real command and kept in the cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::lab;

/// The drivers of a management OS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Only virtio: quick to boot.
    Virtio,
    /// All common hardware.
    Generic,
}

impl Flavour {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Generic => "generic",
        }
    }
}

/// Folder of a management OS with the agent of this tree, as `management-os build --output` wrote it.
///
/// # Errors
/// When it cannot be built; the text is the command's.
pub fn management_os(flavour: Flavour) -> Result<PathBuf> {
    let agent = agent()?;
    let stamp = fnv(&fs::read(&agent)?) ^ recipe()?;
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache");
    let built = cache.join(format!("management-os-{}-{stamp:016x}", flavour.name()));
    if built.join("manifest.json").is_file() {
        return Ok(built);
    }
    fs::create_dir_all(&cache)?;
    let output = Command::new(lab::enforcer_binary()?)
        .args([
            "management-os",
            "build",
            "--flavour",
            flavour.name(),
            "--agent",
        ])
        .arg(&agent)
        .arg("--output")
        .arg(&built)
        .env("ENFORCER_STATE", cache.join("build-state"))
        .output()?;
    ensure!(
        output.status.success(),
        "management-os build failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(built)
}

/// Puts the management OS of `flavour` into a state folder, as `management-os import` does; before the controller starts, or while it runs.
///
/// # Errors
/// When it cannot be built or imported; the text is the command's.
pub fn install_management_os(state: &Path, flavour: Flavour) -> Result<()> {
    let built = management_os(flavour)?;
    let output = Command::new(lab::enforcer_binary()?)
        .args(["management-os", "--state"])
        .arg(state)
        .arg("import")
        .arg(built)
        .output()?;
    ensure!(
        output.status.success(),
        "management-os import failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The static agent, built by the project's script.
///
/// # Errors
/// When it cannot be built.
pub fn agent() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("sh")
        .arg(root.join("tests/build-agent.sh"))
        .output()?;
    ensure!(
        output.status.success(),
        "the agent cannot be built: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = String::from_utf8(output.stdout)?.trim().to_owned();
    root.join(path).canonicalize().context("the agent's path")
}

/// Puts into a folder what packages are made of: this tree's controller, without what a debugger wants, and the static agent.
///
/// # Errors
/// When a program cannot be built or written.
pub fn programs(into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    fs::copy(agent()?, into.join("enforcer-agent"))?;
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o");
    strip
        .arg(into.join("enforcer"))
        .arg(lab::enforcer_binary()?);
    lab::output(strip).map(drop)
}

/// Makes the Debian packages of [`programs`] in a folder, by the project's script.
///
/// # Errors
/// When a program cannot be built or packed; the text is the script's.
pub fn packages(space: &lab::Space) -> Result<PathBuf> {
    let (programs, debs) = (space.folder().file("programs"), space.folder().file("debs"));
    self::programs(&programs)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut script = Command::new("sh");
    script.arg(root.join("packaging/debs.sh"));
    script.env("PROGRAMS", programs).env("DEBS", &debs);
    script.env("COMPRESSION", "none");
    lab::output(script)?;
    Ok(debs)
}

/// Folder of the static controller and agent for aarch64, built by the project's script.
///
/// # Errors
/// When they cannot be built; the text is the script's.
pub fn arm64_programs() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut script = Command::new("sh");
    script.arg(root.join("tests/build-arm64.sh"));
    let path = lab::output(script)?;
    root.join(path.trim())
        .canonicalize()
        .context("the folder of programs for aarch64")
}

/// Makes the Debian packages of [`arm64_programs`] in a folder; what a program says of itself is said by the one that runs here.
///
/// # Errors
/// When a program cannot be built or packed; the text is the script's.
pub fn arm64_packages(space: &lab::Space) -> Result<PathBuf> {
    let debs = space.folder().file("debs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut script = Command::new("sh");
    script.arg(root.join("packaging/build-debs.sh"));
    script.arg(arm64_programs()?).arg("arm64").arg(&debs);
    script.env("ENFORCER", lab::enforcer_binary()?);
    script.env("COMPRESSION", "none");
    lab::output(script)?;
    Ok(debs)
}

/// A number that changes when the code that builds a management OS does.
fn recipe() -> Result<u64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controller/src/management_os");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .collect();
    files.sort();
    files.iter().try_fold(0_u64, |sum, file| {
        Ok(sum.rotate_left(7) ^ fnv(&fs::read(file)?))
    })
}

/// FNV-1a, to name cache entries by content.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
