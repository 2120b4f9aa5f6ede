//! Jobs on pretended disks: power cuts, bits that flip, sources that lie, and controllers that change their mind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail as its tests do"
)]

mod bad;
mod capture;
mod course;
mod disk;
mod edits;
mod power;
mod site;
mod tools;
