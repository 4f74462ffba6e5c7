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
    #[error("{}", list_usage(.0))]
    Usage(Vec<UsageError>),
    /// Errors in the config file, or in a file that it names, sorted by place. Never empty.
    #[error("{}", list_config(.0))]
    Config(Vec<ConfigError>),
}

/// Bad usage (`EX_USAGE` of sysexits.h).
pub(crate) const STATUS_USAGE: u8 = 64;
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

/// One error of the command line stands on the line that begins with `curfew: `. A line that names a file begins with
/// it, so that editors and terminals find the place.
fn list_usage(errors: &[UsageError]) -> String {
    match errors {
        [error] => error.to_string(),
        _ => list(&format!("there are {} errors, so nothing was started:", errors.len()), errors),
    }
}

fn list_config(errors: &[ConfigError]) -> String {
    match errors.len() {
        1 => list("there is an error in the configuration, so nothing was started:", errors),
        count => {
            list(&format!("there are {count} errors in the configuration, so nothing was started:"), errors)
        }
    }
}

fn list(first: &str, errors: &[impl std::error::Error]) -> String {
    let mut text = first.to_owned();
    for error in errors {
        let _ = write!(text, "\n{error}");
    }
    text
}
