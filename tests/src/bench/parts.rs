//! Which parts of a bench to run: those that its arguments name, or all.

use anyhow::{Result, ensure};

/// What was asked for.
#[derive(Debug)]
pub struct Parts(Vec<String>);

impl Parts {
    /// Those named on the command line; what cargo adds starts with a dash.
    ///
    /// # Errors
    /// When one is none of `all`.
    pub fn named(all: &[&str]) -> Result<Self> {
        let named: Vec<String> = std::env::args()
            .skip(1)
            .filter(|arg| !arg.starts_with('-'))
            .collect();
        let known = |name: &String| all.contains(&name.as_str());
        ensure!(named.iter().all(known), "the parts are {all:?}");
        Ok(Self(named))
    }

    /// Whether to run this one.
    #[must_use]
    pub fn wants(&self, part: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|name| name == part)
    }
}
