//! Other people's programs on our wire: a foreign DHCP server, a relay, a packet capture, a lossy or slow network, and the reference chain.

mod capture;
mod cut;
mod delay;
mod dhcp;
mod hold;
mod loss;
mod receiver;
mod reference;
mod relay;
mod throttle;

pub use capture::{BOOT_PORTS, Capture};
pub use cut::Cut;
pub use delay::Delay;
pub use dhcp::ForeignDhcp;
pub use hold::Hold;
pub use loss::Loss;
pub use receiver::{Received, Receiver};
pub use reference::{Nginx, Reference, ReferencePlan};
pub use relay::Relay;
pub use throttle::Throttle;

use std::time::Duration;

/// How long a peer may take until it says that it serves.
const START_LIMIT: Duration = Duration::from_secs(10);
