//! Leave to fetch an image: signed by the controller, shown to whoever has chunks.
//!
//! It names an image, a machine and an end, and no kind of connection: the controller takes it over a link today, a
//! neighbour could take it over anything tomorrow. The signature is made and checked by who has keys; this is the text
//! it is about.

use std::str::FromStr;

use crate::ChunkId;

/// What a signature is about, so that no other signed text is taken for a ticket.
const PURPOSE: &str = "enforcer-ticket/1";

/// Who may fetch what, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Digest of the image's manifest: that manifest and the chunks in it.
    pub image: ChunkId,
    /// The machine's id, 16 hex digits.
    pub machine: String,
    /// Seconds since 1970; not good from then on.
    pub until_unix_s: i64,
}

/// Text that is no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a ticket")]
pub struct TicketError;

impl Ticket {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{PURPOSE} {} {} {}",
            self.image, self.machine, self.until_unix_s
        )
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(TicketError);
        if next()? != PURPOSE {
            return Err(TicketError);
        }
        let image = next()?.parse().map_err(|_| TicketError)?;
        let machine = next()?.to_owned();
        let until_unix_s = next()?.parse().map_err(|_| TicketError)?;
        let ticket = Self {
            image,
            machine,
            until_unix_s,
        };
        // One ticket has one text: no `+1`, no blank at the end, nothing that another reader could take for something else.
        if ticket.text() == text && !ticket.machine.is_empty() {
            Ok(ticket)
        } else {
            Err(TicketError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_has_one_text() {
        let ticket = Ticket {
            image: ChunkId::of(b"manifest"),
            machine: "00000000000000a1".to_owned(),
            until_unix_s: 1_800_000_000,
        };
        let text = ticket.text();
        assert_eq!(text.parse(), Ok(ticket));
        for wrong in [
            format!("{text} "),
            text.replace("1800", "+1800"),
            text.replace("ticket/1", "ticket/2"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<Ticket>(), Err(TicketError), "{wrong}");
        }
    }
}
