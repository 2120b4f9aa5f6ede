//! The file of contexts: one per person, for nobody else's eyes.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::super::failure::Failure;
use crate::state::name::is_plain_name;

/// Largest file, bytes: hundreds of contexts with a CA each.
const MAX_BYTES: u64 = 1 << 20;

/// A controller elsewhere. Its `Debug` shows no token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Context {
    /// `https://boot.example.org:4843`.
    pub(super) server: String,
    /// SHA-256 of its CA's certificate, or of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    /// What is sent as who we are.
    pub(super) token: String,
    /// Its CA, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<String>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({})", self.server)
    }
}

/// All of a person's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Contexts {
    /// The one in use; absent: this host's socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Those of this process's user.
    pub(super) fn load() -> Result<Self, Failure> {
        // Services and cron jobs have no home, and so no contexts: they ask this host's controller.
        place().map_or_else(|| Ok(Self::default()), |path| Self::load_from(&path))
    }

    /// Keeps them.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let none = || {
            Failure::Local("there is no place for contexts: set HOME or XDG_CONFIG_HOME".to_owned())
        };
        self.save_to(&place().ok_or_else(none)?)
    }

    fn load_from(path: &Path) -> Result<Self, Failure> {
        let cannot = |what: String| Failure::Local(format!("{}: {what}", path.display()));
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(cannot(e.to_string())),
        };
        let mode = file.metadata().map_err(|e| cannot(e.to_string()))?;
        if mode.permissions().mode() & 0o077 != 0 {
            let cure = format!(
                "others can read the tokens in it; run `chmod 600 {}`",
                path.display()
            );
            return Err(cannot(cure));
        }
        let mut text = String::new();
        let read = file.take(MAX_BYTES).read_to_string(&mut text);
        read.map_err(|e| cannot(e.to_string()))?;
        toml::from_str(&text)
            .map_err(|e| cannot(format!("{}; mend it, or move it away", e.message())))
    }

    /// Whole or not at all.
    fn save_to(&self, path: &Path) -> Result<(), Failure> {
        let cannot = |e: io::Error| Failure::Local(format!("cannot write {}: {e}", path.display()));
        let text = toml::to_string(self).map_err(|e| Failure::Local(e.to_string()))?;
        let folder = path.parent().unwrap_or(path);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(cannot)?;
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let written = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        written().map_err(|e| {
            let _ = fs::remove_file(&draft);
            cannot(e)
        })
    }

    pub(super) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| unknown(name))
    }

    /// Keeps a context in place of what had its name.
    pub(super) fn put(&mut self, name: &str, context: Context) -> Result<(), Failure> {
        if !is_plain_name(name) {
            let text =
                format!("'{name}' cannot be a name; use 1 to 63 letters, digits, '-', '_' and '.'");
            return Err(Failure::Usage(text));
        }
        self.contexts.insert(name.to_owned(), context);
        Ok(())
    }

    /// Forgets a context; where it was in use, this host's socket is again.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.contexts.remove(name).ok_or_else(|| unknown(name))?;
        self.current = self.current.take().filter(|current| current != name);
        Ok(())
    }
}

fn unknown(name: &str) -> Failure {
    Failure::Usage(format!(
        "no context is called '{name}'; `enforcer contexts list` shows them, `enforcer contexts add` keeps one"
    ))
}

/// Where they are kept (XDG Base Directory Specification).
fn place() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let base = base.filter(|path| path.is_absolute()).or_else(home);
    Some(base?.join("enforcer/contexts.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(token: &str) -> Context {
        Context {
            server: "https://10.0.0.5:4843".to_owned(),
            fingerprint: None,
            token: token.to_owned(),
            ca: Some("-----BEGIN CERTIFICATE-----\nab\n-----END CERTIFICATE-----\n".to_owned()),
        }
    }

    #[test]
    fn what_is_kept_reads_back_and_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/enforcer/contexts.toml");
        assert_eq!(Contexts::load_from(&path).unwrap(), Contexts::default());
        let mut contexts = Contexts::default();
        contexts.put("lab", context("enf_1")).unwrap();
        contexts.current = Some("lab".to_owned());
        contexts.save_to(&path).unwrap();
        contexts.put("lab", context("enf_2")).unwrap();
        contexts.save_to(&path).unwrap();
        assert_eq!(Contexts::load_from(&path).unwrap(), contexts);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert!(!format!("{contexts:?}").contains("enf_2"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let told = Contexts::load_from(&path).unwrap_err().to_string();
        assert!(told.contains("chmod 600"), "{told}");
    }

    #[test]
    fn who_forgets_the_context_in_use_is_on_this_host_again() {
        let mut contexts = Contexts::default();
        contexts.put("lab", context("a")).unwrap();
        contexts.put("home", context("b")).unwrap();
        contexts.current = Some("lab".to_owned());
        contexts.remove("home").unwrap();
        assert_eq!(contexts.current.as_deref(), Some("lab"));
        contexts.remove("lab").unwrap();
        assert_eq!(contexts.current, None);
        assert!(contexts.remove("lab").is_err());
        assert!(contexts.put("a b", context("c")).is_err());
    }
}
