use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::config_error::ConfigError;
use super::env_syntax::{VariableError, Variables, parse_variables};
use super::surroundings::Surroundings;
use super::system_table::{explain_io, read_text};
use super::toml_document::Place;

/// Files of variables, each read once however many services name it.
pub(crate) struct EnvFiles<'a> {
    surroundings: &'a Surroundings,
    read: HashMap<PathBuf, Rc<Variables>>,
    pub(crate) errors: Vec<ConfigError>,
}

impl<'a> EnvFiles<'a> {
    /// No file is read yet. Variables that a file refers to may be in curfew's own environment.
    pub(crate) fn new(surroundings: &'a Surroundings) -> Self {
        Self { surroundings, read: HashMap::new(), errors: Vec::new() }
    }

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
        let variables = Rc::new(match (self.surroundings.files.check(&path), named_at) {
            (Err(error), Some(place)) => {
                let (problem, cure) = explain_io(&path, &error);
                self.errors.push(place.error(format!("{shown}: {problem}"), cure));
                Variables::new()
            }
            _ => match read_text(&self.surroundings.files, &path, &shown) {
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
        let surroundings = self.surroundings;
        let known = |name: &str| surroundings.variable(name)?.to_str().map(str::to_owned);
        let (variables, errors) = parse_variables(text, &known);
        self.errors.extend(errors.into_iter().map(|VariableError { position, problem, cure }| {
            let error = ConfigError::of_file(shown, problem, cure);
            ConfigError { position: Some(position), ..error }
        }));
        variables
    }
}
