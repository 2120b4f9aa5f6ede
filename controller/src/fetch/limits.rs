//! What a download may cost. A value, so that tests need not wait.

use std::time::Duration;

use crate::assets::MAX_FILE_BYTES;

/// The bounds of one download.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time for the head of an answer, connection included.
    pub head: Duration,
    /// Time without a byte after which the server counts as gone.
    pub stall: Duration,
    /// In each such time …
    pub window: Duration,
    /// … at least so many bytes come, or the server is too slow to wait for.
    pub least: u64,
    /// Longest file, bytes.
    pub longest: u64,
    /// Redirects that are followed.
    pub redirects: usize,
    /// Rests before each further try, when the failure may pass.
    pub retries: Vec<Duration>,
    /// Rest after the store could not write.
    pub rest: Duration,
}

impl Default for Limits {
    /// A slow line (64 kB/s) is served, a server that drips is not.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            window: Duration::from_secs(60),
            least: 256 << 10,
            longest: MAX_FILE_BYTES,
            redirects: 5,
            retries: vec![Duration::from_secs(2), Duration::from_secs(10)],
            rest: Duration::from_secs(5),
        }
    }
}
