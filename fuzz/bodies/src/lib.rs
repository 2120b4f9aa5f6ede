//! One function per fuzz target: bytes of a stranger in, nothing out, no panic.
//!
//! They live in a workspace crate, apart from the `cargo fuzz` crate around it, so that a plain `cargo test` replays the
//! checked-in corpora on every toolchain. A new target is: a module here, a row in [`TARGETS`], a file of three lines in
//! `fuzz/fuzz_targets`, a `[[bin]]` in `fuzz/Cargo.toml`, and a folder with seeds in `fuzz/corpus`.

mod certificates;
mod codec;
mod config;
mod dhcp;
mod http;
mod images;
mod link;
mod oidc;
mod peer;
mod seal;
mod serf;
mod templates;
mod tftp;
mod wan;

pub use certificates::fuzz_certificates;
pub use codec::fuzz_codec;
pub use config::fuzz_config;
pub use dhcp::fuzz_dhcp;
pub use http::fuzz_http;
pub use images::fuzz_images;
pub use link::fuzz_link;
pub use oidc::fuzz_oidc;
pub use peer::fuzz_peer;
pub use seal::fuzz_seal;
pub use serf::fuzz_serf;
pub use templates::fuzz_templates;
pub use tftp::fuzz_tftp;
pub use wan::fuzz_wan;

/// A target's name, which is also its corpus' folder, and what it does with its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("certificates", fuzz_certificates),
    ("codec", fuzz_codec),
    ("config", fuzz_config),
    ("dhcp", fuzz_dhcp),
    ("http", fuzz_http),
    ("images", fuzz_images),
    ("link", fuzz_link),
    ("oidc", fuzz_oidc),
    ("peer", fuzz_peer),
    ("seal", fuzz_seal),
    ("serf", fuzz_serf),
    ("templates", fuzz_templates),
    ("tftp", fuzz_tftp),
    ("wan", fuzz_wan),
];
