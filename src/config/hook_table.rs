use std::time::Duration;

use super::duration_syntax::parse_positive_duration;
use super::file_values::{self, DURATION};
use super::toml_document::{Keys, Value};

/// A command around a service, and how long it may take, as it was described.
#[derive(Clone, Debug, Default)]
pub(crate) struct HookTable {
    pub(crate) command: Option<Vec<String>>,
    pub(crate) timeout: Option<Duration>,
    /// Whether the key is there, even if its value is wrong.
    names_command: bool,
}

/// Every key of `[cleanup]`, and of a hook that is written as a table.
const KEYS: &Keys<HookTable> = &[
    ("command", |hook, value| {
        hook.names_command = true;
        hook.command = file_values::command(value);
    }),
    ("timeout", |hook, value| hook.timeout = value.parsed(DURATION, parse_positive_duration)),
];

/// Reads a hook: a command, or a table with a command and a timeout.
pub(crate) fn hook(value: &Value) -> Option<HookTable> {
    if !value.is_table() {
        return file_values::command(value)
            .map(|command| HookTable { command: Some(command), ..HookTable::default() });
    }
    let mut hook = HookTable::default();
    value.read(
        "a command, or a table such as { command = [\"...\"], timeout = \"3s\" }",
        &mut hook,
        KEYS,
        &|_, _| None,
    );
    if !hook.names_command {
        value.fail_at_key("there is no command", "add command = [\"...\"]");
    }
    Some(hook)
}
