//! A DHCP message as it arrived: the fixed header of RFC 2131 §2 and its options.

use std::net::Ipv4Addr;

use super::{DhcpError, Options, code, options::address};
use crate::MacAddr;

/// Octets before the options: the fixed header and the magic cookie.
pub(super) const HEADER: usize = 240;
/// RFC 2131 §3.
pub(super) const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The broadcast bit of `flags`.
pub(super) const BROADCAST: u16 = 0x8000;
/// ARP hardware types whose address is an Ethernet address: Ethernet, and IEEE 802 that some NICs say instead.
const ETHERNET: [u8; 2] = [1, 6];

/// DHCP message types (RFC 2131 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "RFC 2131's own words")]
pub enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
    Inform = 8,
}

/// A parsed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Option 53.
    pub kind: Kind,
    /// ARP hardware type, echoed in the reply.
    pub htype: u8,
    /// Transaction id, chosen by the client.
    pub xid: u32,
    /// Bit 15: the client cannot take unicast yet.
    pub flags: u16,
    /// The address that the client already uses.
    pub ciaddr: Ipv4Addr,
    /// The address that a server gives.
    pub yiaddr: Ipv4Addr,
    /// The server of the next boot stage.
    pub siaddr: Ipv4Addr,
    /// The relay that forwarded the message; zero: none.
    pub giaddr: Ipv4Addr,
    /// The client's station address.
    pub mac: MacAddr,
    /// The header's boot file, as it is; may hold options (52).
    pub file: [u8; 128],
    /// The options.
    pub options: Options,
}

/// What another server's broadcast reply shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignOffer {
    /// Option 54; absent in replies of very plain servers.
    pub server: Option<Ipv4Addr>,
    /// Whether it offers booting, too.
    pub boots: bool,
}

impl Message {
    /// Reads a client's message (op 1).
    ///
    /// # Errors
    /// Says which part cannot be right.
    pub fn request(bytes: &[u8]) -> Result<Self, DhcpError> {
        Self::parse(bytes, 1)
    }

    /// Reads a server's message (op 2).
    ///
    /// # Errors
    /// Says which part cannot be right.
    pub fn reply(bytes: &[u8]) -> Result<Self, DhcpError> {
        Self::parse(bytes, 2)
    }

    fn parse(bytes: &[u8], op: u8) -> Result<Self, DhcpError> {
        let (header, area) = bytes
            .split_at_checked(HEADER)
            .ok_or(DhcpError::TooShort(bytes.len()))?;
        if header[0] != op {
            return Err(DhcpError::Op(header[0]));
        }
        if header[236..] != COOKIE {
            return Err(DhcpError::NoCookie);
        }
        let (htype, hlen) = (header[1], header[2]);
        if hlen != 6 || !ETHERNET.contains(&htype) {
            return Err(DhcpError::Hardware { htype, hlen });
        }
        let options = Options::scan(area, &header[108..236], &header[44..108])?;
        let ip = |at| Ipv4Addr::from(octets::<4>(header, at));
        Ok(Self {
            kind: Kind::of(&options).ok_or(DhcpError::MessageType)?,
            htype,
            xid: u32::from_be_bytes(octets(header, 4)),
            flags: u16::from_be_bytes(octets(header, 10)),
            ciaddr: ip(12),
            yiaddr: ip(16),
            siaddr: ip(20),
            giaddr: ip(24),
            mac: MacAddr(octets(header, 28)),
            file: octets(header, 108),
            options,
        })
    }

    /// Option 54.
    #[must_use]
    pub fn server_id(&self) -> Option<Ipv4Addr> {
        self.options.address(code::SERVER_ID)
    }

    /// The address that a REQUEST is about: option 50, else ciaddr.
    #[must_use]
    pub fn requested_address(&self) -> Option<Ipv4Addr> {
        let wanted = self
            .options
            .address(code::REQUESTED_ADDRESS)
            .or_else(|| address(&self.ciaddr.octets()));
        wanted.filter(|_| self.kind == Kind::Request)
    }

    /// Option 12 when it is a plain host name: letters, digits, hyphens and dots, at most 253 of them.
    #[must_use]
    pub fn host_name(&self) -> Option<String> {
        let name = self.options.text(code::HOST_NAME)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        (!name.is_empty() && name.len() <= 253 && name.chars().all(plain)).then_some(name)
    }

    /// An address on the client's subnet, when a relay names one: sub-option 5 (RFC 3527), else giaddr.
    #[must_use]
    pub fn relay_subnet(&self) -> Option<Ipv4Addr> {
        let link = self.options.sub(code::RELAY, 5).and_then(address);
        link.or_else(|| address(&self.giaddr.octets()))
    }

    /// What this server's reply says about its sender.
    #[must_use]
    pub fn as_foreign_offer(&self) -> ForeignOffer {
        let class = self.options.raw(code::VENDOR_CLASS).unwrap_or_default();
        let boots = class.starts_with(b"PXEClient")
            || class.starts_with(b"HTTPClient")
            || self.options.raw(code::BOOT_FILE).is_some()
            || (self.options.raw(code::OVERLOAD).is_none() && self.file[0] != 0);
        ForeignOffer {
            server: self.server_id(),
            boots,
        }
    }
}

impl Kind {
    fn of(options: &Options) -> Option<Self> {
        Some(match options.byte(code::MESSAGE_TYPE)? {
            1 => Self::Discover,
            2 => Self::Offer,
            3 => Self::Request,
            4 => Self::Decline,
            5 => Self::Ack,
            6 => Self::Nak,
            7 => Self::Release,
            8 => Self::Inform,
            _ => return None,
        })
    }
}

/// `N` octets of a header that is known to be longer.
fn octets<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}
