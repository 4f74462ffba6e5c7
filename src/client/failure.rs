use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::protocol::{ControlError, ErrorCode};

/// Why a client does not get what it wants.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// Nobody is there: what was looked for, and what to do.
    Nobody(String),
    /// There are several, and it was not said which is meant.
    Several(Vec<String>),
    /// The socket belongs to somebody else.
    Forbidden(PathBuf),
    /// curfew says no, or it came to nothing.
    Refused(ControlError),
    /// There is no such service.
    UnknownService(String),
    /// The answer did not come in time.
    TimedOut,
    /// The answer makes no sense.
    Nonsense(PathBuf),
    /// The connection ended.
    Ended,
    /// The connection failed.
    Broken(io::Error),
}

impl Failure {
    /// The exit status that tells of it: those of sysexits.h, but for what was refused.
    pub(super) const fn status(&self) -> u8 {
        match self {
            Self::Refused(ControlError { code: Some(ErrorCode::Forbidden), .. }) | Self::Forbidden(_) => 77,
            Self::Refused(_) | Self::UnknownService(_) => 1,
            Self::Usage(_) | Self::Several(_) => 64,
            Self::Nobody(_) | Self::Ended | Self::Broken(_) => 69,
            Self::TimedOut => 75,
            Self::Nonsense(_) => 76,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Nobody(text) | Self::UnknownService(text) => formatter.write_str(text),
            Self::Several(names) => write!(
                formatter,
                "there are {} curfews; say which one is meant with --name or --control: {}",
                names.len(),
                names.join(", ")
            ),
            Self::Forbidden(path) => write!(
                formatter,
                "{}: permission denied; ask as root, or as the user that curfew runs as",
                path.display()
            ),
            Self::Refused(error) => write!(formatter, "{error}"),
            Self::TimedOut => formatter.write_str("there was no answer in time; give it more with --timeout"),
            Self::Nonsense(path) => write!(
                formatter,
                "{} does not speak this version of the protocol; use the curfew that runs there",
                path.display()
            ),
            Self::Ended => {
                formatter.write_str("curfew ended before it answered; its log and its report say why")
            }
            Self::Broken(error) => write!(formatter, "the connection to curfew failed: {error}; try again"),
        }
    }
}
