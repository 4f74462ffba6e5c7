use super::file_values;
use super::toml_document::Keys;

/// A command that stages can run, as it was described.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunTable {
    pub(crate) name: String,
    pub(crate) command: Option<Vec<String>>,
    /// Whether the key is there, even if its value is wrong.
    pub(crate) names_command: bool,
}

/// Every key of `[run.NAME]`, and how it is read.
pub(crate) const KEYS: &Keys<RunTable> = &[("command", |run, value| {
    run.names_command = true;
    run.command = file_values::command(value);
})];
