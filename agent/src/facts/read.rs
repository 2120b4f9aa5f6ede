//! Bounded reads of kernel attributes: a file that is missing, unreadable or not text is simply absent.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use mesh_proto::facts::normalised;

/// A sysfs attribute is at most one page.
const ATTRIBUTE_LIMIT_BYTES: u64 = 4096;

/// Devices of one class that are looked at; a JBOD shelf shows some hundred disks.
const FOLDER_LIMIT: usize = 4096;

/// The trimmed text of one attribute, `None` when it is missing or blank.
pub(super) fn text(path: &Path) -> Option<String> {
    normalised(&text_up_to(path, ATTRIBUTE_LIMIT_BYTES)?)
}

/// The first `limit` bytes of a file as text, bad UTF-8 replaced.
pub(super) fn text_up_to(path: &Path, limit: u64) -> Option<String> {
    bytes_up_to(path, limit).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The first `limit` bytes of a file.
pub(super) fn bytes_up_to(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(limit)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// A number attribute.
pub(super) fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// A `0`/`1` attribute; missing is false.
pub(super) fn flag(path: &Path) -> bool {
    text(path).as_deref() == Some("1")
}

/// Names and paths in a folder, sorted by name.
pub(super) fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(listing) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<_> = listing
        .take(FOLDER_LIMIT)
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    found.sort();
    found
}

/// The last part of what a symbolic link points to (a driver's name).
pub(super) fn link_name(path: &Path) -> Option<String> {
    std::fs::read_link(path)
        .ok()?
        .file_name()?
        .to_str()
        .map(str::to_owned)
}
