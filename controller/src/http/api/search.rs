//! What lists can be searched for: words that stand in an entry, labels of its machine.

use serde::Serialize;
use serde_json::Value;

use crate::{
    http::{
        error::{Code, Problem},
        extract::parse,
    },
    state::{View, label::Selector, machine::MachineId},
};

/// Longest search, characters.
const MAX_SEARCH: usize = 200;
/// Words of one search.
const MAX_WORDS: usize = 8;

/// Words that all have to stand in an entry, in any case.
#[derive(Debug, Clone)]
pub(super) struct Words(Vec<String>);

impl Words {
    /// The words of a query's `q`; `None`: everything fits.
    pub(super) fn parse(text: Option<&str>) -> Result<Option<Self>, Problem> {
        let Some(text) = text else {
            return Ok(None);
        };
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        if text.chars().count() > MAX_SEARCH || words.len() > MAX_WORDS {
            let text = format!("q: at most {MAX_WORDS} words, {MAX_SEARCH} characters together");
            return Err(Problem::new(Code::BadValue, text));
        }
        Ok((!words.is_empty()).then_some(Self(words)))
    }

    /// Whether each stands in one of these texts.
    pub(super) fn stand_in<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let texts: Vec<String> = texts.into_iter().map(str::to_lowercase).collect();
        let found = |word: &String| texts.iter().any(|text| text.contains(word));
        self.0.iter().all(found)
    }

    /// Whether each stands in what is shown of an entry.
    pub(super) fn stand_in_shown(&self, entry: &impl Serialize) -> bool {
        // Written as every answer is, and read as every document: no third way is compiled for each type.
        let written = serde_json::to_vec(entry).unwrap_or_default();
        let entry: Value = serde_json::from_slice(&written).unwrap_or_default();
        let mut texts = Vec::new();
        collect(&entry, false, &mut texts);
        self.stand_in(texts)
    }
}

/// The texts of a document. Names of fields are the same in all entries; those of labels are not.
fn collect<'a>(value: &'a Value, named: bool, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, false, texts)),
        Value::Object(fields) => {
            for (name, field) in fields {
                if named {
                    texts.push(name);
                }
                collect(field, name == "labels", texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The labels of a query's `label`, given once or several times.
pub(super) fn labels(text: Option<&str>) -> Result<Option<Selector>, Problem> {
    text.map(|text| parse(text, "label")).transpose()
}

/// Whether the machine has the labels that are asked for.
pub(super) fn has_labels(labels: Option<&Selector>, machine: &MachineId, view: &View) -> bool {
    labels.is_none_or(|labels| {
        view.machine(machine)
            .is_some_and(|m| labels.fits(&m.labels))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_words_stand_somewhere_in_an_entry_in_any_case() {
        let entry = json!({
            "name": "web1", "state": "accepted", "number": 42,
            "labels": {"rack": "r7"}, "history": [{"text": "Its disk failed"}]
        });
        let finds = |text: &str| {
            let words = Words::parse(Some(text)).unwrap();
            words.is_none_or(|w| w.stand_in_shown(&entry))
        };
        for text in [
            "",
            " ",
            "WEB",
            "web1 accepted",
            "rack",
            "R7",
            "disk",
            "its disk",
        ] {
            assert!(finds(text), "{text}");
        }
        for text in ["web2", "web1 refused", "name", "42", "r8"] {
            assert!(!finds(text), "{text}");
        }
    }

    #[test]
    fn a_search_without_end_is_refused() {
        assert!(Words::parse(Some(&"a ".repeat(MAX_WORDS))).is_ok());
        assert!(Words::parse(Some(&"a ".repeat(MAX_WORDS + 1))).is_err());
        assert!(Words::parse(Some(&"a".repeat(MAX_SEARCH + 1))).is_err());
    }
}
