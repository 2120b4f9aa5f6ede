//! The numbers of the membership protocol, as they were measured with 100 members of a site at 0 to 25 % loss, and with 50
//! sites (`mesh-proto/tests/sim`, `mesh-proto/tests/wan`). All nodes of one mesh run with the same.

use std::{
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use foca::{Config, PeriodicParams};

use crate::codec::MAX_PACKET;

/// Members we remember, those that are down among them. Four times the largest site that was simulated; the rest are strangers.
pub const MAX_MEMBERS: usize = 4_096;
/// Events that wait for their reader. A reader that is slower is told to read the whole list instead.
pub(super) const MAX_EVENTS: usize = 4_096;
/// Packets that wait for the socket. What would wait longer is lost, as on any network.
pub(super) const MAX_TRANSMITS: usize = 4_096;
/// Seeds we announce to: the controllers of one site.
pub(super) const MAX_SEEDS: usize = 16;

/// How often a member that knows nobody asks its seeds.
pub(super) const ASK_SEEDS_ALONE: Duration = Duration::from_secs(1);
/// How often a member asks those seeds that it believes gone: two halves of a cut network find each other again.
pub(super) const ASK_SEEDS: Duration = Duration::from_secs(10);
/// How often what is old is thrown away.
pub(super) const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How long a member that is down is listed, and its old identities are refused.
pub(super) const REMEMBER_DOWN: Duration = Duration::from_secs(24 * 3600);
/// How long a member that is down is part of a state swap. Whoever missed the news for longer has found out alone, and
/// what everybody has forgotten must not come back from the last one who has not.
pub(super) const SWAP_DOWN: Duration = Duration::from_secs(600);
/// How long a verdict may be under way. A member that renewed itself more recently was heard after the verdict was given.
pub(super) const VERDICT_TRAVELS: Duration = Duration::from_secs(5);
/// A timer that is this late means that we were stopped, not that the others were silent.
pub(super) const PAUSED: Duration = Duration::from_secs(1);

/// How patient a mesh is, and how talkative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Each member probes another one so often.
    probe_period: Duration,
    /// A probe that is not answered within this is tried through others.
    probe_rtt: Duration,
    /// So many others.
    indirect_probes: usize,
    /// From suspected to down.
    suspect_to_down: Duration,
    /// How often news are passed on, and to how many at once.
    gossip: (Duration, usize),
    /// How often each of the news is passed on.
    transmissions: u8,
    /// Largest packet, bytes; at most [`MAX_PACKET`].
    max_packet: usize,
    /// How often a member asks another one for whom it knows.
    announce: Option<Duration>,
    /// How often whom we suspect is asked directly, before we declare it down.
    pub(super) ask_suspect: Duration,
}

impl Timing {
    /// Of one site's members: UDP, less than some milliseconds away.
    pub const LAN: Self = Self {
        probe_period: Duration::from_secs(1),
        probe_rtt: Duration::from_millis(450),
        indirect_probes: 5,
        // The controller's verdict comes first; this is the backstop where no controller is. Shorter needs renewals of
        // members that only paused.
        suspect_to_down: Duration::from_secs(15),
        gossip: (Duration::from_millis(200), 3),
        transmissions: 12,
        max_packet: MAX_PACKET,
        // The answer is a packet full of members: at each 10 s it was a quarter of what an idle member sent, for what the
        // state swap finds out with two digests. This is the backstop where no controller is.
        announce: Some(Duration::from_secs(60)),
        // At 25 % loss seven questions all go unanswered once in 300 times.
        ask_suspect: Duration::from_secs(2),
    };

    /// Of sites: reliable links that may be 300 ms long, where a lost packet comes a second later, and 2 kB/s are for all.
    pub const WAN: Self = Self {
        probe_period: Duration::from_secs(3),
        // 300 ms there and back, and one loss on the way: it is repeated after two round trips.
        probe_rtt: Duration::from_millis(1_200),
        indirect_probes: 5,
        suspect_to_down: Duration::from_secs(12),
        gossip: (Duration::from_secs(1), 2),
        transmissions: 6,
        max_packet: 450,
        // Sites read each other's lists instead: see `wan`.
        announce: None,
        ask_suspect: Duration::from_secs(3),
    };

    /// What foca runs with.
    pub(super) fn foca_config(&self) -> Config {
        Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: nonzero(self.indirect_probes),
            max_transmissions: NonZeroU8::new(self.transmissions).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: self.suspect_to_down,
            // We forget by ourselves: foca would keep a timer for each time a member went down.
            remove_down_after: None,
            max_packet_size: nonzero(self.max_packet),
            notify_down_members: true,
            periodic_announce: self.announce.and_then(|often| every(often, 1)),
            periodic_announce_to_down_members: self.announce.and_then(|often| every(often, 2)),
            periodic_gossip: every(self.gossip.0, self.gossip.1),
        }
    }
}

fn every(frequency: Duration, members: usize) -> Option<PeriodicParams> {
    Some(PeriodicParams {
        frequency,
        num_members: nonzero(members),
    })
}

fn nonzero(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}
