//! The lab and the stories.
//!
//! `lab` is a virtual room: a private network namespace with a bridge, QEMU machines on it that boot real firmware, foreign servers beside
//! them, and the real `enforcer` binary. Demo, system stories and benches are written on it.

pub mod bench;
pub mod book;
pub mod dhcp;
pub mod first_boot;
pub mod fixture;
pub mod given;
pub mod guest;
pub mod lab;
pub mod site;
