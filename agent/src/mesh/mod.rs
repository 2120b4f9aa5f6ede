//! The agent's life in the mesh: enrol once, then keep a link to a controller for as long as the process lives, whatever
//! breaks in between. One task dials and holds the link; what runs on a link ends with it.

mod cure;
mod enrol;
mod gossip;
mod identity;
mod life;
mod line;
mod lookout;
mod orders;
mod session;
mod shared;
mod upkeep;
mod view;

pub use enrol::{EnrolRound, Enrolment, enrol_round};
pub use gossip::{GossipChoice, MemberWatch};
pub use identity::{Identity, Memory};
pub use life::{Agent, Ending, Setup, local_address};
pub use line::JobLine;
pub use orders::Power;
pub use view::{Stage, View};
