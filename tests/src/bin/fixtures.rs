//! Builds what several stories boot, before any of them runs: no story's time limit then pays for it.

use std::time::Instant;

use anyhow::Result;
use enforcer_tests::{
    fixture::{self, Flavour},
    lab::tenant::Tenant,
};

fn main() -> Result<()> {
    timed("management OS, virtio", || {
        fixture::management_os(Flavour::Virtio)
    })?;
    timed("management OS, generic", || {
        fixture::management_os(Flavour::Generic)
    })?;
    timed("kernel of tenants", || {
        Tenant::new("fixture").kernel_and_initrd()
    })
}

fn timed<T>(what: &str, build: impl FnOnce() -> Result<T>) -> Result<()> {
    let started = Instant::now();
    build()?;
    println!("{what}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
