//! What kind of firmware asks: from the DHCP client's architecture codes to a name we can decide by.

use serde::{Deserialize, Serialize};

use crate::MacAddr;

/// The processor a boot program must be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// 32-bit x86.
    X86,
    /// x86-64.
    X64,
    /// 32-bit Arm.
    Arm32,
    /// 64-bit Arm.
    Arm64,
}

/// The first stage of a boot, as the machine's ROM presents itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// Legacy PXE on x86: loads a `.kpxe` by TFTP.
    Bios,
    /// UEFI's PXE client: loads an `.efi` by TFTP.
    UefiPxe(Arch),
    /// UEFI's HTTP boot client: loads an `.efi` by URL.
    UefiHttp(Arch),
    /// The Raspberry Pi's boot ROM or EEPROM: loads its firmware files by TFTP.
    RaspberryPi,
}

/// A network boot client, as one DHCP request describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PxeClient {
    /// The station that asks.
    pub mac: MacAddr,
    /// Option 97 without its type octet, as on the wire; absent on some ROMs.
    pub uuid: Option<[u8; 16]>,
    /// What its ROM is.
    pub firmware: Firmware,
    /// Whether iPXE itself asks (user class `iPXE`, or option 175): the ROM's own or one we sent.
    pub ipxe: bool,
}

/// The answer to a boot client's DHCP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootOffer {
    /// Say nothing about booting.
    Silent,
    /// Load this firmware file: by TFTP under its name, by HTTP under `/firmware/<name>`.
    Firmware(String),
    /// iPXE runs already: fetch the general script `/boot.ipxe`.
    Script,
}

impl Firmware {
    /// The firmware behind a code of option 93 (RFC 4578 §2.1 and IANA's "Processor Architecture Types"); 9 (EBC) is
    /// what some x64 firmware says (TRAPS 2). `None` for architectures we have no program for.
    #[must_use]
    pub fn from_arch_code(code: u16) -> Option<Self> {
        Some(match code {
            0 => Self::Bios,
            6 => Self::UefiPxe(Arch::X86),
            7 | 9 => Self::UefiPxe(Arch::X64),
            10 => Self::UefiPxe(Arch::Arm32),
            11 => Self::UefiPxe(Arch::Arm64),
            15 => Self::UefiHttp(Arch::X86),
            16 => Self::UefiHttp(Arch::X64),
            18 => Self::UefiHttp(Arch::Arm32),
            19 => Self::UefiHttp(Arch::Arm64),
            41 => Self::RaspberryPi,
            _ => return None,
        })
    }

    /// Whether the boot program is started by UEFI.
    #[must_use]
    pub fn is_uefi(self) -> bool {
        matches!(self, Self::UefiPxe(_) | Self::UefiHttp(_))
    }

    /// The words a person reads: `bios`, `uefi-pxe x64`, …
    #[must_use]
    pub fn describe(self) -> String {
        let arch = |a: Arch| match a {
            Arch::X86 => "x86",
            Arch::X64 => "x64",
            Arch::Arm32 => "arm32",
            Arch::Arm64 => "arm64",
        };
        match self {
            Self::Bios => "bios".to_owned(),
            Self::UefiPxe(a) => format!("uefi-pxe {}", arch(a)),
            Self::UefiHttp(a) => format!("uefi-http {}", arch(a)),
            Self::RaspberryPi => "raspberry-pi".to_owned(),
        }
    }

    /// The firmware that [`describe`](Self::describe)s itself by these words.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        let kinds: [fn(Arch) -> Self; 2] = [Self::UefiPxe, Self::UefiHttp];
        let archs = [Arch::X86, Arch::X64, Arch::Arm32, Arch::Arm64];
        let uefi = kinds.into_iter().flat_map(|kind| archs.map(kind));
        let mut all = uefi.chain([Self::Bios, Self::RaspberryPi]);
        all.find(|firmware| firmware.describe() == words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_firmware_is_known_by_its_own_words() {
        for code in (0..64).filter_map(Firmware::from_arch_code) {
            assert_eq!(Firmware::from_words(&code.describe()), Some(code));
        }
        assert_eq!(Firmware::from_words("uefi-pxe"), None);
    }
}
