//! How a server knows a dial between sites by its first packet. QUIC's timers are set with that one, and what is dialled (TLS's
//! ALPN) comes after: so the connection id that a client makes up for it (RFC 9000 §7.2) begins with a mark. It is a hint about
//! timers and opens no door.

use quinn::ConnectionId;

/// The first bytes of such an id.
const MARK: [u8; 8] = *b"enfpeer1";
/// The others are random: as many as QUIC demands of a whole id, and four more.
const RANDOM: usize = 12;

/// A new id with the mark.
pub(crate) fn first_id() -> ConnectionId {
    let random: [u8; RANDOM] = rand::random();
    ConnectionId::new(&[&MARK[..], &random].concat())
}

/// Whether an id has the mark.
pub(crate) fn is_between_sites(id: &ConnectionId) -> bool {
    id.len() == MARK.len() + RANDOM && id.starts_with(&MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_id_is_known_and_cannot_be_foreseen() {
        let (one, other) = (first_id(), first_id());
        assert!(is_between_sites(&one) && is_between_sites(&other));
        assert_ne!(one, other);
        for id in [&b"enfpeer1"[..], &[7; 20], b"enfpeer0abcdefghijkl"] {
            assert!(!is_between_sites(&ConnectionId::new(id)), "{id:?}");
        }
    }
}
