//! The packets a server of files meets, and the ERROR it says itself (RFC 1350 §5, RFC 2347).

use super::{NameError, Options, clean_name};

const RRQ: u16 = 1;
const WRQ: u16 = 2;
pub(super) const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
pub(super) const OACK: u16 = 6;

/// Longest request in bytes (RFC 2347: "The maximum size of a request packet is 512 octets").
pub const MAX_REQUEST: usize = 512;

/// A datagram from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// It wants a file.
    Read(ReadRequest),
    /// It wants to write one.
    Write,
    /// It has everything up to this block (on the wire; the numbers wrap).
    Ack(u16),
    /// It gives up, with this code; after UEFI's size probe that is 8 or 0, by design (TRAPS 18).
    Error(u16),
}

/// What a client wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The file, cleaned.
    pub name: String,
    /// What else it asks.
    pub options: Options,
}

/// A datagram that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Shorter than its kind needs.
    #[error("the packet is cut short")]
    Short,
    /// An opcode that no client sends to a server of files.
    #[error("not a packet for a server")]
    Opcode,
    /// A request whose strings do not end, or that is longer than the RFC allows.
    #[error("a malformed request")]
    Request,
    /// A mode other than octet and netascii.
    #[error("an unknown transfer mode")]
    Mode,
    /// A name that is not looked up.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl ParseError {
    /// What the client is told. Silence for what is no request: answering strays makes two servers talk for ever.
    #[must_use]
    pub fn answer(self) -> Option<ErrorCode> {
        match self {
            Self::Short | Self::Opcode => None,
            Self::Request | Self::Mode => Some(ErrorCode::Illegal),
            Self::Name(NameError::Climbs | NameError::NotText) => Some(ErrorCode::Access),
            Self::Name(NameError::Empty) => Some(ErrorCode::NotFound),
        }
    }
}

/// The codes of RFC 1350's appendix that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// See the text.
    Undefined = 0,
    /// File not found.
    NotFound = 1,
    /// Access violation.
    Access = 2,
    /// Illegal TFTP operation.
    Illegal = 4,
}

impl Message {
    /// Reads a datagram.
    ///
    /// # Errors
    /// What is wrong with it; see [`ParseError::answer`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let (opcode, rest) = split_u16(bytes).ok_or(ParseError::Short)?;
        match opcode {
            RRQ if bytes.len() > MAX_REQUEST => Err(ParseError::Request),
            RRQ => read_request(rest).map(Self::Read),
            WRQ => Ok(Self::Write),
            ACK => {
                let (block, _) = split_u16(rest).ok_or(ParseError::Short)?;
                Ok(Self::Ack(block))
            }
            // Some ROMs send an ERROR without its code; it means the same.
            ERROR => Ok(Self::Error(split_u16(rest).map_or(0, |(code, _)| code))),
            _ => Err(ParseError::Opcode),
        }
    }
}

/// `name 0 mode 0 (option 0 value 0)*`; an unfinished option at the end is dropped, as ROMs pad their packets.
fn read_request(rest: &[u8]) -> Result<ReadRequest, ParseError> {
    let (name, rest) = split_string(rest).ok_or(ParseError::Request)?;
    let (mode, mut rest) = split_string(rest).ok_or(ParseError::Request)?;
    // Boot files are never text to convert: netascii gets the same bytes.
    if !mode.eq_ignore_ascii_case(b"octet") && !mode.eq_ignore_ascii_case(b"netascii") {
        return Err(ParseError::Mode);
    }
    let mut options = Options::default();
    while let Some((option, after)) = split_string(rest)
        && let Some((value, after)) = split_string(after)
    {
        options.take(option, value);
        rest = after;
    }
    let name = clean_name(name)?;
    Ok(ReadRequest { name, options })
}

/// The bytes up to the next NUL, and what follows it.
fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn split_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

/// An ERROR packet; `text` is for a person at the client's screen and holds no NUL.
#[must_use]
pub fn error_packet(code: ErrorCode, text: &str) -> Vec<u8> {
    let mut packet = ERROR.to_be_bytes().to_vec();
    packet.extend_from_slice(&(code as u16).to_be_bytes());
    packet.extend(text.bytes().filter(|b| *b != 0));
    packet.push(0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a row of a table reads better without &"
    )]
    fn check(bytes: &[u8], expected: Result<Message, ParseError>) {
        assert_eq!(Message::parse(bytes), expected, "{bytes:02x?}");
    }

    fn read(name: &str, options: Options) -> Result<Message, ParseError> {
        let name = name.to_owned();
        Ok(Message::Read(ReadRequest { name, options }))
    }

    #[test]
    fn requests_of_real_firmware_are_understood() {
        check(b"\0\x01a\0octet\0", read("a", Options::default()));
        check(b"\0\x01a\0NetASCII\0", read("a", Options::default()));
        let probe = Options {
            blksize: Some(1468),
            tsize: true,
            ..Options::default()
        };
        check(
            b"\0\x01/ipxe.efi\0OCTET\0tsize\x000\0blksize\x001468\0",
            read("ipxe.efi", probe),
        );
        let padded = b"\0\x01a\xff\0octet\0tsize\x000\0blksize\x001468\0\0\0pad";
        check(padded, read("a", probe));
    }

    #[test]
    fn the_short_messages_are_understood() {
        check(b"\0\x02a\0octet\0", Ok(Message::Write));
        check(b"\0\x04\xff\xff", Ok(Message::Ack(65_535)));
        check(b"\0\x04\0\x01padding", Ok(Message::Ack(1)));
        check(b"\0\x05\0\x08stop\0", Ok(Message::Error(8)));
        check(b"\0\x05", Ok(Message::Error(0)));
    }

    #[test]
    fn strays_meet_silence_and_bad_requests_an_error() {
        let rows: [(&[u8], ParseError, Option<ErrorCode>); 9] = [
            (b"", ParseError::Short, None),
            (b"\0", ParseError::Short, None),
            (b"\0\x04\0", ParseError::Short, None),
            (b"\0\x03\0\x01data", ParseError::Opcode, None),
            (b"\0\x06blksize\x008\0", ParseError::Opcode, None),
            (b"\x01\0a\0octet\0", ParseError::Opcode, None),
            (
                b"\0\x01a\0octet",
                ParseError::Request,
                Some(ErrorCode::Illegal),
            ),
            (
                b"\0\x01a\0mail\0",
                ParseError::Mode,
                Some(ErrorCode::Illegal),
            ),
            (
                b"\0\x01../a\0octet\0",
                ParseError::Name(NameError::Climbs),
                Some(ErrorCode::Access),
            ),
        ];
        for (bytes, error, answer) in rows {
            check(bytes, Err(error));
            assert_eq!(error.answer(), answer, "{error}");
        }
    }

    #[test]
    fn a_request_longer_than_the_rfc_allows_is_refused() {
        let mut packet = b"\0\x01".to_vec();
        packet.resize(MAX_REQUEST - 6, b'a');
        packet.extend(b"\0octet\0");
        check(&packet, Err(ParseError::Request));
        packet.remove(2);
        assert!(Message::parse(&packet).is_ok());
    }

    #[test]
    fn an_error_packet_is_code_and_text() {
        assert_eq!(
            error_packet(ErrorCode::NotFound, "no\0pe"),
            b"\0\x05\0\x01nope\0"
        );
    }
}
