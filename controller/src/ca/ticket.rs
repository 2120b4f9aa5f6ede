//! Tickets for images: signed with the site's key, checked by whoever has chunks.
//!
//! As the link carries them: the ticket's text, a blank, and the signature in hex digits. The text begins with its purpose
//! and certificates are DER, so that neither can be taken for the other.

use image::{ChunkId, Ticket};
use mesh_proto::{
    identity::NodeId,
    message::delegation::{Delegation, Signed},
};
use rcgen::{PublicKeyData as _, SigningKey as _};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::{Ca, CaError};

/// Longest ticket that is looked at: the text has some 150 characters, the signature 144 digits.
const MAX_TICKET: usize = 512;

/// What tickets of a site are checked with: its public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketCheck(Vec<u8>);

/// Why a ticket is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTicket {
    /// Not a ticket's text.
    #[error("this is not a ticket")]
    Malformed,
    /// Not signed by this site.
    #[error("the ticket was not signed by this site")]
    Forged,
    /// Its end has come.
    #[error("the ticket has ended; ask for the job again")]
    Expired,
    /// Shown by somebody else.
    #[error("the ticket is another machine's")]
    OtherMachine,
}

impl Ca {
    /// The ticket with its signature, as the link carries it.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn sign_ticket(&self, ticket: &Ticket) -> Result<String, CaError> {
        let text = ticket.text();
        let signature = self.issuer.key().sign(text.as_bytes())?;
        Ok(format!("{text} {}", crate::hex::of(&signature)))
    }

    /// A helper's delegation with its signature, as the link carries it. Its text begins with its purpose, too.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn sign_delegation(&self, delegation: &Delegation) -> Result<Signed, CaError> {
        let text = serde_json::to_string(delegation).unwrap_or_default();
        let signature = self.issuer.key().sign(text.as_bytes())?;
        let signature = crate::hex::of(&signature);
        Ok(Signed { text, signature })
    }

    /// What its tickets are checked with.
    #[must_use]
    pub fn ticket_check(&self) -> TicketCheck {
        TicketCheck(self.issuer.key().der_bytes().to_vec())
    }
}

impl TicketCheck {
    /// The image that `shown` lets this machine have now.
    ///
    /// # Errors
    /// When it lets it have none.
    pub fn check(
        &self,
        shown: &str,
        machine: NodeId,
        now_unix_s: i64,
    ) -> Result<ChunkId, BadTicket> {
        let (text, signature) = shown
            .rsplit_once(' ')
            .filter(|_| shown.len() <= MAX_TICKET)
            .ok_or(BadTicket::Malformed)?;
        let signature = bytes(signature).ok_or(BadTicket::Malformed)?;
        let ticket: Ticket = text.parse().map_err(|_| BadTicket::Malformed)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(text.as_bytes(), &signature)
            .map_err(|_| BadTicket::Forged)?;
        if ticket.machine != machine.to_string() {
            return Err(BadTicket::OtherMachine);
        }
        if now_unix_s >= ticket.until_unix_s {
            return Err(BadTicket::Expired);
        }
        Ok(ticket.image)
    }
}

/// Bytes of lower-case hex digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(plain) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const MACHINE: NodeId = NodeId(0xa1);

    fn site(name: &str) -> (tempfile::TempDir, Ca) {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::open(folder.path(), name).unwrap();
        (folder, ca)
    }

    fn ticket() -> Ticket {
        Ticket {
            image: ChunkId::of(b"manifest"),
            machine: MACHINE.to_string(),
            until_unix_s: NOW + 60,
        }
    }

    #[test]
    fn a_ticket_is_good_for_its_machine_and_image_until_its_end() {
        let (_folder, ca) = site("home");
        let (shown, check) = (ca.sign_ticket(&ticket()).unwrap(), ca.ticket_check());
        assert_eq!(check.check(&shown, MACHINE, NOW), Ok(ticket().image));
        assert_eq!(check.check(&shown, MACHINE, NOW + 59), Ok(ticket().image));
        assert_eq!(
            check.check(&shown, MACHINE, NOW + 60),
            Err(BadTicket::Expired)
        );
        let other = NodeId(0xa2);
        assert_eq!(
            check.check(&shown, other, NOW),
            Err(BadTicket::OtherMachine)
        );
    }

    #[test]
    fn a_ticket_that_was_changed_or_signed_elsewhere_is_forged() {
        let (_folder, ca) = site("home");
        let (_other_folder, other) = site("away");
        let check = ca.ticket_check();
        let shown = ca.sign_ticket(&ticket()).unwrap();
        let (text, signature) = shown.rsplit_once(' ').unwrap();
        let changed = [
            Ticket {
                image: ChunkId::of(b"another"),
                ..ticket()
            },
            Ticket {
                until_unix_s: NOW + 9_999,
                ..ticket()
            },
            Ticket {
                machine: NodeId(0xa2).to_string(),
                ..ticket()
            },
        ];
        for ticket in changed {
            let forged = format!("{} {signature}", ticket.text());
            assert_eq!(
                check.check(&forged, NodeId(0xa2), NOW),
                Err(BadTicket::Forged)
            );
        }
        let elsewhere = other.sign_ticket(&ticket()).unwrap();
        assert_eq!(
            check.check(&elsewhere, MACHINE, NOW),
            Err(BadTicket::Forged)
        );
        assert!(other.ticket_check().check(&elsewhere, MACHINE, NOW).is_ok());
        for wrong in [
            "",
            " ",
            text,
            signature,
            &format!("{text} {}", signature.to_uppercase()),
            &format!("{text}  {signature}"),
            &format!("{text} {signature}0"),
            &"x ".repeat(300),
        ] {
            let told = check.check(wrong, MACHINE, NOW);
            assert_eq!(told, Err(BadTicket::Malformed), "{wrong}");
        }
        assert_eq!(
            check.check(&format!("{text} 00"), MACHINE, NOW),
            Err(BadTicket::Forged)
        );
    }

    #[test]
    fn after_a_restart_the_tickets_are_still_good() {
        let (folder, ca) = site("home");
        let shown = ca.sign_ticket(&ticket()).unwrap();
        drop(ca);
        let again = Ca::open(folder.path(), "home").unwrap();
        assert!(again.ticket_check().check(&shown, MACHINE, NOW).is_ok());
    }
}
