//! Who may speak for a machine: keys, what they were proved by, and what a person still has to say.

pub mod admit;
mod digest;
pub mod key;
pub mod pending;
pub mod ring;
pub mod secret;
pub mod stamp;
pub mod token;

pub use digest::{BadDigest, Digest};
