//! One notification on its way to one receiver.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::HookName;
pub use crate::state::number::DeliveryId;
use crate::state::{Timestamp, event::Event};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum DeliveryStage {
    /// To be sent.
    Waiting {
        /// Not before.
        next: Timestamp,
    },
    /// The receiver said that it has it.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// Given up, until a person replays it.
    Dead {
        /// When.
        at: Timestamp,
    },
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// For which subscription.
    pub hook: HookName,
    /// What happened, as it was then: the record forgets events, a delivery does not.
    pub event: Event,
    /// The name of the event's machine, as it was then.
    #[serde(default)]
    pub machine_name: Option<String>,
    /// Where it stands.
    #[serde(flatten)]
    pub stage: DeliveryStage,
    /// How often it was tried since it was queued or replayed.
    pub attempts: u32,
    /// When it was queued or replayed.
    pub since: Timestamp,
    /// What the last attempt brought.
    #[serde(default)]
    pub last: Option<String>,
}

impl Delivery {
    /// The id that a receiver knows it by: the same at each attempt, replays included. With the event's time in it, so
    /// that a store that was put back to a backup does not use an id for another event.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!(
            "evt_{}_{:x}",
            self.event.seq,
            self.event.at.as_millisecond()
        )
    }

    /// When it is to be sent; `None`: it is settled.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        match self.stage {
            DeliveryStage::Waiting { next } => Some(next),
            DeliveryStage::Delivered { .. } | DeliveryStage::Dead { .. } => None,
        }
    }
}

/// How patiently a receiver is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure; it doubles.
    pub first: SignedDuration,
    /// The longest wait.
    pub most: SignedDuration,
    /// A delivery older than this is dead: who is away for a day is told by a person.
    pub give_up: SignedDuration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: SignedDuration::from_secs(5),
            most: SignedDuration::from_hours(1),
            give_up: SignedDuration::from_hours(24),
        }
    }
}

impl Retry {
    /// The wait after so many failed attempts. `dice` between 0 and 1 takes up to half of it off, so that receivers that
    /// went down together are not asked together.
    #[must_use]
    pub fn wait(&self, attempts: u32, dice: f64) -> SignedDuration {
        let doublings = attempts.saturating_sub(1).min(30);
        let full = self.first.saturating_mul(1_i32 << doublings).min(self.most);
        full.mul_f64(1.0 - dice.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_are_shortened_by_half_at_most() {
        let retry = Retry::default();
        let told = |attempts, dice| retry.wait(attempts, dice).as_secs();
        assert_eq!([told(1, 0.0), told(2, 0.0), told(3, 0.0)], [5, 10, 20]);
        assert_eq!([told(11, 0.0), told(400, 0.0)], [3600, 3600]);
        assert_eq!([told(2, 0.5), told(2, 1.0), told(2, 9.0)], [7, 5, 5]);
    }
}
