use std::time::Duration;

use super::choice::parse_choice;
use super::duration_syntax::{parse_duration, parse_positive_duration};
use super::file_values::{self, DURATION};
use super::toml_document::{Keys, Value};
use crate::supervisor::{Restart, RestartWhen};

/// The words for [`RestartWhen`].
const WHEN: [(&str, RestartWhen); 3] =
    [("never", RestartWhen::Never), ("on-failure", RestartWhen::OnFailure), ("always", RestartWhen::Always)];
const EXPECTED: &str =
    "\"never\", \"on-failure\", \"always\", or a table such as { when = \"on-failure\", delay = \"1s\" }";

/// Every key of `restart` as a table.
const KEYS: &Keys<Restart> = &[
    ("when", |restart, value| {
        if let Some(when) = file_values::choice(value, &WHEN) {
            restart.when = when;
        }
    }),
    ("delay", |restart, value| set(&mut restart.delay, value.parsed(DURATION, parse_duration))),
    ("delay-max", |restart, value| set(&mut restart.delay_max, value.parsed(DURATION, parse_duration))),
    ("limit", |restart, value| set(&mut restart.limit, file_values::count(value))),
    ("within", |restart, value| set(&mut restart.within, value.parsed(DURATION, parse_positive_duration))),
];

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// Reads `restart`: a word, or a table.
pub(crate) fn restart(value: &Value) -> Option<Restart> {
    // Whoever writes a table wants restarts.
    let mut restart = Restart { when: RestartWhen::OnFailure, ..Restart::default() };
    if value.is_table() {
        value.read(EXPECTED, &mut restart, KEYS, &|_, _| None);
        if restart.delay > restart.delay_max {
            restart.delay_max = restart.delay.max(Duration::ZERO);
        }
    } else {
        restart.when = value.parsed(EXPECTED, |text| parse_choice(text, &WHEN))?;
    }
    Some(restart)
}
