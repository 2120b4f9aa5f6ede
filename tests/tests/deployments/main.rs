//! Whole deployments in one process: a controller with its store, links, boot HTTP and images on one side, machines with
//! their firmware's questions, real agents and file disks on the other, real QUIC over loopback between them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail as its tests do"
)]

mod bits;
mod disk;
mod fuse;
mod http;
mod killers;
mod machine;
mod refusals;
mod sequence;
mod shapes;
mod site;
mod workplace;
