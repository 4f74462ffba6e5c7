use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::config_error::{ConfigError, Position};
use super::system_table::{explain_io, read_text};
use super::toml_document::Place;

/// Names and values of variables.
pub(crate) type Variables = Vec<(String, String)>;

/// Files of variables, each read once however many services name it.
#[derive(Default)]
pub(crate) struct EnvFiles {
    read: HashMap<PathBuf, Rc<Variables>>,
    pub(crate) errors: Vec<ConfigError>,
}

impl EnvFiles {
    /// The variables in the file at `path`, which messages call `shown`; none if it cannot be read, which is noted:
    /// at the place that names it, if it is not there, else in the file itself.
    pub(crate) fn variables(
        &mut self,
        path: PathBuf,
        shown: &Path,
        named_at: Option<&Place>,
    ) -> Rc<Variables> {
        if let Some(variables) = self.read.get(&path) {
            return Rc::clone(variables);
        }
        let shown = shown.display().to_string();
        let variables = Rc::new(match (std::fs::metadata(&path), named_at) {
            (Err(error), Some(place)) => {
                let (problem, cure) = explain_io(&path, &error);
                self.errors.push(place.error(format!("{shown}: {problem}"), cure));
                Variables::new()
            }
            _ => match read_text(&path, &shown) {
                Ok(text) => self.parse(&shown, &text),
                Err(error) => {
                    self.errors.push(*error);
                    Variables::new()
                }
            },
        });
        self.read.insert(path, Rc::clone(&variables));
        variables
    }

    fn parse(&mut self, shown: &str, text: &str) -> Variables {
        let line = Rc::new(Cell::new(0));
        let lines = Lines { rest: text.as_bytes(), line: Rc::clone(&line) };
        let mut variables = Variables::new();
        for item in dotenvy::Iter::new(lines) {
            match item {
                Ok((name, value)) if value.contains('\0') => {
                    let error =
                        ConfigError::of_file(shown, format!("{name} contains a NUL character"), "remove it");
                    self.errors.push(ConfigError {
                        position: Some(Position { line: line.get(), column: 1 }),
                        ..error
                    });
                }
                Ok(variable) => variables.push(variable),
                Err(dotenvy::Error::LineParse(wrong, _)) => {
                    // What is wrong may go over several lines, of which the last was just handed out.
                    let first = line.get().saturating_sub(wrong.trim_end().matches('\n').count()).max(1);
                    let error = ConfigError::of_file(
                        shown,
                        "this is no variable",
                        "write NAME=value, with quotes around a value that has spaces, and a backslash before \" and $",
                    );
                    self.errors
                        .push(ConfigError { position: Some(Position { line: first, column: 1 }), ..error });
                }
                Err(error) => {
                    self.errors.push(ConfigError::of_file(shown, error.to_string(), "check the file"));
                    break;
                }
            }
        }
        variables
    }
}

/// Hands out a text line by line and counts: the parser of such files does not say where an error is, but it takes no
/// line before it needs it.
struct Lines<'a> {
    rest: &'a [u8],
    line: Rc<Cell<usize>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = self.rest.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        let (now, rest) = self.rest.split_at(line.len().min(buffer.len()));
        buffer[..now.len()].copy_from_slice(now);
        self.rest = rest;
        if now.ends_with(b"\n") || rest.is_empty() && !now.is_empty() {
            self.line.set(self.line.get() + 1);
        }
        Ok(now.len())
    }
}
