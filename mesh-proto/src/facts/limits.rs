//! How much of a stranger's facts is kept. Facts come from machines nobody vouched for, so whatever is read from JSON is
//! cut while it is read: a list of a million disks never exists in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

/// Longest text, bytes. SMBIOS strings are at most 64 characters by custom, NVMe models 40, CPU models 48.
pub const MAX_TEXT_BYTES: usize = 128;
/// Network cards: a router board with every slot full has some dozens of ports.
pub const MAX_NICS: usize = 64;
/// Disks: two full shelves of 102.
pub const MAX_DISKS: usize = 256;
/// PCI devices: a two-socket server shows some hundreds, most of them parts of its processors.
pub const MAX_PCI_DEVICES: usize = 512;

/// Without control characters, which would reach a person's terminal, and at most [`MAX_TEXT_BYTES`] long.
pub(super) fn clean(raw: &str) -> String {
    let mut text = String::new();
    for c in raw.chars().filter(|c| !c.is_control()) {
        if text.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        text.push(c);
    }
    text
}

/// Reads a text and keeps what [`clean`] leaves.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    from.deserialize_str(Text)
}

/// The same for a text that may be absent.
pub(super) fn maybe_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    struct Maybe;
    impl<'de> Visitor<'de> for Maybe {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or null")
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            text(from).map(Some)
        }
    }
    from.deserialize_option(Maybe)
}

/// Reads a list and keeps its first `LIMIT` items; the rest is skipped unread.
pub(super) fn list<'de, const LIMIT: usize, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    from.deserialize_seq(List::<LIMIT, T>(PhantomData))
}

struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, raw: &str) -> Result<String, E> {
        Ok(clean(raw))
    }
}

struct List<const LIMIT: usize, T>(PhantomData<T>);

impl<'de, const LIMIT: usize, T: Deserialize<'de>> Visitor<'de> for List<LIMIT, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < LIMIT {
            match items.next_element()? {
                Some(item) => kept.push(item),
                None => return Ok(kept),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept)
    }
}
