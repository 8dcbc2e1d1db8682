//! Reads one TOML table key by key. What is missing, of the wrong type or unknown becomes a [`Mistake`] and reading
//! goes on with an empty value, which never leaves the parser: a specification with mistakes isn't returned.
//!
//! [`Mistake`]: super::mistake::Mistake

use toml::{Table, Value};

use super::mistake::Mistakes;

/// A table and the keys that were not read yet.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    known: Vec<&'static str>,
    pub(super) mistakes: &'a mut Mistakes,
}

impl<'a> Section<'a> {
    /// The table at `path`.
    pub(super) fn new(path: String, table: Table, mistakes: &'a mut Mistakes) -> Self {
        Self { path, table, known: Vec::new(), mistakes }
    }

    /// Where a key of this table is, for messages.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn missing(&mut self, key: &str, meaning: &str) {
        self.mistakes.add(self.key(key), "is missing", format!("give {meaning}"));
    }

    fn wrong(&mut self, key: &str, found: &Value, meaning: &str) {
        let problem = format!("is of type {}", found.type_str());
        self.mistakes.add(self.key(key), problem, format!("give {meaning}"));
    }

    /// Whether a key is there, and not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A string that must be there and not be empty.
    pub(super) fn text(&mut self, key: &'static str, meaning: &str) -> String {
        match self.take(key) {
            None => self.missing(key, meaning),
            Some(Value::String(text)) if !text.trim().is_empty() => return text,
            Some(Value::String(_)) => self.mistakes.add(self.key(key), "is empty", format!("give {meaning}")),
            Some(other) => self.wrong(key, &other, meaning),
        }
        String::new()
    }

    /// A string that may be left out, but not be empty.
    pub(super) fn optional_text(&mut self, key: &'static str, meaning: &str) -> Option<String> {
        if self.table.contains_key(key) {
            Some(self.text(key, meaning))
        } else {
            self.known.push(key);
            None
        }
    }

    /// A whole number that may be left out.
    pub(super) fn number(&mut self, key: &'static str, meaning: &str) -> Option<i64> {
        match self.take(key)? {
            Value::Integer(number) => Some(number),
            other => {
                self.wrong(key, &other, meaning);
                None
            }
        }
    }

    /// True or false, `default` when left out.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Boolean(flag)) => flag,
            Some(other) => {
                self.wrong(key, &other, "true or false");
                default
            }
        }
    }

    /// A list of strings, empty when left out.
    pub(super) fn texts(&mut self, key: &'static str, meaning: &str) -> Vec<String> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Value::Array(values) = value else {
            self.wrong(key, &value, meaning);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for value in values {
            match value {
                Value::String(text) => texts.push(text),
                other => self.wrong(key, &other, meaning),
            }
        }
        texts
    }

    /// A table of strings, empty when left out.
    pub(super) fn variables(&mut self, key: &'static str) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for (name, value) in self.table_or_empty(key) {
            match value {
                Value::String(text) => variables.push((name, text)),
                other => self.wrong(&format!("{key}.{name}"), &other, "a string"),
            }
        }
        variables
    }

    /// A table, empty when left out; its own mistakes are its reader's.
    pub(super) fn table_or_empty(&mut self, key: &'static str) -> Table {
        match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.wrong(key, &other, "a table");
                Table::new()
            }
        }
    }

    /// The tables written as `[[key]]`, in their order.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Value::Array(values) = value else {
            self.wrong(key, &value, &format!("each one as a section [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for value in values {
            match value {
                Value::Table(table) => tables.push(table),
                other => self.wrong(key, &other, &format!("each one as a section [[{key}]]")),
            }
        }
        tables
    }

    /// Reports what is left over.
    pub(super) fn finish(self) {
        let known = self.known.join(", ");
        for key in self.table.keys() {
            let place = self.key(key);
            self.mistakes.add(
                place,
                "is not a known key",
                format!("remove or correct it (known here: {known})"),
            );
        }
    }
}
