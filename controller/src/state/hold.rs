//! Reservations of machines: one person has a machine for a while, others keep their hands off. (Addresses that DHCP keeps
//! for stations are [`lease::Reservation`](super::lease::Reservation)s.)

use serde::{Deserialize, Serialize};

use super::{Timestamp, user::UserName};

/// A machine that is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who has the machine.
    pub holder: UserName,
    /// Until when.
    pub until: Timestamp,
    /// Who said so, as the API names them.
    pub by: String,
}

impl Hold {
    /// Whether its time is not over.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Whether `caller` has to keep their hands off at `now`.
    #[must_use]
    pub fn keeps_off(&self, caller: &str, now: Timestamp) -> bool {
        self.stands(now) && !self.holder.is(caller)
    }
}
