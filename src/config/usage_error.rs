use super::SyntaxError;

/// What is wrong with the command line, or with a variable that stands for an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}; {cure}{}", prefix(.option), suffix(.excerpt.as_deref()))]
pub struct UsageError {
    /// The option or variable: `--grace`, `CURFEW_GRACE`. Empty: the command line as a whole.
    pub option: String,
    /// What is wrong: a lower-case fragment.
    pub problem: String,
    /// What to do instead.
    pub cure: String,
    /// The value, with the place in it underlined.
    pub excerpt: Option<String>,
}

impl UsageError {
    /// An error of an option as such.
    pub(crate) fn new(
        option: impl Into<String>,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { option: option.into(), problem: problem.into(), cure: cure.into(), excerpt: None }
    }

    /// An error in the value of an option.
    pub(crate) fn in_value(option: impl Into<String>, value: &str, error: &SyntaxError) -> Self {
        Self { excerpt: Some(error.excerpt(value)), ..Self::new(option, &*error.problem, &*error.cure) }
    }
}

fn prefix(option: &str) -> String {
    if option.is_empty() { String::new() } else { format!("{option}: ") }
}

fn suffix(excerpt: Option<&str>) -> String {
    excerpt.map_or_else(String::new, |excerpt| format!("\n{excerpt}"))
}
