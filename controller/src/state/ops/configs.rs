//! Boot configs are set and deleted.

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Nonce,
    config::{BootConfig, ConfigName, LOADED, Program},
    event::Draft,
    machine::{Machine, MachineId},
    name::is_plain_name,
    template::{Scope, TemplateError},
};

/// Longest template, bytes.
const MAX_TEMPLATE: usize = 128 * 1024;
/// Files and answers of one config.
const MAX_FILES: usize = 32;
/// Names that mean something else under `/boot/n/<nonce>/`.
const RESERVED: [&str; 4] = ["done", "online", "failed", LOADED];

/// Why a config is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such config.
    #[error("no boot config is called '{0}'; `enforcer boot-configs list` shows the known ones")]
    NotFound(ConfigName),
    /// Something in it cannot work.
    #[error("{0}")]
    Invalid(String),
    /// Activations use it.
    #[error("'{0}' is still active for {1}; deactivate it first")]
    InUse(ConfigName, String),
}

/// A person writes a config; it replaces the one of the same name.
#[derive(Debug, Clone)]
pub struct SetConfig(pub BootConfig);

impl Transition for SetConfig {
    type Outcome = Result<BootConfig, ConfigError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        if let Err(problem) = check(&self.0) {
            return (Changes::none(), Err(ConfigError::Invalid(problem)));
        }
        let old = view.config(&self.0.name);
        let next = BootConfig {
            revision: old.map_or(1, |o| o.revision + 1),
            updated: now,
            ..self.0.clone()
        };
        // What was fetched already counts as long as nothing else is wanted.
        let unchanged = |o: &BootConfig| {
            BootConfig {
                revision: next.revision,
                updated: now,
                program: o.program.unfetched(),
                ..o.clone()
            } == next
        };
        let failed = |o: &BootConfig| {
            let mut assets = o.program.assets();
            assets.any(|a| a.sha256.is_none() && !a.is_wanted())
        };
        if let Some(old) = old.filter(|o| unchanged(o) && !failed(o)) {
            return (Changes::none(), Ok(BootConfig::clone(old)));
        }
        let mut changes = Changes::none();
        changes.event(Draft::new(
            "config.set",
            format!(
                "boot config {} is now revision {}",
                next.name, next.revision
            ),
        ));
        changes.write(next.clone());
        (changes, Ok(next))
    }
}

/// Checks what can be checked before a machine asks: names, sizes, and the templates against an example machine.
fn check(config: &BootConfig) -> Result<(), String> {
    let names: Vec<&str> = config
        .program
        .assets()
        .map(|a| a.name.as_str())
        .chain(config.answers.keys().map(String::as_str))
        .chain(config.overlays.keys().map(String::as_str))
        .collect();
    check_names(&names)?;
    let machine = Machine::seen(
        MachineId::from_random(0),
        ipxe::MacAddr([2, 0, 0, 0, 0, 1]),
        Timestamp::UNIX_EPOCH,
    );
    let scope = Scope {
        machine: &machine,
        facts: None,
        base: "http://192.0.2.1:4880",
        nonce: &Nonce::from_random(0),
    };
    let (what, main) = match &config.program {
        Program::Kernel { cmdline, .. } => ("the command line", cmdline),
        Program::Ipxe { script, .. } => ("the script", script),
    };
    let rendered = render(&scope, what, main)?;
    if let (Program::Kernel { .. }, Some(rendered)) = (&config.program, rendered) {
        ipxe::check_text(&rendered).map_err(|e| format!("the command line {e}"))?;
    }
    for (name, template) in &config.answers {
        render(&scope, &format!("answer '{name}'"), template)?;
    }
    Ok(())
}

/// Checks the names of all files that a config serves under its nonce.
pub(super) fn check_names(names: &[&str]) -> Result<(), String> {
    if names.len() > MAX_FILES {
        return Err(format!(
            "it has {} files; {MAX_FILES} is the limit",
            names.len()
        ));
    }
    for (at, name) in names.iter().enumerate() {
        if !is_plain_name(name) || RESERVED.contains(name) {
            return Err(format!(
                "'{name}' cannot be a file name here; use letters, digits, '.', '_' and '-', not 'done', 'failed' or 'loaded'"
            ));
        }
        if names[..at].contains(name) {
            return Err(format!("two of its files are called '{name}'"));
        }
    }
    Ok(())
}

/// The text; `None` when it depends on facts, which only a machine has.
fn render(scope: &Scope<'_>, what: &str, template: &str) -> Result<Option<String>, String> {
    if template.len() > MAX_TEMPLATE {
        return Err(format!("{what} is longer than {MAX_TEMPLATE} bytes"));
    }
    match scope.render(template) {
        Ok(text) => Ok(Some(text)),
        Err(TemplateError::Facts(_)) => Ok(None),
        Err(error @ TemplateError::Broken(_)) => Err(format!("{what}: {error}")),
    }
}

/// A remote file is here, or could not be fetched.
#[derive(Debug, Clone)]
pub struct FileFetched {
    /// Whose file.
    pub config: ConfigName,
    /// Of which revision; a newer one wants files of its own.
    pub revision: u64,
    /// Which file.
    pub name: String,
    /// From where.
    pub url: String,
    /// SHA-256 and length in bytes; else why it is not here.
    pub outcome: Result<(String, u64), String>,
}

impl Transition for FileFetched {
    /// Whether somebody still wanted it.
    type Outcome = bool;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let found = view.config(&self.config);
        let Some(old) = found.filter(|c| c.revision == self.revision) else {
            return (changes, false);
        };
        let mut config = BootConfig::clone(old);
        let mut assets = config.program.assets_mut();
        let Some(asset) = assets.find(|a| a.name == self.name && a.is_wanted()) else {
            return (changes, false);
        };
        let draft = match &self.outcome {
            Ok((sha256, size)) => {
                (asset.sha256, asset.size) = (Some(sha256.clone()), *size);
                Draft::new(
                    "config.fetched",
                    format!("{} of {} is here", self.name, old.name),
                )
            }
            Err(why) => {
                if let Some(remote) = &mut asset.remote {
                    remote.failed = Some(why.clone());
                }
                let text = format!("{} of {} could not be fetched: {why}", self.name, old.name);
                Draft::new("config.fetch-failed", text)
            }
        };
        drop(assets);
        changes.event(
            draft
                .field("config", old.name.to_string())
                .field("url", self.url.clone()),
        );
        changes.write(config);
        (changes, true)
    }
}

/// A person, or an activation, wants a config's remote files again.
#[derive(Debug, Clone)]
pub struct Refetch {
    /// Whose files.
    pub config: ConfigName,
    /// Also those that are here: their servers may have newer ones.
    pub all: bool,
}

impl Transition for Refetch {
    type Outcome = Result<BootConfig, ConfigError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(old) = view.config(&self.config) else {
            return (changes, Err(ConfigError::NotFound(self.config.clone())));
        };
        let mut config = BootConfig::clone(old);
        for asset in config.program.assets_mut() {
            if self.all || asset.sha256.is_none() {
                *asset = asset.unfetched();
            }
        }
        if config != **old {
            if self.all {
                // What is armed keeps the files it was armed with.
                (config.revision, config.updated) = (old.revision + 1, now);
            }
            changes.write(config.clone());
        }
        (changes, Ok(config))
    }
}

/// A person deletes a config that no open activation uses.
#[derive(Debug, Clone)]
pub struct DeleteConfig(pub ConfigName);

impl Transition for DeleteConfig {
    type Outcome = Result<(), ConfigError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        if view.config(&self.0).is_none() {
            return (Changes::none(), Err(ConfigError::NotFound(self.0.clone())));
        }
        let user = view
            .activations()
            // A peer's config may have the same name.
            .find(|a| a.is_open() && a.taken.is_none() && a.config.name == self.0);
        if let Some(user) = user {
            let machine = view.machine_name(&user.machine);
            return (
                Changes::none(),
                Err(ConfigError::InUse(self.0.clone(), machine)),
            );
        }
        let mut changes = Changes::none();
        changes.write(Key::Config(self.0.clone()));
        changes.event(Draft::new(
            "config.deleted",
            format!("boot config {} was deleted", self.0),
        ));
        (changes, Ok(()))
    }
}
