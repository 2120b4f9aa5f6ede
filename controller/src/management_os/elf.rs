//! The little of ELF that building needs: which CPU a program is for, whether it needs a loader, which libraries it
//! names. Reads 64-bit little-endian files of any architecture, so that a Pi can build for a PC.

use super::Arch;

/// What a program or library asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// CPU, when it is one of ours.
    pub arch: Option<Arch>,
    /// The dynamic loader it names; a static program names none.
    pub loader: Option<String>,
    /// Libraries it names.
    pub needed: Vec<String>,
}

/// Program header types (ELF specification, figure 2-2).
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// Dynamic section tags.
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    bytes: u64,
}

/// Reads the headers; `None` for anything that is not a whole 64-bit little-endian ELF file.
#[must_use]
pub(super) fn read(file: &[u8]) -> Option<Elf> {
    // magic, class 2 (64 bits), data 1 (little-endian)
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let segments = segments(file)?;
    let loader = match segments.iter().find(|segment| segment.kind == PT_INTERP) {
        Some(segment) => Some(string_at(file, segment.offset)?),
        None => None,
    };
    let needed = match segments.iter().find(|segment| segment.kind == PT_DYNAMIC) {
        Some(dynamic) => needed(file, dynamic, &segments)?,
        None => Vec::new(),
    };
    Some(Elf {
        arch: arch(u16_at(file, 18)?),
        loader,
        needed,
    })
}

fn arch(machine: u16) -> Option<Arch> {
    match machine {
        62 => Some(Arch::Amd64),
        183 => Some(Arch::Arm64),
        _ => None,
    }
}

fn segments(file: &[u8]) -> Option<Vec<Segment>> {
    let (start, size, count) = (
        u64_at(file, 32)?,
        u64::from(u16_at(file, 54)?),
        u64::from(u16_at(file, 56)?),
    );
    (0..count)
        .map(|index| {
            let at = start.checked_add(index.checked_mul(size)?)?;
            Some(Segment {
                kind: u32_at(file, at)?,
                offset: u64_at(file, at.checked_add(8)?)?,
                address: u64_at(file, at.checked_add(16)?)?,
                bytes: u64_at(file, at.checked_add(32)?)?,
            })
        })
        .collect()
}

fn needed(file: &[u8], dynamic: &Segment, segments: &[Segment]) -> Option<Vec<String>> {
    let entries: Vec<(u64, u64)> = (0..dynamic.bytes / 16)
        .map_while(|index| {
            let at = dynamic.offset.checked_add(index * 16)?;
            Some((u64_at(file, at)?, u64_at(file, at.checked_add(8)?)?))
        })
        .collect();
    let names: Vec<u64> = entries
        .iter()
        .filter(|(tag, _)| *tag == DT_NEEDED)
        .map(|(_, value)| *value)
        .collect();
    if names.is_empty() {
        return Some(Vec::new());
    }
    let table = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?.1;
    let table = file_offset(segments, table)?;
    names
        .into_iter()
        .map(|name| string_at(file, table.checked_add(name)?))
        .collect()
}

fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    let holds = |s: &&Segment| {
        s.kind == PT_LOAD
            && address
                .checked_sub(s.address)
                .is_some_and(|into| into < s.bytes)
    };
    let segment = segments.iter().find(holds)?;
    (address - segment.address).checked_add(segment.offset)
}

fn string_at(file: &[u8], at: u64) -> Option<String> {
    let rest = file.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

fn bytes_at<const N: usize>(file: &[u8], at: u64) -> Option<[u8; N]> {
    let start = usize::try_from(at).ok()?;
    file.get(start..start.checked_add(N)?)?.try_into().ok()
}

fn u16_at(file: &[u8], at: u64) -> Option<u16> {
    bytes_at(file, at).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], at: u64) -> Option<u32> {
    bytes_at(file, at).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: u64) -> Option<u64> {
    bytes_at(file, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test program itself is a dynamic one.
    fn own_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_dynamic_program_names_its_loader_and_libraries() {
        let elf = read(&own_program()).unwrap();
        assert!(elf.loader.unwrap().contains("ld-linux"));
        assert!(
            elf.needed.iter().any(|name| name == "libc.so.6"),
            "{:?}",
            elf.needed
        );
    }

    #[test]
    fn torn_and_foreign_files_are_none_and_never_a_panic() {
        let whole = own_program();
        for cut in (0..4096.min(whole.len())).chain([whole.len() / 2]) {
            let _ = read(&whole[..cut]);
        }
        assert_eq!(read(b"#!/bin/sh\n"), None);
        assert_eq!(read(b"\x7fELF\x01\x01 32 bits"), None);
        let mut huge = whole[..4096].to_vec();
        huge[32..40].fill(0xff);
        assert_eq!(read(&huge), None);
    }
}
