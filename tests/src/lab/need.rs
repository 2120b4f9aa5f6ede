//! What the host must have: each missing thing is one sentence that names its Debian package or the command that helps.

use anyhow::{Result, bail, ensure};
use std::env;
use std::path::{Path, PathBuf};

/// The list that preflight.sh reads too: a program or a file, its Debian package, and a third word when not everybody needs it.
const LIST: &str = include_str!("../../packages.txt");

/// What everybody needs: (program or absolute path of a file, package).
fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
    LIST.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let entry = (words.next()?, words.next()?);
            words.next().is_none().then_some(entry)
        })
}

/// The package that brings a program or a file.
fn package_of(what: &str) -> Option<&'static str> {
    list()
        .find(|(known, _)| *known == what)
        .map(|(_, package)| package)
}

fn is_there(what: &str) -> bool {
    if what.starts_with('/') {
        Path::new(what).exists()
    } else {
        find(what).is_some()
    }
}

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
    let package = package_of(path).unwrap_or("the package that holds it");
    ensure!(
        Path::new(path).exists(),
        "the lab needs {path}, which this host lacks: apt-get install {package}"
    );
    Ok(())
}

/// Every program and file that some part of the lab uses and this host lacks, with the packages to install; empty when all is there.
pub fn missing() -> Vec<(&'static str, &'static str)> {
    list().filter(|(what, _)| !is_there(what)).collect()
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
    let package = |name: &&str| package_of(name).unwrap_or_default();
    let mut packages: Vec<&str> = missing.iter().map(package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_knows_what_everybody_needs_and_what_only_some_do() {
        assert_eq!(package_of("nft"), Some("nftables"));
        assert_eq!(package_of("in.tftpd"), None, "only for benches");
        assert!(LIST.contains("tftpd-hpa"));
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let packages = packages_of(&["mmd", "mcopy", "ip"]);
        assert_eq!(packages, "iproute2 mtools");
        let error = programs(&["no-such-program"]).unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }
}
