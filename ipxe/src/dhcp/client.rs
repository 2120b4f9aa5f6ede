//! Who asks: a boot client's firmware, read from options that ROMs fill in their own ways.

use super::{Message, code};
use crate::{Firmware, MacAddr, PxeClient};

/// Address blocks of Raspberry Pi boards with Ethernet. Their boot ROM and older EEPROMs call themselves
/// architecture 0, like a PC with a BIOS (TRAPS 14).
const RASPBERRY_PI: [[u8; 3]; 7] = [
    [0xb8, 0x27, 0xeb],
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
    [0xd8, 0x3a, 0xdd],
    [0x2c, 0xcf, 0x67],
    [0x28, 0xcd, 0xc1],
    [0x88, 0xa2, 0x9e],
];

impl Message {
    /// The boot client behind this message; `None` for everybody else, and for architectures we have no program for.
    #[must_use]
    pub fn boot_client(&self) -> Option<PxeClient> {
        let ipxe = self.says_ipxe();
        let class = self.options.text(code::VENDOR_CLASS).unwrap_or_default();
        let http = class.starts_with("HTTPClient");
        let pi = is_raspberry_pi(self.mac) && self.options.raw(code::ARCHITECTURES).is_some();
        // A Pi leaves option 60 out of its REQUEST; everybody else who wants to boot says so there.
        if !(ipxe || http || pi || class.starts_with("PXEClient")) {
            return None;
        }
        Some(PxeClient {
            mac: self.mac,
            uuid: self.machine_id(),
            firmware: self.firmware(&class, http, ipxe)?,
            ipxe,
        })
    }

    fn firmware(&self, class: &str, http: bool, ipxe: bool) -> Option<Firmware> {
        let codes = self.options.raw(code::ARCHITECTURES).unwrap_or_default();
        let mut known: Vec<Firmware> = codes
            .chunks_exact(2)
            .filter_map(|c| Firmware::from_arch_code(u16::from_be_bytes([c[0], c[1]])))
            .collect();
        if codes.is_empty() {
            known.extend(class_arch(class).and_then(Firmware::from_arch_code));
        }
        // Several may be listed: take one of the kind that option 60 announces.
        let fits = |f: &&Firmware| http == matches!(f, Firmware::UefiHttp(_));
        let firmware = *known.iter().find(fits).or(known.first())?;
        Some(match firmware {
            Firmware::UefiPxe(arch) if http => Firmware::UefiHttp(arch),
            Firmware::UefiHttp(arch) if ipxe && !http => Firmware::UefiPxe(arch),
            Firmware::Bios if !ipxe && is_raspberry_pi(self.mac) => Firmware::RaspberryPi,
            other => other,
        })
    }

    /// iPXE says its name in option 77, and sends its features in option 175.
    fn says_ipxe(&self) -> bool {
        let class = self.options.raw(code::USER_CLASS).unwrap_or_default();
        class == b"iPXE" || rfc3004(class).any(|c| c == b"iPXE") || self.has_ipxe_options()
    }

    /// Option 175 with well-formed content; gPXE's time had other users of the code with other content.
    fn has_ipxe_options(&self) -> bool {
        // Sub-option 177 (bus id) or any feature flag: each iPXE build sends several.
        [177, 16, 17, 18, 19, 20, 21, 23, 24, 33, 36]
            .iter()
            .any(|sub| self.options.sub(code::IPXE, *sub).is_some())
    }

    /// Option 97 of type 0; absent on some ROMs, which boot all the same (TRAPS 3).
    fn machine_id(&self) -> Option<[u8; 16]> {
        match self.options.raw(code::MACHINE_ID)? {
            [0, uuid @ ..] => uuid.try_into().ok(),
            _ => None,
        }
    }
}

/// `PXEClient:Arch:00007:UNDI:003016` → 7.
fn class_arch(class: &str) -> Option<u16> {
    let (_, rest) = class.split_once(":Arch:")?;
    rest.split(':').next()?.parse().ok()
}

/// The classes of an RFC 3004 user class option; stops where the lengths stop making sense.
fn rfc3004(mut raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = raw.split_first()?;
        let (class, rest) = rest.split_at_checked(usize::from(*len))?;
        raw = rest;
        Some(class)
    })
}

fn is_raspberry_pi(mac: MacAddr) -> bool {
    RASPBERRY_PI.contains(&[mac.0[0], mac.0[1], mac.0[2]])
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{
        Arch,
        dhcp::{Kind, Options},
    };

    const PC: [u8; 6] = [0x52, 0x54, 0, 0x77, 0, 1];
    const PI: [u8; 6] = [0xb8, 0x27, 0xeb, 0, 0, 1];

    fn client(mac: [u8; 6], area: &[u8]) -> Option<PxeClient> {
        let zero = Ipv4Addr::UNSPECIFIED;
        Message {
            kind: Kind::Discover,
            htype: 1,
            xid: 1,
            flags: 0,
            ciaddr: zero,
            yiaddr: zero,
            siaddr: zero,
            giaddr: zero,
            mac: MacAddr(mac),
            file: [0; 128],
            options: Options::scan(area, &[], &[]).unwrap(),
        }
        .boot_client()
    }

    fn check(mac: [u8; 6], area: &[&[u8]], expected: Option<(Firmware, bool)>) {
        let found = client(mac, &area.concat());
        assert_eq!(found.map(|c| (c.firmware, c.ipxe)), expected, "{area:?}");
    }

    #[test]
    fn the_firmware_is_read_from_whatever_the_rom_sent() {
        use Firmware::{Bios, RaspberryPi, UefiHttp, UefiPxe};
        let pxe: &[u8] = b"\x3c\x09PXEClient";
        let pxe7: &[u8] = b"\x3c\x20PXEClient:Arch:00007:UNDI:003016";
        let http: &[u8] = b"\x3c\x0aHTTPClient";
        check(PC, &[pxe, &[93, 2, 0, 0]], Some((Bios, false)));
        check(
            PC,
            &[pxe, &[93, 2, 0, 9]],
            Some((UefiPxe(Arch::X64), false)),
        );
        check(PC, &[pxe7], Some((UefiPxe(Arch::X64), false)));
        check(
            PC,
            &[http, &[93, 4, 0, 7, 0, 16]],
            Some((UefiHttp(Arch::X64), false)),
        );
        check(
            PC,
            &[http, &[93, 2, 0, 11]],
            Some((UefiHttp(Arch::Arm64), false)),
        );
        check(
            PC,
            &[pxe, &[93, 5, 0, 99, 0, 11, 7]],
            Some((UefiPxe(Arch::Arm64), false)),
        );
        check(PC, &[pxe, &[93, 2, 0, 99]], None);
        check(PC, &[&[93, 2, 0, 0]], None);
        check(PC, &[b"\x3c\x04udhc"], None);
        check(PI, &[pxe, &[93, 2, 0, 0]], Some((RaspberryPi, false)));
        check(PI, &[&[93, 2, 0, 0]], Some((RaspberryPi, false)));
        check(
            PI,
            &[pxe, &[93, 2, 0, 11]],
            Some((UefiPxe(Arch::Arm64), false)),
        );
        check(PI, &[b"\x3c\x06dhcpcd"], None);
        check(PC, &[pxe, &[93, 2, 0, 41]], Some((RaspberryPi, false)));
    }

    #[test]
    fn ipxe_is_known_by_either_form_of_its_user_class_and_by_its_options() {
        let pxe: &[u8] = b"\x3c\x09PXEClient\x5d\x02\0\0";
        let yes = Some((Firmware::Bios, true));
        check(PC, &[pxe, b"\x4d\x04iPXE"], yes);
        check(PC, &[pxe, b"\x4d\x09\x03abc\x04iPXE"], yes);
        check(PC, &[pxe, &[175, 3, 19, 1, 1]], yes);
        check(PC, &[pxe, b"\x4d\x04gPXE"], Some((Firmware::Bios, false)));
        check(
            PC,
            &[pxe, &[175, 3, 19, 9, 1]],
            Some((Firmware::Bios, false)),
        );
    }

    #[test]
    fn a_machine_id_of_any_length_is_tolerated() {
        let pxe: &[u8] = b"\x3c\x09PXEClient\x5d\x02\0\0";
        for (id, expected) in [
            (vec![97, 0], None),
            (vec![97, 2, 0, 1], None),
            ([&[97, 17, 0][..], &[7; 16]].concat(), Some([7; 16])),
            ([&[97, 17, 1][..], &[7; 16]].concat(), None),
        ] {
            let found = client(PC, &[pxe, &id].concat()).unwrap();
            assert_eq!(found.uuid, expected);
        }
    }
}
