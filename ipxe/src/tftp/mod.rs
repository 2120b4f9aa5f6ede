//! TFTP (RFC 1350, 2347, 2348, 2349, 7440), the reading half: packets, file names, and one transfer as a state machine.
//!
//! Nothing here sends: [`Transfer`] says which window of the file is due, and the driver in `ipxe-net` reads those bytes
//! and puts them on the wire. Writing to the server is refused; no boot client needs it.

mod name;
mod options;
mod packet;
mod transfer;
mod window;

pub use name::{NameError, clean_name};
pub use options::{Limits, Options, Terms};
pub use packet::{ErrorCode, MAX_REQUEST, Message, ParseError, ReadRequest, error_packet};
pub use transfer::{End, RETRIES, Transfer, Transmit};
pub use window::{HEADER, Window};
