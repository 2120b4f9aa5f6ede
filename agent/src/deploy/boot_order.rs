//! The firmware's boot order (UEFI 2.10 §3.1): the network stays first, whatever an installer wanted, and the written disk
//! comes next. Decided here as a value; the variables are files below efivarfs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::host::Part;

/// The GUID of variables that the specification names.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Kept over a restart, and seen by boot programs and systems.
const ATTRIBUTES: [u8; 4] = [7, 0, 0, 0];
/// The entry takes part in the boot order.
const ACTIVE: u32 = 1;
/// A boot entry is a few hundred bytes.
const MOST_BYTES: usize = 16 << 10;

/// What a device path is about: type and subtype of one of its nodes.
const MAC_NODE: (u8, u8) = (3, 11);
const DISK_NODE: (u8, u8) = (4, 1);

/// What the firmware has, and what is to become of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// The entry this system was booted by.
    pub(super) current: Option<u16>,
    pub(super) order: Vec<u16>,
    /// Load options by number, without attributes of the variable.
    pub(super) entries: BTreeMap<u16, Vec<u8>>,
}

/// What has to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewOrder {
    pub(super) order: Vec<u16>,
    /// An entry for the written disk, where none was.
    pub(super) entry: Option<(u16, Vec<u8>)>,
}

impl Order {
    /// Network first, and of these the one that worked; then the written disk; then the rest as it was.
    pub(super) fn with_disk(&self, esp: &Part, sector_size: u32) -> NewOrder {
        let id = esp.id.unwrap_or_default();
        let is_disk = |number: &u16| {
            self.node(*number, DISK_NODE)
                .is_some_and(|node| node.get(24..40) == Some(&id))
        };
        let is_network = |number: &u16| self.node(*number, MAC_NODE).is_some();
        let known = self.entries.keys().copied();
        let mut entry = None;
        let mut disk: Vec<_> = known.clone().filter(is_disk).collect();
        if disk.is_empty() && esp.id.is_some() {
            let free = (0..=u16::MAX).find(|number| !self.entries.contains_key(number));
            entry = free.map(|number| (number, load_option(esp, id, sector_size)));
            disk.extend(free);
        }
        let network = self
            .current
            .into_iter()
            .chain(self.order.iter().copied())
            .filter(is_network);
        let mut order: Vec<u16> = Vec::new();
        for number in network.chain(disk).chain(self.order.iter().copied()) {
            if !order.contains(&number) {
                order.push(number);
            }
        }
        NewOrder { order, entry }
    }

    /// A node of an entry's device path.
    fn node(&self, number: u16, wanted: (u8, u8)) -> Option<&[u8]> {
        let option = self.entries.get(&number)?;
        let description = option.get(6..)?.chunks_exact(2);
        let letters = description.take_while(|unit| **unit != [0, 0]).count();
        let mut path = option.get(6 + 2 * letters + 2..)?;
        loop {
            let len = usize::from(u16::from_le_bytes([*path.get(2)?, *path.get(3)?]));
            let node = path.get(..len.max(4))?;
            match (node[0], node[1]) {
                found if found == wanted => return Some(node),
                (0x7F, _) => return None,
                _ => path = &path[node.len()..],
            }
        }
    }
}

/// "Enforcer": the boot program that every system's removable media have, on this partition.
fn load_option(esp: &Part, id: [u8; 16], sector_size: u32) -> Vec<u8> {
    let program = match std::env::consts::ARCH {
        "aarch64" => "\\EFI\\BOOT\\BOOTAA64.EFI",
        _ => "\\EFI\\BOOT\\BOOTX64.EFI",
    };
    let sector = u64::from(sector_size);
    let mut disk = vec![DISK_NODE.0, DISK_NODE.1, 42, 0];
    disk.extend(esp.number.to_le_bytes());
    disk.extend((esp.range.start / sector).to_le_bytes());
    disk.extend(((esp.range.end - esp.range.start) / sector).to_le_bytes());
    disk.extend(id);
    // A GUID table, and a signature that is a GUID.
    disk.extend([2, 2]);
    let text = utf16(program);
    let mut path = disk;
    path.extend([4, 4]);
    path.extend(
        u16::try_from(text.len() + 4)
            .expect("a short path")
            .to_le_bytes(),
    );
    path.extend(text);
    path.extend([0x7F, 0xFF, 4, 0]);
    let mut option = ACTIVE.to_le_bytes().to_vec();
    option.extend(
        u16::try_from(path.len())
            .expect("a short path")
            .to_le_bytes(),
    );
    option.extend(utf16("Enforcer"));
    option.extend(path);
    option
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// The variables in this folder; `None` where the firmware has none.
pub(super) fn read(folder: &Path) -> Option<Order> {
    let mut found = Order::default();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(name) = name
            .strip_suffix(GLOBAL)
            .and_then(|name| name.strip_suffix('-'))
        else {
            continue;
        };
        let value = || {
            let bytes = fs::read(entry.path()).ok()?;
            Some(
                bytes
                    .get(4..)
                    .filter(|value| value.len() <= MOST_BYTES)?
                    .to_vec(),
            )
        };
        if name == "BootOrder" {
            found.order = numbers(&value()?);
        } else if name == "BootCurrent" {
            found.current = numbers(&value()?).first().copied();
        } else if let Some(number) = name.strip_prefix("Boot").filter(|digits| digits.len() == 4)
            && let Ok(number) = u16::from_str_radix(number, 16)
            && let Some(option) = value()
        {
            found.entries.insert(number, option);
        }
    }
    (!found.order.is_empty()).then_some(found)
}

/// Writes what differs, and reads it back.
pub(super) fn write(folder: &Path, before: &Order, new: &NewOrder) -> io::Result<()> {
    if let Some((number, option)) = &new.entry {
        set(folder, &format!("Boot{number:04X}"), option)?;
    }
    if new.order != before.order {
        let bytes: Vec<u8> = new
            .order
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        set(folder, "BootOrder", &bytes)?;
    }
    let now = read(folder).unwrap_or_default();
    let kept = |(number, option): &(u16, Vec<u8>)| now.entries.get(number) == Some(option);
    if now.order != new.order || !new.entry.as_ref().is_none_or(kept) {
        return Err(io::Error::other(
            "the firmware did not keep what was written",
        ));
    }
    Ok(())
}

/// One write, attributes first; existing variables are protected against a careless `rm` (`chattr -i`).
fn set(folder: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let path: PathBuf = folder.join(format!("{name}-{GLOBAL}"));
    if let Ok(file) = File::open(&path)
        && let Ok(flags) = ioctl_getflags(&file)
    {
        // Where the flag cannot be taken away, the write below says so.
        let _refused = ioctl_setflags(&file, flags.difference(IFlags::IMMUTABLE));
    }
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.write_all(&[&ATTRIBUTES, value].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [7; 16];

    fn esp() -> Part {
        Part {
            name: None,
            number: 15,
            range: 1 << 20..5 << 20,
            id: Some(ID),
            is_esp: true,
        }
    }

    fn option(name: &str, node: &[u8]) -> Vec<u8> {
        let mut option = vec![1, 0, 0, 0, 0, 0];
        option.extend(utf16(name));
        option.extend([2, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        option.extend(node);
        option.extend([0x7F, 0xFF, 4, 0]);
        option
    }

    fn firmware() -> Order {
        let mut mac = vec![3, 11, 37, 0];
        mac.resize(37, 0);
        let mut disk = vec![4, 1, 42, 0];
        disk.resize(42, 9);
        Order {
            current: Some(5),
            order: vec![0, 3, 4, 5],
            entries: BTreeMap::from([
                (0, option("debian", &disk)),
                (
                    3,
                    option(
                        "shell",
                        &[4, 6, 20, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
                    ),
                ),
                (4, option("PXE 1", &mac)),
                (5, option("PXE 2", &mac)),
            ]),
        }
    }

    #[test]
    fn the_network_stays_first_and_the_written_disk_comes_next() {
        let new = firmware().with_disk(&esp(), 512);
        assert_eq!(new.order, [5, 4, 1, 0, 3]);
        let (number, option) = new.entry.unwrap();
        let mut after = firmware();
        after.entries.insert(number, option);
        after.order = new.order.clone();
        // Its own entry is found again, so that nothing piles up.
        let again = after.with_disk(&esp(), 512);
        assert_eq!((again.order, again.entry), (new.order, None));
    }

    #[test]
    fn variables_are_read_written_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        let before = firmware();
        for (number, option) in &before.entries {
            set(folder.path(), &format!("Boot{number:04X}"), option).unwrap();
        }
        set(folder.path(), "BootCurrent", &[5, 0]).unwrap();
        set(folder.path(), "BootOrder", &[0, 0, 3, 0, 4, 0, 5, 0]).unwrap();
        assert_eq!(read(folder.path()), Some(before.clone()));
        let new = before.with_disk(&esp(), 4096);
        write(folder.path(), &before, &new).unwrap();
        assert_eq!(read(folder.path()).unwrap().order, new.order);
    }

    #[test]
    fn broken_entries_are_passed_over() {
        let mut order = firmware();
        for cut in 0..40 {
            order.entries.get_mut(&4).unwrap().truncate(40 - cut);
            assert!(order.with_disk(&esp(), 512).order.contains(&4));
        }
    }
}
