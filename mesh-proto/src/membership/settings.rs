//! The numbers of the membership protocol, as they were measured with 100 members at 0 to 25 % loss. All nodes of a site
//! run with the same.

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
/// How often whom we suspect is asked directly, before we declare it down: at 25 % loss seven questions all go unanswered
/// once in 300 times.
pub(super) const ASK_SUSPECT: Duration = Duration::from_secs(2);
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

/// What foca runs with.
pub(super) fn foca_config() -> Config {
    Config {
        probe_period: Duration::from_secs(1),
        probe_rtt: Duration::from_millis(450),
        num_indirect_probes: nonzero(5),
        max_transmissions: NonZeroU8::new(12).unwrap_or(NonZeroU8::MIN),
        // The controller's verdict comes first; this is the backstop where no controller is. Shorter needs renewals of
        // members that only paused.
        suspect_to_down_after: Duration::from_secs(15),
        // We forget by ourselves: foca would keep a timer for each time a member went down.
        remove_down_after: None,
        max_packet_size: nonzero(MAX_PACKET),
        notify_down_members: true,
        // The answer is a packet full of members: at each 10 s it was a quarter of what an idle member sent, for what the
        // state swap finds out with two digests. This is the backstop where no controller is.
        periodic_announce: every(Duration::from_secs(60), 1),
        periodic_announce_to_down_members: every(Duration::from_secs(60), 2),
        periodic_gossip: every(Duration::from_millis(200), 3),
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
