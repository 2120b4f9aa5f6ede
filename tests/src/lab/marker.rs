//! Disks that say who they are and stop: the fastest proof that a machine reached its own disk.
//!
//! A few bytes of machine code, written down here, print `MARKER-UP <name> fw=bios|uefi` on COM1 and halt: as the MBR's boot sector for
//! BIOS, and as `\EFI\BOOT\BOOTX64.EFI` on an EFI system partition for UEFI. No kernel: it is up milliseconds after the firmware jumps.

use super::machine::Firmware;
use super::tenant::image::{EspPlace, Image};
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// For which firmware a disk boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BootsOn {
    /// Both.
    Both,
    /// Only by its boot sector.
    BiosOnly,
    /// Only by its EFI system partition.
    UefiOnly,
}

impl BootsOn {
    /// Whether a BIOS finds a boot sector.
    pub fn bios(self) -> bool {
        self != Self::UefiOnly
    }

    /// Whether a UEFI finds a loader.
    pub fn uefi(self) -> bool {
        self != Self::BiosOnly
    }
}

/// A marker disk's size.
pub const SIZE_MIB: u64 = 16;

/// The line that disk `name` prints under `firmware`.
pub fn line(name: &str, firmware: Firmware) -> String {
    format!("MARKER-UP {name} fw={}", firmware.name())
}

/// Writes a marker disk for both kinds of firmware, with the ESP on partition 1 of an MBR table.
pub fn write(file: &Path, name: &str) -> Result<()> {
    write_as(file, name, BootsOn::Both, EspPlace::MbrFirst)
}

/// Writes a marker disk of 16 MiB (sparse). `name` has at most 100 printable characters.
pub fn write_as(file: &Path, name: &str, boots_on: BootsOn, place: EspPlace) -> Result<()> {
    ensure!(
        name.len() <= 100 && name.is_ascii(),
        "a marker's name is at most 100 ASCII characters"
    );
    let image = Image::create(file, SIZE_MIB, place)?;
    if boots_on.uefi() {
        let program = file.with_extension("efi");
        std::fs::write(&program, efi_program(name))
            .with_context(|| format!("cannot write {}", program.display()))?;
        image.folder("/EFI")?;
        image.folder("/EFI/BOOT")?;
        image.copy_in(&program, "/EFI/BOOT/BOOTX64.EFI")?;
        std::fs::remove_file(&program)?;
    }
    if boots_on.bios() {
        image.write_boot_code(&boot_sector(name)?)?;
    }
    Ok(())
}

/// Real-mode code for the first 440 bytes of the disk: prints the text that follows it, byte by byte, then halts.
fn boot_sector(name: &str) -> Result<Vec<u8>> {
    /// Where the BIOS, and iPXE's sanboot, put the sector.
    const ORIGIN: u16 = 0x7c00;
    let mut code = vec![
        0xfa, // cli: nothing may interrupt the halt
        0xfc, // cld
        0x31, 0xc0, // xor ax,ax
        0x8e, 0xd8, // mov ds,ax
        0xbe, 0, 0,    // mov si,text (patched below)
        0xac, // next: lodsb
        0x84, 0xc0, // test al,al
        0x74, 0x11, // jz halt
        0x88, 0xc3, // mov bl,al
        0xba, 0xfd, 0x03, // mov dx,3fdh: line status
        0xec, // wait: in al,dx
        0xa8, 0x20, // test al,20h: may send
        0x74, 0xfb, // jz wait
        0xb2, 0xf8, // mov dl,f8h: data
        0x88, 0xd8, // mov al,bl
        0xee, // out dx,al
        0xeb, 0xea, // jmp next
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
    ];
    let text = ORIGIN + u16::try_from(code.len())?;
    code[7..9].copy_from_slice(&text.to_le_bytes());
    code.extend(format!("\r\n{}\r\n\0", line(name, Firmware::Bios)).bytes());
    ensure!(
        code.len() <= 440,
        "boot code and text do not fit into 440 bytes"
    );
    Ok(code)
}

/// A PE32+ image with one section of position-independent code that prints the text behind it and halts. It needs nothing from the firmware
/// and never returns to it.
fn efi_program(name: &str) -> Vec<u8> {
    let mut code = vec![
        0xfa, // cli
        0xfc, // cld
        0x48, 0x8d, 0x35, 0x1a, 0, 0,
        0,    // lea rsi,[rip+26]: the text behind the last instruction
        0xac, // next: lodsb
        0x84, 0xc0, // test al,al
        0x74, 0x12, // jz halt
        0x88, 0xc3, // mov bl,al
        0x66, 0xba, 0xfd, 0x03, // mov dx,3fdh
        0xec, // wait: in al,dx
        0xa8, 0x20, // test al,20h
        0x74, 0xfb, // jz wait
        0xb2, 0xf8, // mov dl,f8h
        0x88, 0xd8, // mov al,bl
        0xee, // out dx,al
        0xeb, 0xe9, // jmp next
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
    ];
    debug_assert_eq!(code.len(), 9 + 0x1a);
    code.extend(format!("\r\n{}\r\n\0", line(name, Firmware::Uefi)).bytes());
    portable_executable(&code)
}

/// Wraps code, whose first byte is the entry point, into the smallest PE32+ that EDK2's loader takes (Microsoft PE/COFF specification §2–3).
fn portable_executable(code: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 0x200;
    const SECTION_ADDRESS: u32 = 0x1000;
    let raw_size = u32::try_from(code.len().next_multiple_of(0x200)).unwrap_or(u32::MAX);
    let mut image = Vec::new();
    image.extend(b"MZ");
    image.resize(0x3c, 0);
    image.extend(0x40u32.to_le_bytes()); // where the PE header is
    image.extend(b"PE\0\0");
    halves(&mut image, &[0x8664, 1]); // x86-64, one section
    fulls(&mut image, &[0, 0, 0]); // time, no symbols
    halves(&mut image, &[240, 0x0022]); // optional header's size; executable, large addresses
    halves(&mut image, &[0x020b, 0]); // PE32+
    fulls(
        &mut image,
        &[raw_size, 0, 0, SECTION_ADDRESS, SECTION_ADDRESS],
    ); // code size, data sizes, entry, base of code
    image.extend(0u64.to_le_bytes()); // image base: it runs anywhere
    fulls(&mut image, &[0x1000, 0x200, 0, 0, 0, 0]); // alignments, versions, reserved
    fulls(
        &mut image,
        &[
            SECTION_ADDRESS + raw_size.next_multiple_of(0x1000),
            HEADERS,
            0,
        ],
    ); // image size, headers, checksum
    halves(&mut image, &[10, 0]); // subsystem: EFI application
    for size in [0x1_0000u64, 0x1000, 0x1_0000, 0x1000] {
        image.extend(size.to_le_bytes()); // stack and heap
    }
    fulls(&mut image, &[0, 16]); // loader flags, directories
    image.resize(image.len() + 16 * 8, 0); // empty: no relocations
    image.extend(b".text\0\0\0");
    fulls(
        &mut image,
        &[
            raw_size,
            SECTION_ADDRESS,
            raw_size,
            HEADERS,
            0,
            0,
            0,
            0x6000_0020,
        ],
    ); // code, may be read and run
    image.resize(HEADERS as usize, 0);
    image.extend(code);
    image.resize(HEADERS as usize + raw_size as usize, 0);
    image
}

fn halves(image: &mut Vec<u8>, values: &[u16]) {
    values
        .iter()
        .for_each(|value| image.extend(value.to_le_bytes()));
}

fn fulls(image: &mut Vec<u8>, values: &[u32]) {
    values
        .iter()
        .for_each(|value| image.extend(value.to_le_bytes()));
}
