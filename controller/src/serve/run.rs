//! `enforcer serve` as a process: its log, its runtime, its signals.

use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use super::Controller;
use crate::config::{Config, Flags};

/// Serves until the process is told to end.
///
/// # Errors
/// One sentence that names the cure; nothing was answered yet.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    let config = Config::load(flags)?;
    start_log(flags.log.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let controller = Controller::start(&config)?;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        controller.stop().await;
        Ok(())
    })
}

/// Logs to stderr, coloured only for people: a journal or a file keeps the plain text.
fn start_log(level: Option<&str>) -> anyhow::Result<()> {
    let level = level.unwrap_or("info");
    let filter = filter(level).ok_or_else(|| {
        anyhow::anyhow!("'{level}' is no log level; give --log error, warn, info, debug or trace")
    })?;
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
    Ok(())
}

/// A level, or targets with levels, `info,enforcer=debug`; a bare word is never a target.
fn filter(words: &str) -> Option<Targets> {
    if words.contains('=') {
        return words.parse().ok();
    }
    let level: LevelFilter = words.parse().ok()?;
    Some(Targets::new().with_default(level))
}
