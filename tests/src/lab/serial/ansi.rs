//! Firmware writes for a terminal; expectations want lines.

/// Removes escape sequences and control characters, also when one is split over two reads.
#[derive(Debug, Default)]
pub(super) enum AnsiFilter {
    #[default]
    Text,
    Escape,
    /// Inside `ESC [`, until a letter.
    Sequence,
    /// After `ESC (` and its like: one more character belongs to it.
    OneMore,
}

impl AnsiFilter {
    /// Appends what is left of `bytes` to `text`.
    pub(super) fn push(&mut self, bytes: &[u8], text: &mut String) {
        for &byte in bytes {
            *self = match (&*self, byte) {
                (_, 0x1b) => Self::Escape,
                (Self::Escape, b'[') => Self::Sequence,
                (Self::Escape, b'(' | b')') => Self::OneMore,
                (Self::Escape | Self::OneMore, _) => Self::Text,
                (Self::Sequence, b'0'..=b'9' | b';' | b'?') => Self::Sequence,
                (Self::Sequence, _) => Self::Text,
                (Self::Text, b'\n' | b'\t' | b' '..=b'~') => {
                    text.push(char::from(byte));
                    Self::Text
                }
                (Self::Text, 0x80..) => {
                    text.push('?');
                    Self::Text
                }
                (Self::Text, _) => Self::Text,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_removed_even_when_split_between_reads() {
        let (mut filter, mut text) = (AnsiFilter::default(), String::new());
        for part in ["a\x1b[2", "J\x1b[01;0", "1Hb\x1b(", "Bc\r\n\x08\0d"] {
            filter.push(part.as_bytes(), &mut text);
        }
        assert_eq!(text, "abc\nd");
    }
}
