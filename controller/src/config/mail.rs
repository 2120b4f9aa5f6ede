//! The section `[mail]`: through which server notifications are mailed.

use toml::Table;

use super::{
    Mistake,
    section::Section,
    values::{with_port, word},
};
use crate::notify::{MailSettings, MailTls};

/// Reads the section; `None` when it is not there, or wrong.
pub(super) fn read(table: Table, mistakes: &mut Vec<Mistake>) -> Option<MailSettings> {
    if table.is_empty() {
        return None;
    }
    let mut section = Section::new("mail", table, mistakes);
    let tls = section.take_text("tls", tls).unwrap_or_default();
    // RFC 6409 submission, and RFC 8314 for TLS from the first byte.
    let usual = if tls == MailTls::Tls { 465 } else { 587 };
    let server = section.take_text("server", |text| with_port(text, usual));
    let from = section.take_text("from", |t| t.parse().map_err(|e| format!("{e}")));
    let (user, password_file) = (section.take("user"), section.take("password_file"));
    if user.is_some() != password_file.is_some() {
        let problem = "`user` and `password_file` need each other".to_owned();
        section.mistake("user", problem);
    }
    if server.is_none() || from.is_none() {
        let problem = "mail needs both `server` and `from`".to_owned();
        section.mistake("server", problem);
    }
    section.finish();
    let (host, port) = server?;
    Some(MailSettings {
        host,
        port,
        tls,
        from: from?,
        user,
        password_file,
    })
}

fn tls(text: &str) -> Result<MailTls, String> {
    let words = [
        ("starttls", MailTls::StartTls),
        ("tls", MailTls::Tls),
        ("off", MailTls::Off),
    ];
    word(text, &words)
}
