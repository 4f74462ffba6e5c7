//! Why curfew does not start.

use std::fmt::Write;

use crate::config::{ConfigError, UsageError};

/// Why curfew does not start. Nothing has been started when one of these is seen.
///
/// The text says everything a person needs; it fits after `curfew: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The command line cannot be read at all: clap's own words.
    #[error("{0}")]
    Arguments(String),
    /// Values on the command line or in `CURFEW_` variables are wrong, or do not go together. Never empty.
    #[error("{}", list("command line", .0))]
    Usage(Vec<UsageError>),
    /// Errors in the config file, or in a file that it names, sorted by place. Never empty.
    #[error("{}", list("configuration", .0))]
    Config(Vec<ConfigError>),
}

/// Bad usage (`EX_USAGE` of sysexits.h).
const STATUS_USAGE: u8 = 64;
/// Bad configuration (`EX_CONFIG` of sysexits.h).
const STATUS_CONFIG: u8 = 78;

impl Error {
    /// The exit status that tells of the error: 64 for usage, 78 for configuration.
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Arguments(_) | Self::Usage(_) => STATUS_USAGE,
            Self::Config(_) => STATUS_CONFIG,
        }
    }
}

fn list(subject: &str, errors: &[impl std::error::Error]) -> String {
    let mut text = match errors.len() {
        1 => format!("the {subject} has an error, so nothing was started:"),
        count => format!("the {subject} has {count} errors, so nothing was started:"),
    };
    for error in errors {
        let _ = write!(text, "\n{error}");
    }
    text
}
