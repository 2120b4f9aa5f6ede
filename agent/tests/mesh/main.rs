//! The agent against a real server on loopback, with an authority that does what it is told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail as its tests do"
)]

/// The next thing that came to the controller, of the kind that is expected now; others are passed over.
macro_rules! next {
    ($record:expr, $pattern:pat) => {
        next!($record, $pattern => true)
    };
    ($record:expr, $pattern:pat => $value:expr) => {
        loop {
            match tokio::time::timeout(std::time::Duration::from_secs(20), $record.recv()).await {
                Ok(Some($pattern)) => break $value,
                Ok(Some(_)) => {}
                other => panic!("expected {}, came {other:?}", stringify!($pattern)),
            }
        }
    };
}

mod gossip;
mod helper;
mod jobs;
mod join;
mod link;
mod orders;
mod pretend;
mod site;
