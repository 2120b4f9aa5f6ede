//! Spans of time as people write them: `30m`, `2h`, `7d`.

/// A span of whole seconds, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub(super) jiff::SignedDuration);

impl Span {
    /// Its length in seconds; what is too long for any use is cut.
    pub(super) fn seconds(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

/// Reads a span.
pub(super) fn parse_span(text: &str) -> Result<Span, String> {
    // Days are 24 hours here: a calendar does not matter to machines.
    let days = text.strip_suffix('d').and_then(|n| n.parse::<i32>().ok());
    let span = match days {
        Some(days) => Ok(jiff::SignedDuration::from_hours(i64::from(days) * 24)),
        None => text.parse::<jiff::SignedDuration>(),
    };
    match span {
        Ok(span) if span.is_positive() => Ok(Span(span)),
        _ => Err("write a span like 30m, 2h or 7d".to_owned()),
    }
}
