//! What the host of a virtual machine gives to others meanwhile.

use anyhow::{Context as _, Result};
use std::fs;

/// A look at the processors' times since the boot.
#[derive(Debug, Clone, Copy)]
pub struct Stolen {
    stolen: u64,
    all: u64,
}

impl Stolen {
    /// The times now.
    ///
    /// # Errors
    /// When `/proc/stat` is not what proc(5) says.
    pub fn now() -> Result<Self> {
        Self::read(&fs::read_to_string("/proc/stat")?).context("/proc/stat has no times")
    }

    /// "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; user and nice hold the guests' times, too.
    fn read(stat: &str) -> Option<Self> {
        let times = stat.lines().next()?.strip_prefix("cpu ")?;
        let times = times.split_whitespace().take(8).map(str::parse);
        let times: Vec<u64> = times.collect::<Result<_, _>>().ok()?;
        let stolen = *times.get(7)?;
        Some(Self {
            stolen,
            all: times.iter().sum(),
        })
    }

    /// The share (0 to 1) of all processors' time since an earlier look in which somebody wanted to run here and another guest
    /// of the host did.
    #[must_use]
    pub fn since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stolen_share_is_of_all_times_between_two_looks() {
        let look = |text: &str| Stolen::read(text).unwrap();
        let before = look("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 2 3\n");
        let after = look("cpu  130 0 70 820 10 0 5 65 7 0\n");
        assert!((after.since(before) - 0.3).abs() < 1e-9);
        assert_eq!(before.since(before), 0.0);
        assert!(Stolen::read("cpu  1 2 3\n").is_none());
        assert!(Stolen::read("intr 1 2 3 4 5 6 7 8 9\n").is_none());
    }
}
