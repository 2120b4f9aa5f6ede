//! The agent's end: enrolment, links, and the keeping of a link over several controllers.

mod backoff;
mod bulk;
mod dial;
mod dialer;
mod enrol;
mod link;
mod trust;
mod upload;

pub use backoff::Backoff;
pub(crate) use dial::stands;
pub use dial::{AgentEndpoint, LinkError};
pub use dialer::Dialer;
pub use enrol::{EnrolAs, EnrolError, EnrolEvent, EnrolProof, Enrolled, enrol};
pub use link::{AgentLink, Incoming, Link, Responder};
pub use trust::{BadToken, CaTrust};
pub use upload::Upload;
