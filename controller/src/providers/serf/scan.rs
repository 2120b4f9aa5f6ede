//! Where one MessagePack value ends in a stream that has no frames.
//!
//! Serf's RPC writes values one after the other. This finds their ends without building anything, remembers how far it has looked, and
//! refuses what would be too long by what it announces: so a peer that drips, nests or announces gigabytes costs no more than the bytes
//! that it sent, and no byte is looked at twice.

/// Longest value taken: all the members that are kept of one provider ([`MAX_MEMBERS`](crate::state::provider::MAX_MEMBERS)), a KiB
/// for each.
pub(super) const MAX_VALUE_BYTES: usize = 8 << 20;

/// A value that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadValue {
    /// It announces, or has, more bytes than [`MAX_VALUE_BYTES`].
    TooLong,
    /// A byte that begins no MessagePack value (0xC1).
    NotMessagePack,
}

/// Bytes that came, and how far they have been looked at.
#[derive(Debug)]
pub(super) struct Values {
    bytes: Vec<u8>,
    /// Where the next look begins; everything before belongs to the value that is being read.
    looked: usize,
    /// Values that have to come until the one being read is whole.
    wanted: usize,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            looked: 0,
            wanted: 1,
        }
    }
}

impl Values {
    /// Takes bytes in.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole value; `None`: more bytes have to come.
    ///
    /// # Errors
    /// When no whole value can come any more.
    pub(super) fn next_value(&mut self) -> Result<Option<Vec<u8>>, BadValue> {
        while self.wanted > 0 {
            let Some(head) = Head::read(self.bytes.get(self.looked..).unwrap_or_default())? else {
                break;
            };
            // A value of `inside` values has at least as many bytes.
            self.wanted = (self.wanted - 1).saturating_add(head.inside);
            self.looked = self.looked.saturating_add(head.bytes);
            if self.looked.saturating_add(self.wanted) > MAX_VALUE_BYTES {
                return Err(BadValue::TooLong);
            }
        }
        if self.wanted > 0 || self.looked > self.bytes.len() {
            return Ok(None);
        }
        let rest = self.bytes.split_off(self.looked);
        let value = std::mem::replace(&mut self.bytes, rest);
        (self.looked, self.wanted) = (0, 1);
        Ok(Some(value))
    }
}

/// What a value's first bytes say of it.
struct Head {
    /// Its length, without the values inside it.
    bytes: usize,
    /// The values inside it.
    inside: usize,
}

impl Head {
    /// Reads the marker and the length behind it. `None`: not enough bytes.
    fn read(bytes: &[u8]) -> Result<Option<Self>, BadValue> {
        let Some(&marker) = bytes.first() else {
            return Ok(None);
        };
        let low = |mask: u8| usize::from(marker & mask);
        let plain = |len: usize| Some((1 + len, 0));
        let length = |width: usize| number(bytes.get(1..=width)?);
        let text = |width: usize| Some((1 + width + length(width)?, 0));
        let values =
            |width: usize, each: usize| Some((1 + width, length(width)?.saturating_mul(each)));
        let read = match marker {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => plain(0),
            0x80..=0x8f => Some((1, 2 * low(0x0f))),
            0x90..=0x9f => Some((1, low(0x0f))),
            0xa0..=0xbf => plain(low(0x1f)),
            0xc1 => return Err(BadValue::NotMessagePack),
            0xc4 | 0xd9 => text(1),
            0xc5 | 0xda => text(2),
            0xc6 | 0xdb => text(4),
            // Extensions have a byte for their type.
            0xc7 => text(1).map(one_more),
            0xc8 => text(2).map(one_more),
            0xc9 => text(4).map(one_more),
            0xcc | 0xd0 => plain(1),
            0xcd | 0xd1 => plain(2),
            0xca | 0xce | 0xd2 => plain(4),
            0xcb | 0xcf | 0xd3 => plain(8),
            0xd4..=0xd8 => plain(1 + (1 << low(0x0f).saturating_sub(4))),
            0xdc => values(2, 1),
            0xdd => values(4, 1),
            0xde => values(2, 2),
            0xdf => values(4, 2),
        };
        Ok(read.map(|(bytes, inside)| Self { bytes, inside }))
    }
}

fn one_more((bytes, inside): (usize, usize)) -> (usize, usize) {
    (bytes + 1, inside)
}

/// A big-endian number of up to four bytes.
fn number(bytes: &[u8]) -> Option<usize> {
    let number = bytes.iter().fold(0u32, |n, b| (n << 8) | u32::from(*b));
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `bytes` in pieces of `step`, and how it ended.
    fn values(bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, Result<(), BadValue>) {
        let (mut all, mut found) = (Values::default(), Vec::new());
        for piece in bytes.chunks(step) {
            all.push(piece);
            loop {
                match all.next_value() {
                    Ok(Some(value)) => found.push(value),
                    Ok(None) => break,
                    Err(bad) => return (found, Err(bad)),
                }
            }
        }
        (found, Ok(()))
    }

    /// One of each kind that MessagePack has.
    fn samples() -> Vec<Vec<u8>> {
        let sized = |head: &[u8], len: usize| [head, &vec![b'x'; len]].concat();
        let many = |head: &[u8], count: usize| [head, &vec![0xc0; count]].concat();
        vec![
            vec![0x07],
            vec![0xff],
            vec![0xc0],
            vec![0xc3],
            vec![0xcc, 1],
            vec![0xd1, 1, 2],
            vec![0xca, 1, 2, 3, 4],
            vec![0xcf, 1, 2, 3, 4, 5, 6, 7, 8],
            sized(&[0xa5], 5),
            sized(&[0xd9, 200], 200),
            sized(&[0xda, 1, 0], 256),
            sized(&[0xdb, 0, 1, 0, 0], 65_536),
            sized(&[0xc4, 3], 3),
            sized(&[0xc7, 3, 9], 3),
            sized(&[0xc8, 0, 3, 9], 3),
            sized(&[0xd4, 9], 1),
            sized(&[0xd8, 9], 16),
            many(&[0x93], 3),
            many(&[0x82], 4),
            many(&[0xdc, 1, 0], 256),
            many(&[0xde, 0, 20], 40),
            vec![0x81, 0xa1, b'k', 0x92, 0x81, 0x01, 0xa2, b'o', b'k', 0xc2],
            vec![0xa0],
            vec![0x90],
        ]
    }

    #[test]
    fn values_come_out_one_by_one_however_they_were_cut() {
        let samples = samples();
        let stream = samples.concat();
        for step in [1, 2, 7, 1000, stream.len()] {
            let (found, end) = values(&stream, step);
            assert_eq!(end, Ok(()));
            assert!(found == samples, "in pieces of {step}");
        }
    }

    #[test]
    fn a_value_whose_end_is_missing_is_waited_for() {
        for sample in samples() {
            let cut = &sample[..sample.len() - 1];
            assert_eq!(values(cut, 64), (Vec::new(), Ok(())), "{:x?}", &sample[..1]);
        }
    }

    #[test]
    fn what_announces_too_much_is_refused_before_it_came() {
        let huge: [&[u8]; 6] = [
            &[0xdb, 0xff, 0xff, 0xff, 0xff],
            &[0xc6, 0x01, 0, 0, 0],
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
            &[0xdf, 0x00, 0x40, 0, 1],
            &[0xc9, 0xff, 0xff, 0xff, 0xff],
            &[0x92, 0xdd, 0x00, 0x80, 0, 0],
        ];
        for head in huge {
            assert_eq!(values(head, 1).1, Err(BadValue::TooLong), "{head:x?}");
        }
        assert_eq!(values(&[0xc1], 1).1, Err(BadValue::NotMessagePack));
    }

    #[test]
    fn a_deep_nest_costs_no_more_than_its_bytes_and_ends() {
        let deep = vec![0x91; MAX_VALUE_BYTES + 1];
        assert_eq!(values(&deep, 65_536), (Vec::new(), Err(BadValue::TooLong)));
        let mut whole = vec![0x91; 100_000];
        whole.push(0xc0);
        assert_eq!(values(&whole, 1000).0, [whole]);
    }
}
