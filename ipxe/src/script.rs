//! An iPXE script being written: one command a line, every value checked, every way out named.
//!
//! iPXE has no quoting: a line is cut at white space, `${…}` is expanded anywhere, and a word that is `||`, `&&` or
//! starts with `#` changes the meaning of the rest. So a value that could be read as more than itself is refused.

use std::fmt::{self, Write as _};

/// A script in the making; starts with `#!ipxe`.
#[derive(Debug, Clone)]
pub struct Script {
    text: String,
}

/// A value that iPXE would not read as the value it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeValue {
    /// A control character, such as a line break.
    #[error("has a control character (code {0}), which would start a new iPXE line")]
    Control(u32),
    /// `${`, which iPXE would expand.
    #[error("contains '${{', which iPXE would expand")]
    Expansion,
    /// A word that iPXE takes as an operator or a comment.
    #[error("contains the word '{0}', which iPXE would take as an operator or a comment")]
    Operator(String),
}

/// Checks free text, such as a kernel command line, that becomes part of one iPXE line.
///
/// # Errors
/// Names what iPXE would misread.
pub fn check_text(text: &str) -> Result<(), UnsafeValue> {
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(UnsafeValue::Control(u32::from(c)));
    }
    if text.contains("${") {
        return Err(UnsafeValue::Expansion);
    }
    match text
        .split_ascii_whitespace()
        .find(|w| matches!(*w, "||" | "&&" | ";") || w.starts_with('#'))
    {
        Some(word) => Err(UnsafeValue::Operator(word.to_owned())),
        None => Ok(()),
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// An empty script.
    #[must_use]
    pub fn new() -> Self {
        Self {
            text: "#!ipxe\n".to_owned(),
        }
    }

    /// A line that this crate wrote itself: constants and values that passed [`check_text`].
    pub(crate) fn line(&mut self, args: fmt::Arguments<'_>) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(args);
        self.text.push('\n');
        self
    }

    /// A jump target.
    pub(crate) fn label(&mut self, name: &str) -> &mut Self {
        self.line(format_args!(":{name}"))
    }

    /// Text shown on the machine's screen; what iPXE would misread is replaced by `?`.
    pub(crate) fn echo(&mut self, text: &str) -> &mut Self {
        let shown: String = text
            .chars()
            .map(|c| if c.is_control() || c == '$' { '?' } else { c })
            .collect();
        self.line(format_args!("echo {shown}"))
    }

    /// A person's own lines, as they are.
    pub(crate) fn raw(&mut self, lines: &str) -> &mut Self {
        let lines = lines.strip_prefix("#!ipxe").unwrap_or(lines);
        self.line(format_args!("{}", lines.trim()))
    }

    /// The finished text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ipxe_would_misread_is_refused() {
        for (text, ok) in [
            ("console=ttyS0,115200 quiet", true),
            ("a=b||c url=http://x/#frag", true),
            ("quiet\nreboot", false),
            ("x=${net0/mac}", false),
            ("quiet || shell", false),
            ("quiet && shell", false),
            ("quiet #comment", false),
            ("tab\tinside", false),
        ] {
            assert_eq!(check_text(text).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn an_echo_cannot_start_a_second_line() {
        let mut script = Script::new();
        script.echo("rack\n1 ${x}");
        assert_eq!(script.into_text(), "#!ipxe\necho rack?1 ?{x}\n");
    }
}
