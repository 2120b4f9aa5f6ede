//! `enforcer serve` as a process: its log, its runtime, its signals.

use std::io::{self, IsTerminal as _};

use mesh_net::ServiceManager;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use super::{Controller, watchdog};
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
        // Whoever moves the audit's file away says so by it: that must end nobody.
        let _heard = signal(SignalKind::hangup())?;
        let manager = ServiceManager::of_this_process()?;
        let controller = Controller::start(&config)?;
        tell(manager.as_ref(), ServiceManager::ready);
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            () = watchdog::give_signs(&controller.store, manager.as_ref()) => {}
        }
        tell(manager.as_ref(), ServiceManager::stopping);
        controller.stop().await;
        Ok(())
    })
}

/// A manager that does not listen is its own trouble: machines are answered all the same.
fn tell(manager: Option<&ServiceManager>, word: fn(&ServiceManager) -> io::Result<()>) {
    if let Some(Err(error)) = manager.map(word) {
        warn!(%error, "the service manager does not listen");
    }
}

/// Logs to stderr, coloured only for people: a journal or a file keeps the plain text.
fn start_log(level: Option<&str>) -> anyhow::Result<()> {
    let level = level.unwrap_or("info");
    let filter = filter(level).ok_or_else(|| {
        anyhow::anyhow!("'{level}' is no log level; give --log error, warn, info, debug or trace")
    })?;
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && wants_colour());
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
    Ok(())
}

/// Whether nobody said otherwise (<https://no-color.org>).
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|said| said.is_empty())
}

/// A level, or targets with levels, `info,enforcer=debug`; a bare word is never a target.
fn filter(words: &str) -> Option<Targets> {
    if words.contains('=') {
        return words.parse().ok();
    }
    let level: LevelFilter = words.parse().ok()?;
    Some(Targets::new().with_default(level))
}
