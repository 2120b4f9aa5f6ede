//! How long a job waits for a controller or a source that is away.

use std::thread;
use std::time::Duration;

use super::controller::Trouble;
use super::fault::Fault;

/// Waits between attempts. A controller that restarts is back within seconds, one whose host is rebuilt within minutes.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts in all.
    pub attempts: u32,
    /// The wait after the first attempt; it doubles.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for Patience {
    /// About ten minutes.
    fn default() -> Self {
        Self {
            attempts: 45,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(15),
        }
    }
}

impl Patience {
    /// Waits after the attempt with this number, from zero; false when it was the last.
    pub(super) fn wait(&self, attempt: u32) -> bool {
        if attempt + 1 >= self.attempts {
            return false;
        }
        let wait = self.first.saturating_mul(1 << attempt.min(16));
        thread::sleep(wait.min(self.longest));
        true
    }

    /// Asks the controller until it answers.
    pub(super) fn ask<T>(&self, mut ask: impl FnMut() -> Result<T, Trouble>) -> Result<T, Fault> {
        let mut attempt = 0;
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Unwanted(why)) => return Err(Fault::Cancelled(why)),
                Err(Trouble::Away(_)) if self.wait(attempt) => attempt += 1,
                Err(trouble) => return Err(Fault::Controller(trouble.to_string())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_away_is_asked_again_and_one_that_refuses_is_not() {
        let patience = Patience {
            attempts: 3,
            first: Duration::ZERO,
            longest: Duration::ZERO,
        };
        let asked = |trouble: Trouble| {
            let mut times = 0;
            let failed: Result<(), _> = patience.ask(|| {
                times += 1;
                Err(trouble.clone())
            });
            (times, failed.unwrap_err())
        };
        assert!(matches!(
            asked(Trouble::Away("x".into())),
            (3, Fault::Controller(_))
        ));
        assert!(matches!(
            asked(Trouble::Refused("x".into())),
            (1, Fault::Controller(_))
        ));
        assert!(matches!(
            asked(Trouble::Unwanted("x".into())),
            (1, Fault::Cancelled(_))
        ));
        let mut left = 2;
        let came = patience.ask(|| {
            left -= 1;
            if left > 0 {
                Err(Trouble::Away(String::new()))
            } else {
                Ok(7)
            }
        });
        assert_eq!(came.ok(), Some(7));
    }
}
