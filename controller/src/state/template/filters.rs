//! Filters that quote a value for the format of an answer file, so that a name, a serial number or a person's text with
//! quotes or line breaks stays one value. What a format cannot hold is an error, never a guess.

use minijinja::{
    Environment, Error, ErrorKind, State, Value, filters, functions, tests as standard_tests,
    value::{Rest, ValueKind, ValueOrKwargs},
};

use super::MAX_RENDERED;
use crate::percent;

/// Bytes that the filters of one rendering may make, all together: instructions are counted elsewhere, but one of them can
/// be a filter over a long list or text.
const MAX_MADE: usize = 8 << 20;
/// What an item of a list counts as: a value and its place.
const ITEM: usize = 32;

/// What was made so far in this rendering.
#[derive(Debug, Default)]
struct Made(usize);

/// Adds all that templates may use. Named one by one: what a newer renderer brings is looked at first.
pub(super) fn fit_out(env: &mut Environment<'_>) {
    env.add_filter("shell", shell);
    env.add_filter("json", json);
    env.add_filter("yaml", json);
    env.add_filter("line", line);
    env.add_filter("word", word);
    env.add_filter("url", url);
    env.add_filter("join", join);
    env.add_filter("replace", replace);
    add_standard_filters(env);
    env.add_function("range", functions::range);
    add_tests(env);
}

/// The renderer's own filters that make nothing longer than what they get.
fn add_standard_filters(env: &mut Environment<'_>) {
    let mut standard = |name: &'static str, filter| env.add_filter(name, metered(filter));
    standard("abs", Value::from_function(filters::abs));
    standard("bool", Value::from_function(filters::bool));
    standard("capitalize", Value::from_function(filters::capitalize));
    standard("count", Value::from_function(filters::length));
    standard("d", Value::from_function(filters::default));
    standard("default", Value::from_function(filters::default));
    standard("dictsort", Value::from_function(filters::dictsort));
    standard("first", Value::from_function(filters::first));
    standard("float", Value::from_function(filters::float));
    standard("int", Value::from_function(filters::int));
    standard("items", Value::from_function(filters::items));
    standard("last", Value::from_function(filters::last));
    standard("length", Value::from_function(filters::length));
    standard("lines", Value::from_function(filters::lines));
    standard("list", Value::from_function(filters::list));
    standard("lower", Value::from_function(filters::lower));
    standard("map", Value::from_function(filters::map));
    standard("max", Value::from_function(filters::max));
    standard("min", Value::from_function(filters::min));
    standard("reject", Value::from_function(filters::reject));
    standard("rejectattr", Value::from_function(filters::rejectattr));
    standard("reverse", Value::from_function(filters::reverse));
    standard("round", Value::from_function(filters::round));
    standard("select", Value::from_function(filters::select));
    standard("selectattr", Value::from_function(filters::selectattr));
    standard("sort", Value::from_function(filters::sort));
    standard("split", Value::from_function(filters::split));
    standard("trim", Value::from_function(filters::trim));
    standard("upper", Value::from_function(filters::upper));
}

fn add_tests(env: &mut Environment<'_>) {
    env.add_test("defined", standard_tests::is_defined);
    env.add_test("undefined", standard_tests::is_undefined);
    env.add_test("none", standard_tests::is_none);
    env.add_test("true", standard_tests::is_true);
    env.add_test("false", standard_tests::is_false);
    env.add_test("odd", standard_tests::is_odd);
    env.add_test("even", standard_tests::is_even);
    env.add_test("number", standard_tests::is_number);
    env.add_test("string", standard_tests::is_string);
    env.add_test("startingwith", standard_tests::is_startingwith);
    env.add_test("endingwith", standard_tests::is_endingwith);
    env.add_test("eq", standard_tests::is_eq);
    env.add_test("equalto", standard_tests::is_eq);
    env.add_test("ne", standard_tests::is_ne);
    env.add_test("lt", standard_tests::is_lt);
    env.add_test("le", standard_tests::is_le);
    env.add_test("gt", standard_tests::is_gt);
    env.add_test("ge", standard_tests::is_ge);
    env.add_test("in", standard_tests::is_in);
}

/// A filter that is charged for the size of what it gets before it runs.
fn metered(
    standard: Value,
) -> impl Fn(&mut State, ValueOrKwargs, Rest<ValueOrKwargs>) -> Result<Value, Error> {
    move |state: &mut State, value: ValueOrKwargs, args: Rest<ValueOrKwargs>| {
        let value = value.into_value();
        spend(state, size(&value))?;
        let mut all = vec![value];
        all.extend(args.into_values());
        standard.call(state, &all)
    }
}

fn size(value: &Value) -> usize {
    match value.as_str() {
        // As a list it has an item for each character.
        Some(text) => text.len() * ITEM,
        // Of what does not say how much it is the renderer makes 100,000 items at most (`range`).
        None => match value.kind() {
            ValueKind::Iterable => value.len().unwrap_or(100_000) * ITEM,
            ValueKind::Seq | ValueKind::Map => value.len().unwrap_or(0) * ITEM,
            _ => ITEM,
        },
    }
}

fn spend(state: &mut State, bytes: usize) -> Result<(), Error> {
    let made = state.get_or_insert_extension_with(Made::default);
    made.0 = made.0.saturating_add(bytes);
    match made.0 > MAX_MADE {
        true => Err(Error::new(
            ErrorKind::OutOfFuel,
            "its filters make too much of too little",
        )),
        false => Ok(()),
    }
}

/// One word of a POSIX shell, also of a kickstart, which is read the same way.
fn shell(state: &mut State, value: &Value) -> Result<String, Error> {
    let text = plain(value, "shell")?;
    // Four for one at the worst.
    bounded(state, 2 + text.len() * 4, "shell")?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A JSON string with its quotes; YAML reads it the same way (YAML 1.2 §7.3.1). Text stays text: `yes` and `007` too.
fn json(state: &mut State, value: &Value) -> Result<String, Error> {
    let text = text_of(value, "json")?;
    // Six for one at the worst: `\u0001`.
    bounded(state, 2 + text.len() * 6, "json")?;
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
fn line(state: &mut State, value: &Value) -> Result<String, Error> {
    let text = plain(value, "line")?;
    bounded(state, text.len(), "line")?;
    // debconf joins a line that ends so with the next one.
    if text.ends_with('\\') {
        return Err(unfit("line", "it ends with a backslash"));
    }
    Ok(text)
}

/// One word of a kernel command line.
fn word(state: &mut State, value: &Value) -> Result<String, Error> {
    let text = plain(value, "word")?;
    bounded(state, text.len(), "word")?;
    match text
        .chars()
        .find(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'))
    {
        Some(_) => Err(unfit("word", "it has blanks or quotes")),
        None => Ok(text),
    }
}

/// A text as one part of a URL (RFC 3986 §2.1).
fn url(state: &mut State, value: &Value) -> Result<String, Error> {
    let text = text_of(value, "url")?;
    bounded(state, text.len() * 3, "url")?;
    Ok(percent::encode(&text))
}

/// A list's texts with `between` between them; bounded.
fn join(state: &mut State, value: &Value, between: Option<String>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    spend(state, size(value))?;
    let mut text = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        if at > 0 {
            text.push_str(&between);
        }
        text.push_str(&text_of(&item, "join")?);
        within(text.len(), "join")?;
    }
    spend(state, text.len())?;
    Ok(text)
}

/// `from` replaced by `to`; bounded.
fn replace(state: &mut State, value: &Value, from: &str, to: &str) -> Result<String, Error> {
    let text = text_of(value, "replace")?;
    let longer = text.matches(from).count().saturating_mul(to.len());
    bounded(state, text.len().saturating_add(longer), "replace")?;
    Ok(text.replace(from, to))
}

/// No text is longer than all that may be printed, and no rendering makes more than [`MAX_MADE`].
fn bounded(state: &mut State, length: usize, filter: &str) -> Result<(), Error> {
    within(length, filter)?;
    spend(state, length)
}

fn within(length: usize, filter: &str) -> Result<(), Error> {
    // The worst case of a filter is six times what it gets.
    match length > 6 * MAX_RENDERED {
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
        let mut env = Environment::empty();
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
            // Each of these is within bounds once.
            "{{ x|list|map('replace', 'x', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' ~ x)|list|length }}",
            "{% set a = x|list %}{% set b = x|list %}{% set c = x|list %}",
            "{% for i in range(99999) %}{% set a = x|upper %}{% endfor %}",
            "{{ '\"'|json|json|json|json|json|json|json|json|json|json|json|json|json|json|json|json|json|json|json|json|json }}",
            "{% set a = range(99999)|list %}{% set b = range(99999)|list %}{% set c = range(99999)|list %}",
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
