//! Filters that quote a value for the format of an answer file, so that a name, a serial number or a person's text with
//! quotes or line breaks stays one value. What a format cannot hold is an error, never a guess.

use minijinja::{Environment, Error, ErrorKind, Value, value::ValueKind};

use super::MAX_RENDERED;

/// Adds them all, and takes away what makes large texts of small ones.
pub(super) fn fit_out(env: &mut Environment<'_>) {
    env.add_filter("shell", shell);
    env.add_filter("json", json);
    env.add_filter("yaml", json);
    env.add_filter("line", line);
    env.add_filter("word", word);
    env.add_filter("url", url);
    env.add_filter("join", join);
    env.add_filter("replace", replace);
    for unbounded in [
        "batch", "format", "indent", "pprint", "slice", "string", "zip", "chain", "groupby",
    ] {
        env.remove_filter(unbounded);
    }
    for unbounded in ["namespace", "dict", "debug"] {
        env.remove_global(unbounded);
    }
}

/// One word of a POSIX shell, also of a kickstart, which is read the same way.
fn shell(value: &Value) -> Result<String, Error> {
    let text = plain(value, "shell")?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A JSON string with its quotes; YAML reads it the same way (YAML 1.2 §7.3.1). Text stays text: `yes` and `007` too.
fn json(value: &Value) -> Result<String, Error> {
    let text = text_of(value, "json")?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Line ends of YAML and of JavaScript among them.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

/// The rest of a line in a format without quotes, such as a preseed.
fn line(value: &Value) -> Result<String, Error> {
    let text = plain(value, "line")?;
    // debconf joins a line that ends so with the next one.
    if text.ends_with('\\') {
        return Err(unfit("line", "it ends with a backslash"));
    }
    Ok(text)
}

/// One word of a kernel command line.
fn word(value: &Value) -> Result<String, Error> {
    let text = plain(value, "word")?;
    match text
        .chars()
        .find(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'))
    {
        Some(_) => Err(unfit("word", "it has blanks or quotes")),
        None => Ok(text),
    }
}

/// A text as one part of a URL (RFC 3986 §2.1).
fn url(value: &Value) -> Result<String, Error> {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text_of(value, "url")?.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Ok(encoded)
}

/// A list's texts with `between` between them; bounded.
fn join(value: &Value, between: Option<String>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut text = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        if at > 0 {
            text.push_str(&between);
        }
        text.push_str(&text_of(&item, "join")?);
        bounded(text.len(), "join")?;
    }
    Ok(text)
}

/// `from` replaced by `to`; bounded.
fn replace(value: &Value, from: &str, to: &str) -> Result<String, Error> {
    let text = text_of(value, "replace")?;
    let times = text.matches(from).count();
    bounded(
        text.len().saturating_add(times.saturating_mul(to.len())),
        "replace",
    )?;
    Ok(text.replace(from, to))
}

fn bounded(length: usize, filter: &str) -> Result<(), Error> {
    match length > MAX_RENDERED {
        true => Err(unfit(filter, "the text would be too long")),
        false => Ok(()),
    }
}

/// A text or a number, as text.
fn text_of(value: &Value, filter: &str) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(value.to_string()),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        kind => Err(unfit(filter, &format!("it is no text but {kind}"))),
    }
}

fn plain(value: &Value, filter: &str) -> Result<String, Error> {
    let text = text_of(value, filter)?;
    match text.contains(char::is_control) {
        true => Err(unfit(
            filter,
            "it has line breaks or other control characters",
        )),
        false => Ok(text),
    }
}

fn unfit(filter: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("the filter '{filter}' cannot take this value: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn filled(template: &str, value: &str) -> Result<String, Error> {
        let mut env = Environment::new();
        fit_out(&mut env);
        env.render_str(template, minijinja::context! { x => value })
    }

    #[test]
    fn each_format_gets_its_quotes_and_what_it_cannot_hold_is_refused() {
        let hostile = "a'b\"c $(reboot) `x` \\ #;&|";
        assert_eq!(
            filled("{{ x|shell }}", hostile).unwrap(),
            r#"'a'\''b"c $(reboot) `x` \ #;&|'"#
        );
        assert_eq!(
            filled("{{ x|json }}", "a\"\n\u{85}\\").unwrap(),
            r#""a\"\u000a\u0085\\""#
        );
        assert_eq!(filled("{{ x|yaml }}", "yes").unwrap(), "\"yes\"");
        assert_eq!(filled("{{ x|url }}", "a b/ü").unwrap(), "a%20b%2F%C3%BC");
        assert_eq!(filled("{{ x|word }}", "a=b,c").unwrap(), "a=b,c");
        for (template, value) in [
            ("{{ x|shell }}", "a\nb"),
            ("{{ x|line }}", "a\nd-i preseed/late_command string reboot"),
            ("{{ x|line }}", "a\\"),
            ("{{ x|word }}", "a init=/bin/sh"),
            ("{{ x|word }}", "a\"b"),
            ("{{ nothing|shell }}", ""),
        ] {
            assert!(filled(template, value).is_err(), "{template} {value:?}");
        }
    }

    #[test]
    fn filters_that_make_large_texts_of_small_ones_are_bounded_or_gone() {
        let long = "x".repeat(100_000);
        for template in [
            "{{ x|replace('x', x) }}",
            "{{ x|list|join(x) }}",
            "{{ '%999999999d'|format(1) }}",
            "{{ x|indent(999999) }}",
            "{% set n = namespace(a=x) %}",
        ] {
            assert!(filled(template, &long).is_err(), "{template}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A real shell and a real JSON parser read back what was quoted.
        #[test]
        fn what_was_quoted_is_read_back(text in "[^\\x00-\\x1f\\x7f-\\u{9f}]{0,40}") {
            let word = filled("{{ x|shell }}", &text).unwrap();
            let said = Command::new("sh").args(["-c", &format!("printf %s {word}")]).output().unwrap();
            prop_assert_eq!(said.stdout, text.as_bytes());
            let quoted = filled("{{ x|json }}", &text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }
}
