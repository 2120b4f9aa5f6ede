//! Many registered machines.

use crate::lab::Controller;
use anyhow::{Result, ensure};
use std::thread;

/// Callers at once: the store commits what comes together as one transaction.
const CALLERS: usize = 16;

/// The first `count` machines, registered at a controller.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// How many.
    pub count: usize,
}

/// The hardware address of machine `index`, with colons.
pub fn fleet_mac(index: usize) -> String {
    format!(
        "02:00:{:02x}:{:02x}:{:02x}:01",
        index >> 16 & 255,
        index >> 8 & 255,
        index & 255
    )
}

impl Fleet {
    /// Registers them.
    ///
    /// # Errors
    /// When the controller refuses one.
    pub fn register(controller: &Controller, count: usize) -> Result<Self> {
        let fleet = Self { count };
        fleet.each(|index| {
            post(
                controller,
                "/api/v1/machines",
                &format!(r#"{{"mac":"{}"}}"#, fleet_mac(index)),
            )
        })?;
        Ok(fleet)
    }

    /// Makes a boot config due for each.
    ///
    /// # Errors
    /// When the controller refuses one.
    pub fn activate(self, controller: &Controller, config: &str) -> Result<()> {
        let path = format!("/api/v1/boot-configs/{config}/activate");
        let body = |index| format!(r#"{{"machine":"{}","kind":"one-shot"}}"#, fleet_mac(index));
        self.each(|index| post(controller, &path, &body(index)))
    }

    /// Ends what is due for each.
    ///
    /// # Errors
    /// When the controller refuses one.
    pub fn deactivate(self, controller: &Controller) -> Result<()> {
        self.each(|index| {
            post(
                controller,
                "/api/v1/activations/deactivate",
                &format!(r#"{{"machine":"{}"}}"#, fleet_mac(index)),
            )
        })
    }

    fn each(self, act: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|first| {
                    let act = &act;
                    scope.spawn(move || (first..self.count).step_by(CALLERS).try_for_each(act))
                })
                .collect();
            callers
                .into_iter()
                .try_for_each(|caller| caller.join().expect("a caller does not panic"))
        })
    }
}

fn post(controller: &Controller, path: &str, body: &str) -> Result<()> {
    let (status, answer) = controller.api("POST", path, body)?;
    ensure!(
        (200..300).contains(&status),
        "POST {path} {body}: {status}: {answer}"
    );
    Ok(())
}
