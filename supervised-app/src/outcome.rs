//! How a subcommand ended.

use std::process::ExitCode;

/// How a subcommand that ran to its end wants the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well: status 0.
    Success,
    /// The subcommand has said what is wrong: status 1.
    Failure,
    /// The status that `--exit-with` asks for.
    Status(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::SUCCESS,
            Outcome::Failure => Self::FAILURE,
            Outcome::Status(status) => Self::from(status),
        }
    }
}
