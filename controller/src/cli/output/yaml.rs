//! JSON values as YAML, in block style. What is not plainly a word is written in double quotes, as JSON does, which YAML 1.1 and
//! 1.2 read alike; so no text becomes a number, a date or a `no`.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as one document, ending in a line break.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut text),
        Value::Object(fields) if !fields.is_empty() => mapping(fields, 0, &mut text),
        flat => {
            scalar(flat, &mut text);
            text.push('\n');
        }
    }
    text
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn sequence(items: &[Value], depth: usize, text: &mut String) {
    for item in items {
        indent(depth, text);
        text.push('-');
        match item {
            // Its first field stands on the dash's line, the others under it.
            Value::Object(fields) if !fields.is_empty() => {
                let mut block = String::new();
                mapping(fields, depth + 1, &mut block);
                text.push(' ');
                text.push_str(block.trim_start());
            }
            Value::Array(inner) if !inner.is_empty() => {
                text.push('\n');
                sequence(inner, depth + 1, text);
            }
            flat => {
                text.push(' ');
                scalar(flat, text);
                text.push('\n');
            }
        }
    }
}

fn mapping(fields: &serde_json::Map<String, Value>, depth: usize, text: &mut String) {
    for (name, value) in fields {
        indent(depth, text);
        string(name, text);
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                mapping(inner, depth + 1, text);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                sequence(items, depth, text);
            }
            flat => {
                text.push(' ');
                scalar(flat, text);
                text.push('\n');
            }
        }
    }
}

/// What stands on one line.
fn scalar(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let _ = write!(text, "{number}");
        }
        Value::String(words) => string(words, text),
        Value::Array(_) => text.push_str("[]"),
        Value::Object(_) => text.push_str("{}"),
    }
}

/// Words that some reader takes for something else than a text (YAML 1.1 §10.3).
const TAKEN: [&str; 11] = [
    "null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan",
];

fn is_plain(words: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-./@".contains(c);
    words.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && words.chars().all(inside)
        && !TAKEN.contains(&words.to_ascii_lowercase().as_str())
}

fn string(words: &str, text: &mut String) {
    if is_plain(words) {
        text.push_str(words);
        return;
    }
    text.push('"');
    for c in words.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            // Not printable to YAML (§5.1), or a line break to it.
            c if c.is_control()
                || matches!(
                    c,
                    '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                ) =>
            {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use yaml_rust2::{Yaml, YamlLoader};

    use super::*;

    #[test]
    fn a_machine_reads_well() {
        let machine = json!({
            "name": "web1", "macs": ["52:54:00:77:00:01"], "labels": {}, "owner": null, "seen": "2026-01-02T03:04:05Z",
            "versions": [{"id": "debian@3", "used_by": [], "size": 5}, {"id": "no", "note": "two\nlines: \"x\" #1"}],
        });
        let expected = "\
labels: {}
macs:
- \"52:54:00:77:00:01\"
name: web1
owner: null
seen: \"2026-01-02T03:04:05Z\"
versions:
- id: debian@3
  size: 5
  used_by: []
- id: \"no\"
  note: \"two\\nlines: \\\"x\\\" #1\"
";
        assert_eq!(text(&machine), expected);
        assert_eq!(text(&json!([])), "[]\n");
    }

    /// What a reader of YAML makes of it.
    fn read(yaml: &Yaml) -> Value {
        match yaml {
            Yaml::Null => Value::Null,
            Yaml::Boolean(flag) => json!(flag),
            Yaml::Integer(number) => json!(number),
            Yaml::String(words) => json!(words),
            Yaml::Array(items) => items.iter().map(read).collect(),
            Yaml::Hash(fields) => {
                let pair =
                    |(n, v): (&Yaml, &Yaml)| (n.as_str().unwrap_or("no text").to_owned(), read(v));
                Value::Object(fields.iter().map(pair).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Texts that a careless writer makes something else of.
    const HARD: &[&str] = &[
        "", "~", "1e3", "0x1f", "-", "- a", "a: b", "#", "NO", "Null", ".inf", "<<", "=", "1:30",
        "!x", "&a", "*a", "%", "@a", "a ", " a",
    ];

    fn any_words() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::sample::select(HARD).prop_map(str::to_owned),
            proptest::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter),
        ]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any_words().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any_words(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_reader_of_yaml_gets_back_what_was_written(value in any_value()) {
            let written = text(&value);
            let documents = YamlLoader::load_from_str(&written).unwrap_or_else(|e| panic!("{e}: {written}"));
            prop_assert_eq!(read(&documents[0]), value, "{}", written);
        }
    }
}
