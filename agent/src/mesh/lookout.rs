//! Notices that the machine slept: the clock that counts sleep runs ahead of the one that does not. The controller has
//! given us up by then, and we would notice only when our own timers, which slept too, run out.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(2);
/// A sleep that matters: a link survives a shorter one.
const SLEPT: Duration = Duration::from_secs(4);

/// How far the clock that counts sleep is ahead.
fn asleep() -> Duration {
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
}

/// Comes to its end after the machine has slept, counted from the call.
pub(super) fn slept() -> impl Future<Output = ()> {
    slept_by(asleep)
}

fn slept_by(asleep: impl Fn() -> Duration) -> impl Future<Output = ()> {
    let before = asleep();
    async move {
        while asleep().saturating_sub(before) < SLEPT {
            sleep(EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_sleep_is_noticed_and_the_drift_of_a_moment_is_not() {
        let asleep = Cell::new(Duration::from_secs(100));
        let watch = slept_by(|| asleep.get());
        tokio::pin!(watch);
        asleep.set(asleep.get() + Duration::from_secs(3));
        let awake = tokio::time::timeout(Duration::from_secs(60), &mut watch).await;
        assert!(awake.is_err(), "three seconds are no reason");
        asleep.set(asleep.get() + Duration::from_secs(1));
        tokio::time::timeout(EVERY, watch).await.unwrap();
    }
}
