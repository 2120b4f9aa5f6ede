//! `enforcer`: controller daemon and command line.

fn main() {}
