use super::duration_syntax::parse_positive_duration;
use super::file_values::DURATION;
use super::toml_document::{Keys, Value};
use crate::supervisor::{Readiness, ReadyBy};

const EXPECTED: &str = "\"notify\", or a table such as { notify = true, timeout = \"30s\" }";

/// Every key of `ready` as a table.
const KEYS: &Keys<Readiness> = &[
    ("notify", |ready, value| {
        if value.boolean() == Some(true) {
            ready.by = ReadyBy::Notify;
        }
    }),
    ("timeout", |ready, value| {
        if let Some(timeout) = value.parsed(DURATION, parse_positive_duration) {
            ready.timeout = timeout;
        }
    }),
];

/// Reads `ready`: a word, or a table.
pub(crate) fn ready(value: &Value) -> Option<Readiness> {
    let mut ready = Readiness::default();
    if value.is_table() {
        value.read(EXPECTED, &mut ready, KEYS, &|_, _| None);
        return Some(ready);
    }
    match value.string(EXPECTED)? {
        "notify" => Some(Readiness { by: ReadyBy::Notify, ..ready }),
        other => {
            value.fail(format!("unknown word `{other}`"), "write \"notify\"");
            None
        }
    }
}
