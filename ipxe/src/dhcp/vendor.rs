//! What goes into a reply for booting: file or URL, and the vendor options each firmware wants to see.

use super::{Arrival, DhcpMode};
use crate::{BootOffer, Firmware, PxeClient};

/// PXE_DISCOVERY_CONTROL = 8: use the boot file of this reply, look for no boot servers (PXE 2.1 §2.4.3.1).
const USE_BOOT_FILE: [u8; 4] = [6, 1, 8, 255];

/// What the Raspberry Pi's ROM looks for: a PXE menu whose entry reads `Raspberry Pi Boot`, in the very form that the
/// ROM was tested with (discovery control 3, prompt `PXE` without a wait, the menu, and END, which it insists on).
const PI_MENU: &[u8] = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff";

/// iPXE's no-pxedhcp (175.176): do not wait for a proxy's offer.
const NO_PXEDHCP: [u8; 3] = [176, 1, 1];

/// The boot part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootPart {
    /// Option 60; a reply without it is no boot offer to a PXE client.
    pub(super) class: &'static str,
    /// Name for TFTP, or a URL.
    pub(super) file: String,
    /// Whether `file` is fetched by TFTP from us.
    pub(super) by_tftp: bool,
    /// Option 43.
    pub(super) vendor: Option<&'static [u8]>,
    /// Option 175.
    pub(super) ipxe: Option<&'static [u8]>,
}

/// What `client` is told to load; `None` when we say nothing about booting.
pub(super) fn boot_part(
    client: &PxeClient,
    offer: &BootOffer,
    at: &Arrival<'_>,
) -> Option<BootPart> {
    let http = matches!(client.firmware, Firmware::UefiHttp(_));
    let url = |path: &str| format!("http://{}:{}/{path}", at.address, at.http_port);
    let file = match offer {
        BootOffer::Silent => return None,
        BootOffer::Script => url("boot.ipxe"),
        BootOffer::Firmware(name) if http => url(&format!("firmware/{name}")),
        BootOffer::Firmware(name) => name.clone(),
    };
    Some(BootPart {
        class: if http { "HTTPClient" } else { "PXEClient" },
        by_tftp: !http && matches!(offer, BootOffer::Firmware(_)),
        file,
        vendor: vendor_options(client),
        // Where we are the proxy, the client must wait for us.
        ipxe: (client.ipxe && at.mode == DhcpMode::Server).then_some(&NO_PXEDHCP),
    })
}

fn vendor_options(client: &PxeClient) -> Option<&'static [u8]> {
    match client.firmware {
        Firmware::RaspberryPi => Some(PI_MENU),
        Firmware::Bios if !client.ipxe => Some(&USE_BOOT_FILE),
        // A menu, even an empty one, breaks UEFI clients (TRAPS 4); iPXE needs none.
        Firmware::Bios | Firmware::UefiPxe(_) | Firmware::UefiHttp(_) => None,
    }
}
