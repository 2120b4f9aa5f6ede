//! One function per fuzz target: bytes of a stranger in, nothing out, no panic.
//!
//! They live in a workspace crate, apart from the `cargo fuzz` crate around it, so that a plain `cargo test` replays the
//! checked-in corpora on every toolchain. A new target is: a module here, a row in [`TARGETS`], a file of three lines in
//! `fuzz/fuzz_targets`, a `[[bin]]` in `fuzz/Cargo.toml`, and a folder with seeds in `fuzz/corpus`.

mod dhcp;
mod http;
mod tftp;

pub use dhcp::fuzz_dhcp;
pub use http::fuzz_http;
pub use tftp::fuzz_tftp;

/// A target's name, which is also its corpus' folder, and what it does with its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("dhcp", fuzz_dhcp),
    ("http", fuzz_http),
    ("tftp", fuzz_tftp),
];
