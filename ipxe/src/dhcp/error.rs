//! Why a datagram is no DHCP request we can answer.

/// A datagram that is refused, and its fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DhcpError {
    /// Shorter than the fixed header and the magic cookie.
    #[error("{0} bytes are too few for a DHCP message")]
    TooShort(usize),
    /// The op octet is neither request nor reply, or the other one was expected.
    #[error("op {0} is not the message expected here")]
    Op(u8),
    /// Plain BOOTP, or not DHCP at all.
    #[error("the magic cookie is missing")]
    NoCookie,
    /// Not an Ethernet station.
    #[error("hardware type {htype} with {hlen} octets is not Ethernet")]
    Hardware {
        /// ARP hardware type.
        htype: u8,
        /// Length of the hardware address in octets.
        hlen: u8,
    },
    /// An option says it is longer than what is left.
    #[error("option {0} is cut off")]
    Truncated(u8),
    /// Option 53 is absent or has a value outside RFC 2131.
    #[error("the DHCP message type is missing or unknown")]
    MessageType,
}

impl DhcpError {
    /// A word for counters: one per variant, never the packet's content.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TooShort(_) => "dhcp-too-short",
            Self::Op(_) => "dhcp-wrong-op",
            Self::NoCookie => "dhcp-no-cookie",
            Self::Hardware { .. } => "dhcp-not-ethernet",
            Self::Truncated(_) => "dhcp-truncated-option",
            Self::MessageType => "dhcp-message-type",
        }
    }
}
