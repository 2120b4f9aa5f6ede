//! What travels on a link between two sites for the mesh of sites: one frame is one stream, so a frame that is repeated after
//! a loss holds no other up. The first byte is its kind; a kind that is not known is refused and harms nobody.

use super::{Refused, SiteRow};
use crate::codec::MAX_PACKET;

/// Largest frame, bytes; a list that is longer comes in several.
pub const MAX_FRAME: usize = 4_096;

const GOSSIP: u8 = 1;
const HELLO: u8 = 2;
const RUMOUR: u8 = 3;
const ASK: u8 = 4;
const LIST: u8 = 5;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A packet of the membership protocol.
    Gossip(Vec<u8>),
    /// "This is who I am": first on each link, and whenever the sender's life is a new one.
    Hello(SiteRow),
    /// "This is said of you": the receiver's own row, as others have it.
    Rumour(SiteRow),
    /// "What is new on your list?"
    Ask {
        /// Which list was read; one that began anew is sent whole.
        session: u64,
        /// How far.
        revision: u64,
    },
    /// What is new. Not sent when nothing is.
    List {
        /// Which list.
        session: u64,
        /// How far it is read with these.
        revision: u64,
        /// The sites that the sender has joined, and itself.
        rows: Vec<SiteRow>,
    },
}

impl Frame {
    /// The frame as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Gossip(packet) => [&[GOSSIP], packet.as_slice()].concat(),
            Self::Hello(row) => rows(vec![HELLO], [row]),
            Self::Rumour(row) => rows(vec![RUMOUR], [row]),
            Self::Ask { session, revision } => numbers(ASK, *session, *revision),
            Self::List {
                session,
                revision,
                rows: all,
            } => rows(numbers(LIST, *session, *revision), all),
        }
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refused> {
        let malformed = Refused::Malformed;
        if bytes.len() > MAX_FRAME {
            return Err(malformed);
        }
        let (kind, rest) = bytes.split_first().ok_or(malformed)?;
        match *kind {
            GOSSIP if rest.len() <= MAX_PACKET => Ok(Self::Gossip(rest.to_vec())),
            HELLO => only(rest).map(Self::Hello),
            RUMOUR => only(rest).map(Self::Rumour),
            ASK if rest.len() == 16 => {
                let (session, rest) = number(rest)?;
                let (revision, _) = number(rest)?;
                Ok(Self::Ask { session, revision })
            }
            LIST => {
                let (session, rest) = number(rest)?;
                let (revision, rest) = number(rest)?;
                let rows = all(rest)?;
                Ok(Self::List {
                    session,
                    revision,
                    rows,
                })
            }
            _ => Err(malformed),
        }
    }
}

fn numbers(kind: u8, session: u64, revision: u64) -> Vec<u8> {
    [&[kind][..], &session.to_be_bytes(), &revision.to_be_bytes()].concat()
}

fn rows<'a>(mut head: Vec<u8>, rows: impl IntoIterator<Item = &'a SiteRow>) -> Vec<u8> {
    rows.into_iter().for_each(|row| row.put(&mut head));
    head
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), Refused> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Refused::Malformed)?;
    Ok((u64::from_be_bytes(*number), rest))
}

fn all(mut rest: &[u8]) -> Result<Vec<SiteRow>, Refused> {
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let row = SiteRow::take(&mut rest).map_err(|_malformed| Refused::Malformed)?;
        if !row.is_sane() {
            return Err(Refused::Malformed);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn only(rest: &[u8]) -> Result<SiteRow, Refused> {
    let mut rows = all(rest)?;
    match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => Ok(row),
        _ => Err(Refused::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::RowState, *};

    fn row(site: &str) -> SiteRow {
        SiteRow {
            site: site.to_owned(),
            generation: 70_000,
            renewals: 300,
            incarnation: 7,
            state: RowState::Suspect,
            addresses: vec!["[2001:db8::1]:4848".parse().expect("an address"); 8],
        }
    }

    #[test]
    fn a_frame_is_read_as_it_was_written_and_nothing_else_is_read() {
        let widest = row(&"s".repeat(63));
        let frames = [
            Frame::Gossip(vec![7; 20]),
            Frame::Hello(widest.clone()),
            Frame::Rumour(row("hq")),
            Frame::Ask {
                session: u64::MAX,
                revision: 1,
            },
            Frame::List {
                session: 1,
                revision: 2,
                rows: vec![row("hq"), widest],
            },
        ];
        for frame in frames {
            let bytes = frame.to_bytes();
            assert_eq!(Frame::from_bytes(&bytes), Ok(frame));
            let list = bytes[0] == LIST || bytes[0] == GOSSIP;
            for cut in 0..bytes.len() {
                let read = Frame::from_bytes(&bytes[..cut]);
                assert!(list || read.is_err(), "{cut} bytes of {}", bytes.len());
            }
        }
    }

    #[test]
    fn a_row_that_no_site_writes_is_refused() {
        let mut many = row("hq");
        many.addresses.push(many.addresses[0]);
        let mut bytes = vec![HELLO];
        // Nine short addresses fit into the encoding's limit.
        many.addresses = vec!["192.0.2.1:1".parse().expect("an address"); 9];
        many.put(&mut bytes);
        assert_eq!(Frame::from_bytes(&bytes), Err(Refused::Malformed));
        for name in ["", "Hq", "-hq", "h q", "h\u{1b}[2J"] {
            let bytes = Frame::Hello(row(name)).to_bytes();
            assert_eq!(
                Frame::from_bytes(&bytes),
                Err(Refused::Malformed),
                "{name:?}"
            );
        }
        assert_eq!(Frame::from_bytes(&[9]), Err(Refused::Malformed));
        assert_eq!(
            Frame::from_bytes(&vec![LIST; MAX_FRAME + 1]),
            Err(Refused::Malformed)
        );
    }
}
