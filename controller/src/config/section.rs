//! A table of the config file while it is read: values are taken out of it, and what is left is a mistake.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Something in the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key, flag or variable.
    pub at: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

/// A table being read.
pub(super) struct Section<'m> {
    path: String,
    table: Table,
    known: Vec<&'static str>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'m> Section<'m> {
    pub(super) fn new(path: &str, table: Table, mistakes: &'m mut Vec<Mistake>) -> Self {
        Self {
            path: path.to_owned(),
            table,
            known: Vec::new(),
            mistakes,
        }
    }

    /// Takes a value as TOML gives it (numbers, booleans, lists).
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take_raw(key)?;
        value
            .try_into()
            .map_err(|e: toml::de::Error| self.mistake(key, e.message().to_owned()))
            .ok()
    }

    /// Takes a text and reads it with `parse`, which says what would be right.
    pub(super) fn take_text<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text: String = self.take(key)?;
        parse(&text)
            .map_err(|problem| self.mistake(key, problem))
            .ok()
    }

    /// Takes a list of texts, each read with `parse`.
    pub(super) fn take_list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let texts: Vec<String> = self.take(key)?;
        let read = |text: &String| {
            parse(text)
                .map_err(|problem| self.mistake(key, problem))
                .ok()
        };
        Some(texts.iter().filter_map(read).collect())
    }

    /// Takes a sub-table; an empty one when there is none.
    pub(super) fn take_table(&mut self, key: &'static str) -> Table {
        self.take(key).unwrap_or_default()
    }

    fn take_raw(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    pub(super) fn mistake(&mut self, key: &str, problem: String) {
        let at = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        self.mistakes.push(Mistake { at, problem });
    }

    /// Everything that nobody took is a mistake.
    pub(super) fn finish(mut self) {
        let left: Vec<String> = self.table.keys().cloned().collect();
        for key in left {
            let near = self
                .known
                .iter()
                .min_by_key(|k| distance(k, &key))
                .filter(|k| distance(k, &key) <= 3);
            let hint = near.map_or_else(
                || format!("known here are {}", self.known.join(", ")),
                |k| format!("did you mean '{k}'?"),
            );
            self.mistake(&key, format!("there is no such setting; {hint}"));
        }
    }
}

/// Edit distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
