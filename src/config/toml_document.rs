use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::config_error::{ConfigError, Position};
use super::syntax_error::SyntaxError;
use crate::nearest::{nearest, proposal};

/// A TOML file, and what was found wrong with it: reading goes on after an error, so that all are told at once.
pub(crate) struct Document {
    file: String,
    text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
    errors: RefCell<Vec<ConfigError>>,
    /// The lines with syntax errors.
    broken_lines: RefCell<BTreeSet<usize>>,
    /// The first line with a broken table header, or inside of what is not closed: what stands below it is not where it
    /// should be.
    broken_from: Cell<usize>,
}

/// Whether the whole file could be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// It could.
    Sound,
    /// Parts of it were skipped.
    Broken,
}

/// A value in a [`Document`], and its key.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    document: &'a Document,
    name: &'a str,
    path: String,
    key: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

/// A key's place, for errors that can be seen only later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: String,
    position: Position,
    key: String,
}

/// Reads one key into the structure of its table.
pub(crate) type Read<T> = fn(&mut T, &Value);

/// The keys of a kind of table, each with its reader.
pub(crate) type Keys<T> = [(&'static str, Read<T>)];

impl Document {
    /// A document with this text; `file` is what messages call it.
    pub(crate) fn new(file: String, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        Self {
            file,
            text,
            lines,
            errors: RefCell::default(),
            broken_lines: RefCell::default(),
            broken_from: Cell::new(usize::MAX),
        }
    }

    /// The text as TOML. What is wrong with it is noted, and what could be read is returned.
    pub(crate) fn parse(&self) -> (Spanned<DeTable<'_>>, Syntax) {
        let (table, mut errors) = DeTable::parse_recoverable(&self.text);
        let syntax = if errors.is_empty() { Syntax::Sound } else { Syntax::Broken };
        errors.sort_by_key(|error| error.span().unwrap_or_default().start);
        // To the parser all that follows is inside what is not closed, and nearly all of it wrong.
        let unclosed =
            |kind: &str| errors.iter().any(|error| error.message().starts_with(&format!("unclosed {kind}")));
        let kind = ["array", "inline table"].into_iter().find(|kind| unclosed(kind));
        for error in errors {
            let span = error.span().unwrap_or_default();
            let position = self.position(span.start);
            self.broken_lines.borrow_mut().insert(position.line);
            if let Some(kind) = kind.filter(|kind| error.message().contains(kind)) {
                let closing = if kind == "array" { ']' } else { '}' };
                let problem = format!("an {kind} before this place is not closed");
                self.push(position, String::new(), problem, format!("add `{closing}`"), None);
                self.broken_from.set(self.broken_from.get().min(position.line));
                break;
            }
            let (problem, cure) = self.explain(error.message(), span);
            self.push(position, String::new(), problem, cure, None);
            let line = &self.text[self.lines[position.line - 1]..];
            if line.trim_start_matches([' ', '\t']).starts_with('[') {
                self.broken_from.set(self.broken_from.get().min(position.line));
            }
        }
        (table, syntax)
    }

    /// The root table, as a value without a path.
    pub(crate) fn read<T>(&self, table: &DeTable<'_>, target: &mut T, keys: &Keys<T>, elsewhere: &Elsewhere) {
        self.read_table("", table, target, keys, elsewhere);
    }

    /// Whether anything was found wrong so far.
    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Everything that was found wrong.
    pub(crate) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }

    /// What messages call the file.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    fn read_table<T>(
        &self,
        path: &str,
        table: &DeTable<'_>,
        target: &mut T,
        keys: &Keys<T>,
        elsewhere: &Elsewhere,
    ) {
        for value in self.entries(path, table) {
            let name = value.name();
            match keys.iter().find(|(known, _)| *known == name) {
                Some((_, read)) => read(target, &value),
                None => {
                    let words = keys.iter().map(|(known, _)| *known);
                    let cure = elsewhere(name, value.value.get_ref().is_table()).filter(|_| {
                        // `gracee` is a slip of `grace`, even if there is a `grace` elsewhere too.
                        !words.clone().any(|known| nearest(name, [known]).is_some())
                    });
                    value.fail_at_key("unknown key", cure.unwrap_or_else(|| proposal(name, words)));
                }
            }
        }
    }

    /// The values of a table in the order of the file; the table itself is sorted by name.
    fn entries<'a>(&'a self, path: &str, table: &'a DeTable<'a>) -> Vec<Value<'a>> {
        let mut entries: Vec<Value> = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().as_ref();
                let shown = if is_bare(name) { name.to_owned() } else { format!("{name:?}") };
                let path = if path.is_empty() { shown } else { format!("{path}.{shown}") };
                Value { document: self, name, path, key: key.span(), value }
            })
            .collect();
        entries.sort_by_key(|value| value.key.start);
        entries
    }

    fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }

    fn push(&self, position: Position, key: String, problem: String, cure: String, excerpt: Option<String>) {
        let file = self.file.clone();
        self.errors.borrow_mut().push(ConfigError {
            file,
            position: Some(position),
            key,
            problem,
            cure,
            excerpt,
        });
    }

    /// The parser's own words, with a cure where we know a better one.
    fn explain(&self, message: &str, span: Range<usize>) -> (String, String) {
        let (problem, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let found = self.text.get(span).unwrap_or_default();
        let cure = if problem == "string values must be quoted" {
            format!("write \"{}\"", found.trim())
        } else if problem == "duplicate key" {
            "each key may stand there once; remove one of them".to_owned()
        } else if expected.is_empty() {
            "see https://toml.io for the syntax".to_owned()
        } else {
            format!("expected {expected}")
        };
        let problem =
            if problem == "duplicate key" { format!("duplicate key `{found}`") } else { problem.to_owned() };
        (problem, cure)
    }
}

/// Where a key belongs that is unknown here: a cure, or nothing. It is told the key, and whether it is a table.
pub(crate) type Elsewhere<'a> = dyn Fn(&str, bool) -> Option<String> + 'a;

impl<'a> Value<'a> {
    /// The path of the key: `service.api.grace`.
    pub(crate) fn place(&self) -> Place {
        let position = self.document.position(self.value.span().start);
        Place { file: self.document.file.clone(), position, key: self.path.clone() }
    }

    /// The place of the key, rather than of its value.
    pub(crate) fn place_of_key(&self) -> Place {
        let position = self.document.position(self.key.start);
        Place { file: self.document.file.clone(), position, key: self.path.clone() }
    }

    /// Notes an error at the value.
    pub(crate) fn fail(&self, problem: impl Into<String>, cure: impl Into<String>) {
        self.fail_at(self.value.span().start, problem.into(), cure.into(), None);
    }

    /// Notes an error at the key.
    pub(crate) fn fail_at_key(&self, problem: impl Into<String>, cure: impl Into<String>) {
        self.fail_at(self.key.start, problem.into(), cure.into(), None);
    }

    /// A string that `parse` understands.
    pub(crate) fn parsed<T>(
        &self,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, SyntaxError>,
    ) -> Option<T> {
        let text = self.string(expected)?;
        parse(text).map_err(|error| self.fail_in_text(text, &error)).ok()
    }

    /// The key itself, as `parse` understands it.
    pub(crate) fn parsed_key<T>(&self, parse: impl Fn(&str) -> Result<T, SyntaxError>) -> Option<T> {
        parse(self.name).map_err(|error| self.fail_at_key(error.problem, error.cure)).ok()
    }

    /// A string without a NUL character, which no argument, variable or path can contain.
    pub(crate) fn string(&self, expected: &str) -> Option<&'a str> {
        let DeValue::String(text) = self.value.get_ref() else {
            self.wrong_type(expected);
            return None;
        };
        if text.contains('\0') {
            self.fail("the text contains a NUL character", "remove it");
            return None;
        }
        Some(text)
    }

    /// Whether it is a string.
    pub(crate) fn is_string(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::String(_))
    }

    /// Whether it is a table with nothing in it.
    pub(crate) fn is_empty_table(&self) -> bool {
        self.value.get_ref().as_table().is_some_and(DeTable::is_empty)
    }

    /// A boolean.
    pub(crate) fn boolean(&self) -> Option<bool> {
        let boolean = self.value.get_ref().as_bool();
        if boolean.is_none() {
            self.wrong_type("true or false");
        }
        boolean
    }

    /// Whether it is a table, so that its keys can be read.
    pub(crate) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// The integer as it was written, if it is one.
    pub(crate) fn integer(&self) -> Option<String> {
        self.value.get_ref().as_integer().map(ToString::to_string)
    }

    /// An integer within these bounds.
    pub(crate) fn integer_within(&self, expected: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let Some(integer) = self.value.get_ref().as_integer() else {
            self.wrong_type(expected);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix());
        let number = number.ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let cure = format!("write {} to {}", bounds.start(), bounds.end());
            self.fail(format!("{integer} is out of bounds"), cure);
        }
        number
    }

    /// The elements of an array; `None`, and no error, if it is none.
    pub(crate) fn elements(&self) -> Option<Vec<Self>> {
        let array = self.value.get_ref().as_array()?;
        let element = |value| Self { value, ..self.clone() };
        Some(array.iter().map(element).collect())
    }

    /// The entries of a table, in the order of the file.
    pub(crate) fn entries(&self, expected: &str) -> Option<Vec<Self>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Some(self.document.entries(&self.path, table)),
            _ => {
                self.wrong_type(expected);
                None
            }
        }
    }

    /// Reads a table with these keys; false if it is none.
    pub(crate) fn read<T>(
        &self,
        expected: &str,
        target: &mut T,
        keys: &Keys<T>,
        elsewhere: &Elsewhere,
    ) -> bool {
        match self.value.get_ref() {
            DeValue::Table(table) => {
                self.document.read_table(&self.path, table, target, keys, elsewhere);
                true
            }
            _ => {
                self.wrong_type(expected);
                false
            }
        }
    }

    /// The key without the path before it.
    pub(crate) const fn name(&self) -> &'a str {
        self.name
    }

    /// Notes that the value is of the wrong type.
    pub(crate) fn wrong_type(&self, expected: &str) {
        let (found, quoted) = match self.value.get_ref() {
            DeValue::String(text) => (format!("the string {text:?}"), None),
            DeValue::Integer(integer) => (format!("the integer {integer}"), Some(integer.to_string())),
            DeValue::Float(float) => (format!("the float {float}"), Some(float.to_string())),
            DeValue::Boolean(boolean) => (format!("the boolean {boolean}"), Some(boolean.to_string())),
            DeValue::Datetime(time) => (format!("the date {time}"), Some(time.to_string())),
            DeValue::Array(_) => ("an array".to_owned(), None),
            DeValue::Table(_) => ("a table".to_owned(), None),
        };
        let cure = match quoted {
            Some(number) if expected.starts_with("a duration") => format!("write \"{number}s\""),
            Some(number) if expected.starts_with("a string") => format!("write \"{number}\""),
            _ => format!("write {expected}"),
        };
        self.fail(format!("expected {expected}, found {found}"), cure);
    }

    fn fail_in_text(&self, text: &str, error: &SyntaxError) {
        let span = self.value.span();
        // Without escapes the text stands in the file as it is, behind one quote: the place is exact.
        let is_plain = self.document.text.get(span.start + 1..span.end.saturating_sub(1)) == Some(text);
        for error in error.each() {
            let offset = if is_plain { span.start + 1 + error.span.start } else { span.start };
            self.fail_at(offset, error.problem.clone(), error.cure.clone(), Some(error.excerpt(text)));
        }
    }

    fn fail_at(&self, offset: usize, problem: String, cure: String, excerpt: Option<String>) {
        let document = self.document;
        let position = document.position(offset);
        // What the parser made of a broken line, or put under the wrong table, is no fault of the writer's.
        if position.line > document.broken_from.get()
            || document.broken_lines.borrow().contains(&position.line)
        {
            return;
        }
        document.push(position, self.path.clone(), problem, cure, excerpt);
    }
}

impl Place {
    /// An error at this place.
    pub(crate) fn error(&self, problem: impl Into<String>, cure: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            position: Some(self.position),
            key: self.key.clone(),
            problem: problem.into(),
            cure: cure.into(),
            excerpt: None,
        }
    }
}

/// Whether a key can be written without quotes.
fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
