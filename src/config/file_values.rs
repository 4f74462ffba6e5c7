//! Values of a config file that several keys share.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::SyntaxError;
use super::choice::parse_choice;
use super::command_line::split_command;
use super::deadline_choice::{DeadlineChoice, parse_deadline};
use super::grace_syntax::{TARGETS, parse_schedule};
use super::output_choice::{OutputChoice, parse_output_word};
use super::signal_syntax::{
    Mapping, parse_forwarded, parse_map_target, parse_signal, parse_success, parse_success_code,
    success_statuses,
};
use super::toml_document::{Keys, Place, Value};
use crate::supervisor::{GraceSchedule, Signal, SignalSet, SuccessStatuses, Target};

/// What the messages call a duration.
pub(crate) const DURATION: &str = "a duration such as \"10s\"";
const COMMAND: &str = "a command such as \"api --port 8000\" or [\"api\", \"--port\", \"8000\"]";
const NAMES: &str = "a list of names such as [\"api\"]";
const OUTPUT: &str = "a word such as \"prefix\", or { file = \"api.log\" }";
const PATHS: &str = "a path, or a list of paths";
const SUCCESS: &str = "a list of exit statuses and signals such as [3, \"TERM\"]";
const VARIABLES: &str = "a table such as { RUST_LOG = \"info\" }";

/// The keys of a table that says where output leads.
const OUTPUT_KEYS: &Keys<Option<OutputChoice>> =
    &[("file", |output, value| *output = path(value).map(OutputChoice::File))];

/// A list of strings, or one string in place of a list of one.
fn strings<'a>(value: &Value<'a>, expected: &str) -> Vec<(Value<'a>, &'a str)> {
    let elements = value.elements().unwrap_or_else(|| vec![value.clone()]);
    elements.into_iter().filter_map(|element| element.string(expected).map(|text| (element, text))).collect()
}

/// All of them, if all are there. Every one is looked at, so that every error is told.
fn all<T, C: FromIterator<T>>(values: impl Iterator<Item = Option<T>>) -> Option<C> {
    let values: Vec<Option<T>> = values.collect();
    values.into_iter().collect()
}

/// A word out of a few.
pub(crate) fn choice<T: Copy>(value: &Value, choices: &[(&'static str, T)]) -> Option<T> {
    let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    value.parsed(&format!("one of {}", words.join(", ")), |text| parse_choice(text, choices))
}

pub(crate) fn grace(value: &Value) -> Option<GraceSchedule> {
    value.parsed("a grace schedule such as \"TERM 10s, KILL\"", parse_schedule)
}

/// A number that counts something, from 0.
pub(crate) fn count(value: &Value) -> Option<u32> {
    let Some(text) = value.integer() else {
        value.wrong_type("a number");
        return None;
    };
    let count = text.parse().ok();
    if count.is_none() {
        value.fail(format!("`{text}` is no count"), format!("write a number from 0 to {}", u32::MAX));
    }
    count
}

/// The commands that a schedule runs, and where it says so.
pub(crate) fn runs(value: &Value, schedule: Option<&GraceSchedule>) -> Vec<(Place, Arc<str>)> {
    let names = schedule.into_iter().flat_map(GraceSchedule::runs);
    names.map(|name| (value.place(), Arc::clone(name))).collect()
}

pub(crate) fn target(value: &Value) -> Option<Target> {
    choice(value, &TARGETS)
}

/// A command: words, or a text that is split into words.
pub(crate) fn command(value: &Value) -> Option<Vec<String>> {
    let Some(elements) = value.elements() else { return value.parsed(COMMAND, split_command) };
    let words: Vec<String> =
        all(elements.iter().map(|element| element.string("a string").map(str::to_owned)))?;
    if words.first().is_none_or(String::is_empty) {
        value.fail("the command is empty", "name a program");
        return None;
    }
    Some(words)
}

/// Names of services, each with its place.
pub(crate) fn names(value: &Value) -> Vec<(Place, String)> {
    if value.elements().is_none() {
        value.wrong_type(NAMES);
        return Vec::new();
    }
    strings(value, NAMES).into_iter().map(|(element, name)| (element.place(), name.to_owned())).collect()
}

/// One path or several, each with its place.
pub(crate) fn paths(value: &Value) -> Vec<(Place, PathBuf)> {
    let not_empty =
        |(element, path): (Value, &str)| path_of(&element, path).map(|path| (element.place(), path));
    strings(value, PATHS).into_iter().filter_map(not_empty).collect()
}

/// One path.
pub(crate) fn path(value: &Value) -> Option<PathBuf> {
    path_of(value, value.string("a path")?)
}

fn path_of(value: &Value, path: &str) -> Option<PathBuf> {
    if path.is_empty() {
        value.fail("the path is empty", "name a file or directory, or remove the key");
        return None;
    }
    Some(PathBuf::from(path))
}

/// Where output leads: a word, or a table that names a file.
pub(crate) fn output(value: &Value) -> Option<OutputChoice> {
    if value.is_string() {
        return value.parsed(OUTPUT, parse_output_word);
    }
    let mut output = None;
    let is_empty = value.is_empty_table();
    if value.read(OUTPUT, &mut output, OUTPUT_KEYS, &|_, _| None) && is_empty {
        value.fail("the table is empty", "write { file = \"api.log\" }");
    }
    output
}

/// Names and values of variables.
pub(crate) fn variables(value: &Value) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for entry in value.entries(VARIABLES).unwrap_or_default() {
        if entry.name().is_empty() || entry.name().contains(['=', '\0']) {
            entry.fail_at_key("the name of a variable cannot be empty or contain `=`", "rename it");
        }
        if let Some(text) = entry.string("a string") {
            variables.push((entry.name().to_owned(), text.to_owned()));
        }
    }
    variables
}

/// A list of signals as one text (`"TERM, INT"`), which `parse` reads, or as an array, which `parse_one` reads.
pub(crate) fn signals(
    value: &Value,
    parse: fn(&str) -> Result<SignalSet, SyntaxError>,
    parse_one: fn(&str) -> Result<Signal, SyntaxError>,
) -> Option<SignalSet> {
    let expected = "a list of signals such as [\"TERM\", \"INT\"]";
    match value.elements() {
        None => value.parsed(expected, parse),
        Some(elements) => all(elements.iter().map(|element| element.parsed(expected, parse_one))),
    }
}

/// Exit statuses and signals: a text, a number, or an array of both.
pub(crate) fn success(value: &Value) -> Option<SuccessStatuses> {
    let one = |value: &Value| match value.integer() {
        Some(number) => {
            parse_success_code(&number).map_err(|error| value.fail(error.problem, error.cure)).ok()
        }
        None => value.parsed(SUCCESS, parse_success_code),
    };
    match value.elements() {
        Some(elements) => all::<_, Vec<_>>(elements.iter().map(one)).map(success_statuses),
        None if value.integer().is_some() => one(value).map(|code| success_statuses([code])),
        None => value.parsed(SUCCESS, parse_success),
    }
}

/// A table of signals: what is sent instead of each.
pub(crate) fn map(value: &Value) -> Vec<Mapping> {
    let mut seen = HashSet::new();
    let mut map = Vec::new();
    for entry in value.entries("a table such as { HUP = \"TERM\", USR1 = \"none\" }").unwrap_or_default() {
        let from = entry.parsed_key(parse_forwarded);
        let to = entry.parsed("a signal, or \"none\"", parse_map_target);
        let (Some(from), Some(to)) = (from, to) else { continue };
        // `TERM` and `15` are different keys, and yet the same signal.
        if !seen.insert(from) {
            entry.fail_at_key(format!("{from} is mapped twice"), "leave one of them");
        }
        map.push((from, to));
    }
    map
}

/// A duration, `auto` or `none`.
pub(crate) fn deadline(value: &Value) -> Option<DeadlineChoice> {
    // `deadline = 0` is what people write who mean `none`: that it is no string is the lesser slip.
    if value.integer().as_deref() == Some("0") {
        return parse_deadline("0").map_err(|error| value.fail(error.problem, error.cure)).ok();
    }
    value.parsed("a duration such as \"30s\", or \"auto\" or \"none\"", parse_deadline)
}

/// A signal, or none at all.
pub(crate) fn parent_death(value: &Value) -> Option<Option<Signal>> {
    value.parsed("a signal such as \"TERM\", or \"none\"", |text| {
        if text == "none" { Ok(None) } else { parse_signal(text).map(Some) }
    })
}
