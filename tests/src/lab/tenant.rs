//! Disks with a real operating system.

pub mod image;
