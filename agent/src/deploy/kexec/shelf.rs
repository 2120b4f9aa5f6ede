//! A mounted file system as a stranger's shelf: paths are looked up below its root whatever links say (openat2(2),
//! `RESOLVE_IN_ROOT`), only plain files are opened, and what is read has a limit.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, open, openat2};

use super::entry::Entry;
use super::{bls, grub, syslinux};

/// A list of kernels is a few kilobytes; one with a megabyte is something else.
const MOST_LIST_BYTES: u64 = 1 << 20;
/// Kernels and first roots with every driver are below that.
const MOST_FILE_BYTES: u64 = 1 << 30;
/// A folder of loader entries has one for each kernel.
const MOST_ENTRIES: usize = 64;

type Parse = fn(&str) -> Option<Entry>;

/// Where boot loaders keep their lists, from the root of a file system that may be the whole system's or `/boot` alone.
const LISTS: [(&str, Parse); 10] = [
    ("boot/grub/grub.cfg", grub::entry),
    ("grub/grub.cfg", grub::entry),
    ("boot/grub2/grub.cfg", grub::entry),
    ("grub2/grub.cfg", grub::entry),
    ("boot/extlinux/extlinux.conf", syslinux::entry),
    ("extlinux/extlinux.conf", syslinux::entry),
    ("boot/extlinux.conf", syslinux::entry),
    ("extlinux.conf", syslinux::entry),
    ("syslinux/syslinux.cfg", syslinux::entry),
    ("syslinux.cfg", syslinux::entry),
];
/// Folders with a file for each kernel.
const FOLDERS: [&str; 2] = ["boot/loader/entries", "loader/entries"];

/// See the file's head.
pub(super) struct Shelf(OwnedFd);

impl Shelf {
    pub(super) fn open(root: &Path) -> Result<Self, String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(root, flags, Mode::empty()).map_err(|errno| errno.to_string())?;
        Ok(Self(root))
    }

    /// What the lists here would start, the likeliest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let loader = FOLDERS.iter().flat_map(|folder| self.folder(folder));
        let lists = LISTS.iter().filter_map(|(path, parse)| {
            let entry = parse(&self.text(path)?)?;
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            Some(beside(entry, folder))
        });
        loader.chain(lists).collect()
    }

    /// Whether all that the entry names is here.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let mut files = entry.initrds.iter().chain([&entry.kernel]);
        files.all(|path| self.file(path).is_ok())
    }

    /// Opens a plain file.
    pub(super) fn file(&self, path: &str) -> Result<File, String> {
        let file = self
            .plain(path)
            .map_err(|error| format!("{path}: {error}"))?;
        Ok(file)
    }

    fn plain(&self, path: &str) -> io::Result<File> {
        // A pipe must not hold us up.
        let file = File::from(self.at(path, OFlags::NONBLOCK)?);
        let found = file.metadata()?;
        if found.is_file() && (1..=MOST_FILE_BYTES).contains(&found.len()) {
            Ok(file)
        } else {
            Err(io::Error::other("it is no file of a sensible size"))
        }
    }

    fn at(&self, path: &str, more: OFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | more;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.0, path, flags, Mode::empty(), resolve)?)
    }

    fn text(&self, path: &str) -> Option<String> {
        let file = self.plain(path).ok()?;
        let mut bytes = Vec::new();
        let read = file.take(MOST_LIST_BYTES + 1).read_to_end(&mut bytes);
        let fits = read.is_ok_and(|len| len as u64 <= MOST_LIST_BYTES);
        // Titles may be in any encoding; what an entry needs is plain.
        fits.then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn folder(&self, path: &str) -> Vec<Entry> {
        let mut names = self.names(path).unwrap_or_default();
        bls::sort(&mut names);
        let texts = names
            .iter()
            .map(|name| self.text(&format!("{path}/{name}")));
        texts.filter_map(|text| bls::entry(&text?)).collect()
    }

    fn names(&self, folder: &str) -> Option<Vec<String>> {
        let open = self.at(folder, OFlags::DIRECTORY).ok()?;
        let listing = Dir::new(open).ok()?.take(MOST_ENTRIES).flatten();
        let names = listing.filter_map(|found| found.file_name().to_str().ok().map(str::to_owned));
        Some(names.filter(|name| name.ends_with(".conf")).collect())
    }
}

/// syslinux takes paths from its list's folder.
fn beside(entry: Entry, folder: &str) -> Entry {
    let absolute = |path: &String| match path.starts_with('/') {
        true => path.clone(),
        false => format!("/{folder}/{path}"),
    };
    Entry {
        kernel: absolute(&entry.kernel),
        initrds: entry.initrds.iter().map(absolute).collect(),
        cmdline: entry.cmdline,
    }
}
