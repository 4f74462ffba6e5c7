use std::fmt;

/// What is wrong in a file: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Where in it; `None`: the file as a whole.
    pub position: Option<Position>,
    /// The path of the key: `service.api.grace`. Empty where there is none.
    pub key: String,
    /// What is wrong: a lower-case fragment.
    pub problem: String,
    /// What to do instead.
    pub cure: String,
    /// The value, with the place in it underlined.
    pub excerpt: Option<String>,
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl ConfigError {
    /// An error of a file as a whole.
    pub(crate) fn of_file(
        file: impl Into<String>,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            position: None,
            key: String::new(),
            problem: problem.into(),
            cure: cure.into(),
            excerpt: None,
        }
    }

    /// An error of a line of a file.
    pub(crate) fn of_line(
        file: &str,
        line: usize,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { position: Some(Position { line, column: 1 }), ..Self::of_file(file, problem, cure) }
    }
}

impl fmt::Display for ConfigError {
    /// `demo.toml:7:1: service.api.comand: unknown key; did you mean …`, and the excerpt below it.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(formatter, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}; {}", self.problem, self.cure)?;
        match &self.excerpt {
            Some(excerpt) => write!(formatter, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
