//! `enforcer-agent`.

fn main() {}
