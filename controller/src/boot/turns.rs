//! Whose turn it is to answer a machine's DHCP, where several hear it: helpers on one segment, and ourselves.
//!
//! Who asks first for a station has the turn, and keeps it for as long as it goes on asking; the others stay silent. A turn
//! ends three seconds after its holder's last question, so that the station's next DISCOVER but one is answered when the
//! holder died. A question is answered within two seconds or dropped: all questions about one packet fall into one turn.

use ipxe::MacAddr;
use mesh_proto::identity::NodeId;

use super::recent::Recent;
use crate::state::Timestamp;

/// How long a turn lasts after its holder's last question, seconds: longer than a question may take, shorter than a ROM's
/// pause between two DISCOVERs.
const TURN_S: i64 = 3;

/// Who answers on a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answerer {
    /// The controller's own sockets.
    Own,
    /// A helper.
    Helper(NodeId),
}

/// The turns.
#[derive(Debug, Default)]
pub(super) struct Turns(Recent<MacAddr, (Answerer, Timestamp)>);

impl Turns {
    /// Whether `who` answers this station now.
    pub(super) fn take(&mut self, mac: MacAddr, who: Answerer, now: Timestamp) -> bool {
        let taken = |(holder, at): &(Answerer, Timestamp)| {
            *holder != who && !super::older_than(*at, now, TURN_S)
        };
        if self.0.get(&mac).is_some_and(taken) {
            return false;
        }
        self.0.insert(mac, (who, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const A: Answerer = Answerer::Helper(NodeId(1));
    const B: Answerer = Answerer::Helper(NodeId(2));

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn of_all_who_hear_a_packet_one_answers() {
        let mut turns = Turns::default();
        // A ROM's four DISCOVERs; each is heard by all, within the time that a question may take, in any order.
        for (n, sent) in [0, 4_000, 12_000, 28_000].into_iter().enumerate() {
            let mut hearers = [A, B, Answerer::Own];
            hearers.rotate_left(n % 3);
            let late = [0, 5, 2_000];
            let said = hearers
                .into_iter()
                .zip(late)
                .filter(|(who, late)| turns.take(MAC, *who, at(sent + late)));
            assert_eq!(said.count(), 1, "DISCOVER {n}");
        }
    }

    #[test]
    fn a_turn_is_kept_while_its_holder_asks_and_taken_over_three_seconds_after_it_fell_silent() {
        let mut turns = Turns::default();
        assert!(turns.take(MAC, A, at(0)));
        assert!(turns.take(MAC, A, at(2_500)));
        assert!(!turns.take(MAC, B, at(5_400)));
        assert!(turns.take(MAC, B, at(5_501)));
        assert!(!turns.take(MAC, A, at(5_502)), "it is B's now");
        let other = MacAddr([2, 0, 0, 0, 0, 2]);
        assert!(turns.take(other, A, at(5_503)), "each station by itself");
    }
}
