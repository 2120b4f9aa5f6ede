//! Server-sent events, read from bytes as they come (HTML standard §9.2.6, the part that our API uses).

/// The longest unfinished line kept, bytes: an event is some hundred.
const MAX_LINE: usize = 1 << 20;

/// A message of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Its kind.
    pub(super) event: String,
    /// Where to resume behind it.
    pub(super) id: Option<u64>,
    /// Its data.
    pub(super) data: String,
}

/// Puts messages together.
#[derive(Debug, Default)]
pub(super) struct Reader {
    rest: Vec<u8>,
    message: Message,
}

impl Reader {
    /// Takes the next bytes; the messages that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut whole = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                if self.rest.len() < MAX_LINE {
                    self.rest.push(byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned();
            if let Some(message) = self.line(line.trim_end_matches('\r')) {
                whole.push(message);
            }
        }
        whole
    }

    /// Takes a line; an empty one ends a message.
    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return (!message.data.is_empty() || message.id.is_some()).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "id" => self.message.id = value.parse().ok(),
            "data" if self.message.data.is_empty() => value.clone_into(&mut self.message.data),
            "data" => {
                self.message.data.push('\n');
                self.message.data.push_str(value);
            }
            // Comments (an empty field name) and fields of a later version.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_the_same_however_the_bytes_are_cut() {
        let bytes = ": live\nid: 6\n\nevent: event\nid: 7\ndata: {\"a\":\"é\"}\n\n: ping\n\nevent: reset\r\nid: 9\r\ndata: x\r\n\r\n".as_bytes();
        let message = |event: &str, id, data: &str| Message {
            event: event.to_owned(),
            id: Some(id),
            data: data.to_owned(),
        };
        let expected = [
            message("", 6, ""),
            message("event", 7, "{\"a\":\"é\"}"),
            message("reset", 9, "x"),
        ];
        for size in 1..=bytes.len() {
            let mut reader = Reader::default();
            let found: Vec<Message> = bytes.chunks(size).flat_map(|c| reader.feed(c)).collect();
            assert_eq!(found, expected, "cut into {size}");
        }
    }
}
