//! Option codes (RFC 2132, RFC 3046, RFC 4578, iPXE's own) by the names used here.

/// Subnet mask.
pub const SUBNET_MASK: u8 = 1;
/// Routers on the client's subnet.
pub const ROUTERS: u8 = 3;
/// Name servers.
pub const DNS: u8 = 6;
/// The client's host name.
pub const HOST_NAME: u8 = 12;
/// The client's domain.
pub const DOMAIN: u8 = 15;
/// PXE's own space: discovery control and boot menu.
pub const VENDOR: u8 = 43;
/// The address a client wants.
pub const REQUESTED_ADDRESS: u8 = 50;
/// Seconds a lease lives.
pub const LEASE_SECONDS: u8 = 51;
/// `file` and `sname` carry options too.
pub const OVERLOAD: u8 = 52;
/// DISCOVER, OFFER, …
pub const MESSAGE_TYPE: u8 = 53;
/// The server a message is from, or for.
pub const SERVER_ID: u8 = 54;
/// Longest message the client takes, IP and UDP headers included (bytes).
pub const MAX_SIZE: u8 = 57;
/// T1, seconds.
pub const RENEWAL_SECONDS: u8 = 58;
/// T2, seconds.
pub const REBINDING_SECONDS: u8 = 59;
/// `PXEClient…` or `HTTPClient…`.
pub const VENDOR_CLASS: u8 = 60;
/// Client identifier; echoed (RFC 6842).
pub const CLIENT_ID: u8 = 61;
/// TFTP server, as text.
pub const TFTP_SERVER: u8 = 66;
/// Boot file name or URL.
pub const BOOT_FILE: u8 = 67;
/// User class; iPXE says `iPXE` here.
pub const USER_CLASS: u8 = 77;
/// Relay agent information; echoed unchanged and last (RFC 3046 §2.2).
pub const RELAY: u8 = 82;
/// Client architectures, 16 bit each (RFC 4578 §2.1).
pub const ARCHITECTURES: u8 = 93;
/// Client machine identifier (RFC 4578 §2.3).
pub const MACHINE_ID: u8 = 97;
/// iPXE's encapsulated options.
pub const IPXE: u8 = 175;
/// Ends the options.
pub const END: u8 = 255;
/// Fills; has no length.
pub const PAD: u8 = 0;
