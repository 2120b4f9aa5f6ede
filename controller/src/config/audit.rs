//! The section `[audit]`: how much the audit keeps, and where it is copied to.

use std::path::PathBuf;

use toml::Table;

use super::{
    Mistake,
    section::Section,
    values::{quota, wait},
};
use crate::state::audit::Retention;

/// Least room: below it a busy day does not fit, bytes.
const MIN_BYTES: u64 = 1 << 20;

/// The audit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditSettings {
    /// How much is kept in the database (`audit.keep`, `audit.size`). Default 90 days, 128 MiB.
    pub retention: Retention,
    /// A file that gets every line as JSON, too (`audit.file`). Default none.
    pub file: Option<PathBuf>,
    /// Whether the journal gets every line, too (`audit.journal`). Default false.
    pub journal: bool,
}

/// Reads the section.
pub(super) fn read(table: Table, mistakes: &mut Vec<Mistake>) -> AuditSettings {
    let mut settings = AuditSettings::default();
    let mut section = Section::new("audit", table, mistakes);
    if let Some(keep_s) = section.take_text("keep", wait) {
        settings.retention.keep_s = keep_s;
    }
    if let Some(bytes) = section.take_text("size", size) {
        settings.retention.max_bytes = bytes;
    }
    settings.file = section.take_text("file", file);
    if let Some(journal) = section.take("journal") {
        settings.journal = journal;
    }
    section.finish();
    settings
}

fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size from 1 MiB on; write it like 128 MiB");
    let bytes = quota(text).ok().flatten().filter(|b| *b >= MIN_BYTES);
    bytes.ok_or_else(wrong)
}

fn file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(format!(
            "'{text}' is no whole path; write it like /var/log/enforcer/audit.jsonl"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (AuditSettings, Vec<String>) {
        let mut mistakes = Vec::new();
        let settings = read(text.parse().unwrap(), &mut mistakes);
        (settings, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_kept_and_copied_is_read() {
        let text = "keep = \"7d\"\nsize = \"2 MiB\"\nfile = \"/var/log/a.jsonl\"\njournal = true";
        let expected = AuditSettings {
            retention: Retention {
                keep_s: Some(7 * 86_400),
                max_bytes: 2 << 20,
            },
            file: Some("/var/log/a.jsonl".into()),
            journal: true,
        };
        assert_eq!(told(text), (expected, Vec::new()));
        assert_eq!(told("keep = \"forever\"").0.retention.keep_s, None);
    }

    #[test]
    fn mistakes_name_the_cure() {
        let text = "keep = \"long\"\nsize = \"none\"\nfile = \"a.jsonl\"\njurnal = true";
        let (settings, mistakes) = told(text);
        assert_eq!(settings, AuditSettings::default());
        let all = mistakes.join("\n");
        for part in [
            "audit.keep: 'long' is no duration",
            "audit.size: 'none' is no size",
            "audit.file: 'a.jsonl' is no whole path",
            "audit.jurnal: there is no such setting; did you mean 'journal'?",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
    }
}
