use std::time::Duration;

use super::SyntaxError;
use super::duration_syntax::parse_duration;

/// What was said about the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadlineChoice {
    /// Find it out from the platform.
    #[default]
    Auto,
    /// There is none: the platform never kills us.
    None,
    /// This long after the first cause of a stop.
    After(Duration),
}

/// Where the deadline that is used is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineSource {
    /// The command line or the file.
    Configured,
    /// The variable `CURFEW_DEADLINE`.
    Environment,
    /// Nobody told PID 1: `docker stop` gives ten seconds.
    AssumedContainer,
    /// Nobody told PID 1 in a Kubernetes pod: it gives thirty seconds.
    AssumedKubernetes,
    /// There is no deadline.
    None,
}

impl DeadlineSource {
    /// The word for it in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Environment => "environment",
            Self::AssumedContainer | Self::AssumedKubernetes => "assumed",
            Self::None => "none",
        }
    }
}

/// Reads a deadline: a duration, `auto`, or `none`.
///
/// # Errors
/// What is neither; and zero, which could mean "at once" as well as "never".
pub fn parse_deadline(text: &str) -> Result<DeadlineChoice, SyntaxError> {
    const CURE: &str = "write `none` if there is no deadline, or how long the platform waits, such as `30s`";
    match text.trim() {
        "auto" => Ok(DeadlineChoice::Auto),
        "none" => Ok(DeadlineChoice::None),
        "0" => Err(SyntaxError::whole(text, "the deadline is zero", CURE)),
        "infinity" | "infinite" | "never" => {
            Err(SyntaxError::whole(text, format!("`{}` is no deadline", text.trim()), "write `none`"))
        }
        _ => match parse_duration(text)? {
            Duration::ZERO => Err(SyntaxError::whole(text, "the deadline is zero", CURE)),
            deadline => Ok(DeadlineChoice::After(deadline)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_duration_or_auto_or_none() {
        assert_eq!(parse_deadline("auto"), Ok(DeadlineChoice::Auto));
        assert_eq!(parse_deadline("none"), Ok(DeadlineChoice::None));
        assert_eq!(parse_deadline("1m 30s"), Ok(DeadlineChoice::After(Duration::from_secs(90))));
    }

    #[test]
    fn a_deadline_of_zero_is_an_error_that_names_none() {
        for text in ["0", "0s", " 0ms", "infinity"] {
            assert!(parse_deadline(text).unwrap_err().cure.contains("`none`"), "{text}");
        }
        assert_eq!(parse_deadline("30").unwrap_err().to_string(), "`30` has no unit; write `30s`");
    }
}
