//! Installed memory from SMBIOS memory devices (type 17), usable memory from `/proc/meminfo`.

use std::path::Path;

use mesh_proto::facts::Memory;

use super::read;

/// SMBIOS tables are some kilobytes; big servers reach 64 KiB.
const DMI_TABLE_LIMIT_BYTES: u64 = 1 << 20;

/// Structure type of one memory module or its empty slot (SMBIOS 3.x §7.18).
const MEMORY_DEVICE: u8 = 17;

/// Reads both views of memory.
pub(super) fn gather(root: &Path) -> Memory {
    let usable_bytes =
        mem_total(&read::text_up_to(&root.join("proc/meminfo"), 64 << 10).unwrap_or_default());
    let table = read::bytes_up_to(
        &root.join("sys/firmware/dmi/tables/DMI"),
        DMI_TABLE_LIMIT_BYTES,
    )
    .unwrap_or_default();
    let installed = installed_bytes(&table);
    Memory {
        bytes: if installed == 0 {
            usable_bytes
        } else {
            installed
        },
        usable_bytes,
    }
}

fn mem_total(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn installed_bytes(mut table: &[u8]) -> u64 {
    let mut sum = 0u64;
    while let Some((structure, rest)) = next_structure(table) {
        if structure[0] == MEMORY_DEVICE {
            sum = sum.saturating_add(device_bytes(structure));
        }
        table = rest;
    }
    sum
}

/// One structure's formatted part and what follows its strings (§6.1: strings end with two NULs).
fn next_structure(table: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*table.get(1)?);
    if length < 4 || table.len() < length {
        return None;
    }
    let strings = &table[length..];
    let end = strings.windows(2).position(|pair| pair == [0, 0])? + 2;
    Some((&table[..length], &strings[end..]))
}

/// §7.18.4 Size: MiB, or KiB with bit 15; 0 empty slot; 0xFFFF unknown; 0x7FFF see the extended size at 0x1C.
fn device_bytes(structure: &[u8]) -> u64 {
    let Some(&[low, high]) = structure.get(0x0c..0x0e) else {
        return 0;
    };
    match u16::from_le_bytes([low, high]) {
        0 | 0xffff => 0,
        0x7fff => {
            let mib = structure
                .get(0x1c..0x20)
                .and_then(|four| four.try_into().ok())
                .map_or(0, u32::from_le_bytes);
            u64::from(mib & 0x7fff_ffff) << 20
        }
        size if size & 0x8000 != 0 => u64::from(size & 0x7fff) << 10,
        size => u64::from(size) << 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(size: u16, extended_mib: u32) -> Vec<u8> {
        let mut bytes = vec![0u8; 0x28];
        bytes[0] = MEMORY_DEVICE;
        bytes[1] = 0x28;
        bytes[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
        bytes[0x1c..0x20].copy_from_slice(&extended_mib.to_le_bytes());
        bytes.extend(b"DIMM 0\0\0");
        bytes
    }

    #[test]
    fn modules_are_summed_in_every_way_a_size_is_written() {
        let mut table = vec![1, 4, 0, 0, b'x', 0, 0]; // a system structure with one string comes first
        for part in [
            device(512, 0),
            device(0, 0),
            device(0xffff, 0),
            device(0x8400, 0),
            device(0x7fff, 65536),
        ] {
            table.extend(part);
        }
        assert_eq!(
            installed_bytes(&table),
            (512 << 20) + (1 << 20) + (65536 << 20)
        );
    }

    #[test]
    fn a_torn_table_ends_the_sum_without_a_panic() {
        let whole = device(512, 0);
        for cut in 0..whole.len() {
            assert_eq!(installed_bytes(&whole[..cut]), 0, "cut at {cut}");
        }
        assert_eq!(
            installed_bytes(&[17, 0, 0, 0, 0, 0]),
            0,
            "a length of zero must not loop"
        );
    }

    #[test]
    fn mem_total_is_in_kibibytes() {
        assert_eq!(
            mem_total("MemTotal:         478272 kB\nMemFree: 1 kB\n"),
            478_272 * 1024
        );
        assert_eq!(mem_total("nothing"), 0);
    }
}
