//! Driver around [`mesh_proto`]: QUIC links, enrolment and the gossip socket.
//!
//! A controller starts a [`MeshServer`] and answers it through a [`MeshAuthority`]. An agent binds an [`AgentEndpoint`],
//! [`enrol`](enrol())s a key once and then keeps a link with [`AgentEndpoint::connect`] or a [`Dialer`]. Both gossip
//! through a [`GossipSocket`]. What any of them
//! may do is decided by those who call; this crate sees to TLS, frames, time limits and quotas.

mod agent;
mod authority;
mod body;
pub mod cert;
mod close;
mod gossip;
pub mod keys;
mod peer;
mod server;
mod service_manager;
mod stream;
pub mod tls;
mod transport;
mod wire;

pub use agent::{
    AgentEndpoint, AgentLink, Backoff, BadToken, CaTrust, Dialer, EnrolAs, EnrolError, EnrolEvent,
    EnrolProof, Enrolled, Incoming, Link, LinkError, Responder, Upload, enrol,
};
pub use authority::{EnrolAnswer, EnrolAsk, EnrolOutcome, MeshAuthority, MeshNote, Refused};
pub use body::{Answer, BODY_IDLE, BODY_WHOLE, Body, BodyError, Flow};
pub use cert::{CertError, PeerCert};
pub use close::{CallError, CloseCode, LinkEnd};
pub use gossip::{
    GossipAs, GossipCounters, GossipError, GossipEvent, GossipEvents, GossipHandle, GossipSocket,
    GossipTask, SwapDesk, SwapError, Swapped, swap,
};
pub use keys::{Csr, KeyError, NodeKey};
pub use peer::{PeerFrame, PeerIncoming, PeerLink, PeerReplies, PeerResponder};
pub use server::{
    LinkHandle, MeshServer, Replies, ServeError, ServerConfig, ServerHandle, ServerLimits,
};
pub use service_manager::ServiceManager;
pub use tls::{Clock, LinkIdentity, PeerCas, SiteIdentity, TlsError};
pub use transport::{IDLE, KEEP_ALIVE};
